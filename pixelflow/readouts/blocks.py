"""Arithmetic in place on blocks of a large matrix; of a symmetric one on its upper triangle.

By NumPy and by SciPy's BLAS and LAPACK or, for arrays of CuPy, which offers such functions for
whole arrays alone, by cuBLAS and cuSOLVER themselves. Blocks are of matrices in row-major order, in
float32 or float64. The libraries count by columns: to them a block is transposed, and an upper
triangle a lower one.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs, solve_triangular
from threadpoolctl import ThreadpoolController

from pixelflow.readouts.arrays import namespace

NOT_DEFINITE = "the matrix is not positive definite"


def blocks_of(matrix: Any) -> HostBlocks | DeviceBlocks:
    """The arithmetic for blocks of this matrix."""
    return HostBlocks() if namespace(matrix) is np else DeviceBlocks(matrix)


class HostBlocks:
    """By NumPy as far as it can, else by SciPy, on one thread where a matrix is factorised.

    For both bring threads of their own, and those of the one wait busily where the other's work.
    """

    size = 1024  # rows and columns of a block
    few = 256  # rows of a block that SciPy solves for at once: the rest is left to products
    most = strip = 2**31  # rows or columns of a matrix that are multiplied at once: all
    transposed = 256  # columns that are transposed at once: they stay in a cache

    def factor(self, block: np.ndarray) -> None:
        """Make U of the upper triangle of U.T @ U; LinAlgError where there is none."""
        potrf: Any = get_lapack_funcs("potrf", (block,))
        with ONE_THREAD:
            found, failed = potrf(block.T, lower=True, clean=False)
        if failed or not np.isfinite(found.diagonal()).all():
            raise np.linalg.LinAlgError(NOT_DEFINITE)
        block[...] = found.T

    def solve_left(self, block: np.ndarray, factor: np.ndarray) -> None:
        """Make inv(U).T @ block of a block (n, m), for a factor U (n, n)."""
        trsm: Any = get_blas_funcs("trsm", (block,))
        for start in range(0, len(block), self.few):
            some = slice(start, start + self.few)
            if start:
                block[some] -= factor[:start, some].T @ block[:start]
            with ONE_THREAD:
                found = trsm(1.0, factor[some, some].T, block[some].T, side=1, lower=1, trans_a=1)
            block[some] = found.T

    def solve_right(self, rows: np.ndarray, factor: np.ndarray, transposed: bool = False) -> None:
        """Make rows @ inv(U) of rows (m, n), or rows @ inv(U).T, for a factor U (n, n)."""
        found = solve_triangular(factor, rows.T, trans=int(not transposed), check_finite=False)
        rows[...] = found.T

    def add(self, block: np.ndarray, a: np.ndarray, b: np.ndarray, times: float = 1) -> None:
        """Add a.T @ b of a (k, m) and b (k, n), so many times, to a block (m, n)."""
        product = a.T @ b
        product *= times
        block += product

    def add_square(self, block: np.ndarray, a: np.ndarray, times: float = 1) -> None:
        """Add a.T @ a of a (k, n), so many times, to the upper triangle of a block (n, n)."""
        block += times * np.triu(a.T @ a)


class _OneThread:
    """A context in which BLAS has one thread; several threads may be within at the same time."""

    def __init__(self) -> None:
        self._lock, self._within, self._limit = Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if self._limit is not None and not self._within:
                self._limit.restore_original_limits()


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


ONE_THREAD = _OneThread()


class DeviceBlocks:
    """By cuSOLVER and cuBLAS; each function as in `HostBlocks`."""

    # So that all that a call looks at is below 2**31 numbers, up to 131072 columns.
    size = most = 16384
    strip = 1024  # of columns that few rows are multiplied by: CuPy copies it before
    transposed = 1024

    def __init__(self, matrix: Any) -> None:
        import cupy  # pyright: ignore[reportMissingImports]

        self.xp, self.blas, self.dtype = cupy, cupy.cuda.cublas, np.dtype(matrix.dtype)
        self.handle = cupy.cuda.device.get_cublas_handle()
        self.lower = self.blas.CUBLAS_FILL_MODE_LOWER
        self.one, self.kind = np.array(1, self.dtype), "s" if self.dtype == np.float32 else "d"

    def factor(self, block: Any) -> None:
        handle, where = self.xp.cuda.device.get_cusolver_handle(), (len(block), *_place(block))
        size = self._solver("potrf_bufferSize")(handle, self.lower, *where)
        room, failed = self.xp.empty(size, self.dtype), self.xp.empty(1, np.int32)
        potrf = self._solver("potrf")
        potrf(handle, self.lower, *where, room.data.ptr, size, failed.data.ptr)
        if int(failed[0]) or not bool(self.xp.isfinite(block.diagonal()).all()):
            raise np.linalg.LinAlgError(NOT_DEFINITE)

    def solve_left(self, block: Any, factor: Any) -> None:
        self._trsm(self.blas.CUBLAS_SIDE_RIGHT, True, block, factor)

    def solve_right(self, rows: Any, factor: Any, transposed: bool = False) -> None:
        self._trsm(self.blas.CUBLAS_SIDE_LEFT, transposed, rows, factor)

    def add(self, block: Any, a: Any, b: Any, times: float = 1) -> None:
        m, n = block.shape
        options, factor = (self._operation(False), self._operation(True)), self._number(times)
        operands = *_place(b), *_place(a), self.one.ctypes.data, *_place(block)
        self._blas("gemm")(self.handle, *options, n, m, len(a), factor.ctypes.data, *operands)

    def add_square(self, block: Any, a: Any, times: float = 1) -> None:
        options, factor = (self.lower, self._operation(False)), self._number(times)
        operands = *_place(a), self.one.ctypes.data, *_place(block)
        sizes = len(block), len(a)
        self._blas("syrk")(self.handle, *options, *sizes, factor.ctypes.data, *operands)

    def _trsm(self, side: int, transposed: bool, into: Any, factor: Any) -> None:
        options = self.lower, self._operation(transposed), self.blas.CUBLAS_DIAG_NON_UNIT
        sizes, operands = into.shape[::-1], (*_place(factor), *_place(into))
        self._blas("trsm")(self.handle, side, *options, *sizes, self.one.ctypes.data, *operands)

    def _operation(self, transposed: bool) -> int:
        return self.blas.CUBLAS_OP_T if transposed else self.blas.CUBLAS_OP_N

    def _number(self, value: float) -> np.ndarray:
        return np.array(value, self.dtype)

    def _blas(self, name: str) -> Any:
        return getattr(self.blas, self.kind + name)

    def _solver(self, name: str) -> Any:
        return getattr(self.xp.cuda.cusolver, self.kind + name)


def _place(block: Any) -> tuple[int, int]:
    """Where a block begins in memory, and how many numbers its rows are apart."""
    rows, columns = block.strides
    if columns != block.itemsize or rows % block.itemsize:
        raise ValueError("a block's rows must be contiguous")
    return block.data.ptr, rows // block.itemsize
