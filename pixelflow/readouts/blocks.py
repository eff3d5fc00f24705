"""Steps of a Cholesky factorisation in place, on blocks of a larger matrix.

By SciPy's BLAS and LAPACK or, for arrays of CuPy, which offers them for whole arrays alone, by
cuBLAS's and cuSOLVER's own functions. Both read and write just the lower triangle of a block on
the diagonal. Blocks are of a matrix in row-major order, in float32 or float64; the libraries count
in columns, so that to them a lower triangle is an upper one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs, solve_triangular

from pixelflow.readouts.arrays import namespace

NOT_DEFINITE = "the matrix is not positive definite"


def steps_on(matrix: Any) -> Steps | DeviceSteps:
    """The steps for blocks of this matrix."""
    return Steps() if namespace(matrix) is np else DeviceSteps(matrix)


class Steps:
    """By SciPy."""

    size = 1024  # rows and columns of a block

    def factor(self, block: np.ndarray) -> None:
        """Write the Cholesky factor over the lower triangle; LinAlgError where there is none."""
        potrf: Any = get_lapack_funcs("potrf", (block,))
        found, failed = potrf(block.T, lower=False, clean=False)
        if failed or not np.isfinite(found.diagonal()).all():
            raise np.linalg.LinAlgError(NOT_DEFINITE)
        block[...] = found.T

    def divide(self, block: np.ndarray, factor: np.ndarray) -> None:
        """Multiply (m, n) by the inverse of the transposed factor (n, n) from the right."""
        block[...] = solve_triangular(factor, block.T, lower=True, check_finite=False).T

    def solve(self, factor: np.ndarray, right: np.ndarray, transposed: bool = False) -> None:
        """Multiply (n, T) by the inverse of the factor, or of its transpose, from the left."""
        right[...] = solve_triangular(
            factor, right, trans=int(transposed), lower=True, check_finite=False
        )

    def subtract(self, block: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        """Subtract a (m, k) times b (n, k) transposed from (m, n)."""
        block -= a @ b.T

    def subtract_square(self, block: np.ndarray, a: np.ndarray) -> None:
        """Subtract a (n, k) times its own transpose from the lower triangle of (n, n)."""
        syrk: Any = get_blas_funcs("syrk", (block,))
        block[...] = syrk(-1.0, a.T, 1.0, block.T, trans=True, lower=False).T


class DeviceSteps:
    """By cuSOLVER and cuBLAS; each step as in `Steps`."""

    # As large as leaves all that a call looks at below 2**31 numbers, up to 131072 columns.
    size = 16384

    def __init__(self, matrix: Any) -> None:
        import cupy  # pyright: ignore[reportMissingImports]

        self.xp, self.dtype = cupy, np.dtype(matrix.dtype)
        self._blas = cupy.cuda.device.get_cublas_handle()
        self._solver = cupy.cuda.device.get_cusolver_handle()
        self._one, self._minus_one = np.array(1, self.dtype), np.array(-1, self.dtype)

    def factor(self, block: Any) -> None:
        solver, n = self.xp.cuda.cusolver, len(block)
        upper = self.xp.cuda.cublas.CUBLAS_FILL_MODE_UPPER
        kind = "s" if self.dtype == np.float32 else "d"
        where = (upper, n, *_place(block))
        size = getattr(solver, f"{kind}potrf_bufferSize")(self._solver, *where)
        room, failed = self.xp.empty(size, self.dtype), self.xp.empty(1, np.int32)
        potrf = getattr(solver, f"{kind}potrf")
        potrf(self._solver, *where, room.data.ptr, size, failed.data.ptr)
        if int(failed[0]) or not bool(self.xp.isfinite(block.diagonal()).all()):
            raise np.linalg.LinAlgError(NOT_DEFINITE)

    def divide(self, block: Any, factor: Any) -> None:
        side = self.xp.cuda.cublas.CUBLAS_SIDE_LEFT
        self._trsm(side, True, len(factor), len(block), factor, block)

    def solve(self, factor: Any, right: Any, transposed: bool = False) -> None:
        side = self.xp.cuda.cublas.CUBLAS_SIDE_RIGHT
        self._trsm(side, transposed, right.shape[1], len(factor), factor, right)

    def subtract(self, block: Any, a: Any, b: Any) -> None:
        sizes = len(b), len(a), a.shape[1]
        operands = *_place(b), *_place(a), self._one.ctypes.data, *_place(block)
        options = self._option(True), self._option(False)
        self._call("gemm")(self._blas, *options, *sizes, self._minus_one.ctypes.data, *operands)

    def subtract_square(self, block: Any, a: Any) -> None:
        options = self.xp.cuda.cublas.CUBLAS_FILL_MODE_UPPER, self._option(True)
        operands = *_place(a), self._one.ctypes.data, *_place(block)
        self._call("syrk")(self._blas, *options, *a.shape, self._minus_one.ctypes.data, *operands)

    def _trsm(self, side: int, transposed: bool, m: int, n: int, factor: Any, into: Any) -> None:
        blas = self.xp.cuda.cublas
        options = blas.CUBLAS_FILL_MODE_UPPER, self._option(transposed), blas.CUBLAS_DIAG_NON_UNIT
        operands = self._one.ctypes.data, *_place(factor), *_place(into)
        self._call("trsm")(self._blas, side, *options, m, n, *operands)

    def _call(self, name: str) -> Any:
        kind = "s" if self.dtype == np.float32 else "d"
        return getattr(self.xp.cuda.cublas, kind + name)

    def _option(self, transposed: bool) -> int:
        blas = self.xp.cuda.cublas
        return blas.CUBLAS_OP_T if transposed else blas.CUBLAS_OP_N


def _place(block: Any) -> tuple[int, int]:
    """Where a block begins in memory, and how many numbers its rows are apart."""
    rows, columns = block.strides
    if columns != block.itemsize or rows % block.itemsize:
        raise ValueError("a block's rows must be contiguous")
    return block.data.ptr, rows // block.itemsize
