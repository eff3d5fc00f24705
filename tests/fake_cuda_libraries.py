"""What is called of cuBLAS and cuSOLVER, by NumPy: on pointers to column-major matrices."""

import ctypes
import types

import numpy as np
from scipy.linalg import solve_triangular

LEFT, RIGHT = 0, 1
LOWER, UPPER = 0, 1
AS_IS, TRANSPOSED = 0, 1
NON_UNIT = 0
BLAS, SOLVER = 4711, 4712  # handles


def installed(cupy):
    """The libraries as cupy.cuda has them, on the device whose context one is in."""

    def on_a_device(handle):
        assert cupy.ndarray.device.depth, "a handle is of the current device: use its context"
        return handle

    cublas = types.SimpleNamespace(
        CUBLAS_SIDE_LEFT=LEFT,
        CUBLAS_SIDE_RIGHT=RIGHT,
        CUBLAS_FILL_MODE_LOWER=LOWER,
        CUBLAS_FILL_MODE_UPPER=UPPER,
        CUBLAS_OP_N=AS_IS,
        CUBLAS_OP_T=TRANSPOSED,
        CUBLAS_DIAG_NON_UNIT=NON_UNIT,
    )
    cusolver = types.SimpleNamespace()
    for kind, dtype in (("s", np.float32), ("d", np.float64)):
        for function in (gemm, syrk, trsm):
            setattr(cublas, kind + function.__name__, _of(function, dtype, BLAS))
        for function in (potrf, potrf_bufferSize):
            setattr(cusolver, kind + function.__name__, _of(function, dtype, SOLVER))
    device = types.SimpleNamespace(
        get_cublas_handle=lambda: on_a_device(BLAS),
        get_cusolver_handle=lambda: on_a_device(SOLVER),
    )
    cupy.cuda = types.SimpleNamespace(cublas=cublas, cusolver=cusolver, device=device)


def gemm(dtype, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    left = _matrix(a, (m, k), lda, dtype, transa)
    right = _matrix(b, (k, n), ldb, dtype, transb)
    into = _matrix(c, (m, n), ldc, dtype)
    into[...] = _number(alpha, dtype) * (left @ right) + _number(beta, dtype) * into


def syrk(dtype, uplo, trans, n, k, alpha, a, lda, beta, c, ldc):
    left, into = _matrix(a, (n, k), lda, dtype, trans), _matrix(c, (n, n), ldc, dtype)
    found = _number(alpha, dtype) * (left @ left.T) + _number(beta, dtype) * into
    into[_triangle(uplo, n)] = found[_triangle(uplo, n)]


def trsm(dtype, side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb):
    assert diag == NON_UNIT
    size = m if side == LEFT else n
    triangle, into = _matrix(a, (size, size), lda, dtype), _matrix(b, (m, n), ldb, dtype)
    right = (into if side == LEFT else into.T) * _number(alpha, dtype)
    transposed = trans if side == LEFT else 1 - trans
    found = solve_triangular(triangle, right, trans=transposed, lower=uplo == LOWER)
    into[...] = found if side == LEFT else found.T


def potrf_bufferSize(dtype, uplo, n, a, lda):
    return 3 * n


def potrf(dtype, uplo, n, a, lda, workspace, size, info):
    assert workspace
    assert size == 3 * n
    into, failed = _matrix(a, (n, n), lda, dtype), _matrix(info, (1, 1), 1, np.int32)
    half = np.triu(into) if uplo == UPPER else np.tril(into)
    try:
        factor = np.linalg.cholesky(half + half.T - np.diag(np.diag(half)))
    except np.linalg.LinAlgError:
        failed[...] = 1
        return
    failed[...] = 0
    into[_triangle(uplo, n)] = (factor.T if uplo == UPPER else factor)[_triangle(uplo, n)]


def _of(function, dtype, expected):
    def call(handle, *arguments):
        assert handle == expected
        return function(np.dtype(dtype), *arguments)

    return call


def _matrix(pointer, shape, leading, dtype, trans=AS_IS):
    """The matrix in memory of which `shape` is what it is after it has been transposed."""
    rows, columns = shape[::-1] if trans == TRANSPOSED else shape
    assert leading >= rows
    dtype = np.dtype(dtype)
    bytes_ = ((columns - 1) * leading + rows) * dtype.itemsize
    memory = np.frombuffer((ctypes.c_char * bytes_).from_address(pointer), dtype)
    strides = (dtype.itemsize, leading * dtype.itemsize)
    found = np.lib.stride_tricks.as_strided(memory, (rows, columns), strides)
    return found.T if trans == TRANSPOSED else found


def _number(pointer, dtype):
    return _matrix(pointer, (1, 1), 1, dtype)[0, 0]


def _triangle(uplo, n):
    return np.triu_indices(n) if uplo == UPPER else np.tril_indices(n)
