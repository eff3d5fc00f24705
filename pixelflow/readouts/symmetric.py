"""Large symmetric matrices in place, block by block: squares added, Cholesky factors, solutions.

The upper triangle is added to and factorised; the lower one can keep the matrix itself. Nothing
larger than a strip of a block's rows is made on the side. No call of a device's libraries sees an
index beyond 32 bits. Matrices are row-major, in float32 or float64; BLAS, LAPACK, cuBLAS and
cuSOLVER count by columns, so to them a block is transposed, and an upper triangle a lower one.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs, solve_triangular
from threadpoolctl import ThreadpoolController

from pixelflow.readouts.arrays import Array, namespace

TILE = 1024  # columns
NOT_DEFINITE = "the matrix is not positive definite"


def tiles(size: int, tile: int | None = None) -> list[tuple[int, int]]:
    """First and last column of each tile."""
    tile = tile or TILE
    return [(start, min(start + tile, size)) for start in range(0, size, tile)]


def mirror(matrix: Array) -> None:
    """Copy the upper triangle into the lower one."""
    xp = namespace(matrix)
    for a, b in tiles(len(matrix), _arithmetic(matrix).mirror_columns):
        corner = matrix[a:b, a:b]
        corner[...] = xp.triu(corner) + xp.triu(corner, 1).T
        matrix[b:, a:b] = matrix[a:b, b:].T


def restore(matrix: Array, diagonal: Array) -> None:
    """Copy the lower triangle into the upper one, and write a diagonal."""
    xp = namespace(matrix)
    for a, b in tiles(len(matrix), _arithmetic(matrix).mirror_columns):
        corner = matrix[a:b, a:b]
        corner[...] = xp.tril(corner) + xp.tril(corner, -1).T
        matrix[a:b, b:] = matrix[b:, a:b].T
    matrix.reshape(-1)[:: len(matrix) + 1] = diagonal


def add_square(matrix: Array, rows: Array) -> None:
    """Add rows.T @ rows, of rows (n, D), to the upper triangle; they are multiplied in their dtype.

    Where that is not the matrix's dtype, whole tiles are added, and a tile on the diagonal is
    changed below the diagonal too.
    """
    if rows.dtype != matrix.dtype:
        for a, b in tiles(len(matrix)):
            matrix[a:b, a:] += rows[:, a:b].T @ rows[:, a:]
        return
    use = _arithmetic(matrix)
    for block in _diagonal_blocks(matrix, use.size):
        use.add_square(matrix[block, block], rows[:, block])
        for right in _right_of(block, matrix, use.multiply_columns):
            use.add(matrix[block, right], rows[:, block], rows[:, right])


def factorize(matrix: Array) -> None:
    """Replace the upper triangle of a matrix U.T @ U by U; LinAlgError where there is no U."""
    use = _arithmetic(matrix)
    for block in _diagonal_blocks(matrix, use.size):
        own, rest = matrix[block, block], _right_of(block, matrix, use.multiply_columns)
        for a, b in tiles(block.start, use.multiply_columns):
            done = matrix[a:b]
            use.add_square(own, done[:, block], -1)
            for right in rest:
                use.add(matrix[block, right], done[:, block], done[:, right], -1)
        use.factor(own)
        for right in rest:
            use.solve_left(matrix[block, right], own)


def solve(factor: Array, right: Array) -> Array:
    """The solution of the system with this Cholesky factor, for right sides (n, T)."""
    use, rows = _arithmetic(factor), right.T.astype(factor.dtype, order="C")
    forward(factor, rows)
    for block in reversed(_diagonal_blocks(factor, use.size)):
        for columns in _right_of(block, factor, use.strip_columns):
            rows[:, block] -= rows[:, columns] @ factor[block, columns].T
        use.solve_right(rows[:, block], factor[block, block], transposed=True)
    return rows.T


def forward(factor: Array, rows: Array) -> None:
    """Replace rows (n, D) by rows @ inv(U), for a factor U."""
    use = _arithmetic(factor)
    for block in _diagonal_blocks(factor, use.size):
        use.solve_right(rows[:, block], factor[block, block])
        for columns in _right_of(block, factor, use.strip_columns):
            rows[:, columns] -= rows[:, block] @ factor[block, columns]


def product(matrix: Array, x: Array) -> Array:
    """The matrix times x (n, T), in float64."""
    rows = (matrix[a:b].astype(np.float64, copy=False) @ x for a, b in tiles(len(matrix)))
    return namespace(matrix).concatenate(list(rows))


def _diagonal_blocks(matrix: Array, size: int) -> list[slice]:
    return [slice(*block) for block in tiles(len(matrix), size)]


def _right_of(block: slice, matrix: Array, width: int) -> list[slice]:
    """The columns right of a block, in strips of that width."""
    rest = tiles(len(matrix) - block.stop, width)
    return [slice(block.stop + a, block.stop + b) for a, b in rest]


class BlockArithmetic(Protocol):
    """What is done in place to one block of a matrix, by the libraries of the host or a device."""

    size: int  # rows and columns of a block
    multiply_columns: int  # rows or columns that are multiplied at once
    strip_columns: int  # columns that few rows are multiplied by at once
    mirror_columns: int  # columns that are transposed at once

    def factor(self, block: Array) -> None:
        """Replace the upper triangle of U.T @ U by U; LinAlgError where there is no U."""
        ...

    def solve_left(self, block: Array, factor: Array) -> None:
        """Replace a block (n, m) by inv(U).T @ block, for a factor U (n, n)."""
        ...

    def solve_right(self, rows: Array, factor: Array, transposed: bool = False) -> None:
        """Replace rows (m, n) by rows @ inv(U), or by rows @ inv(U).T, for a factor U (n, n)."""
        ...

    def add(self, block: Array, a: Array, b: Array, times: float = 1) -> None:
        """Add `times` a.T @ b, of a (k, m) and b (k, n), to a block (m, n)."""
        ...

    def add_square(self, block: Array, a: Array, times: float = 1) -> None:
        """Add `times` a.T @ a, of a (k, n), to the upper triangle of a block (n, n)."""
        ...


def _arithmetic(matrix: Array) -> BlockArithmetic:
    return HostBlocks() if namespace(matrix) is np else DeviceBlocks(matrix)


class HostBlocks:
    """By NumPy as far as it can, else by SciPy, on one thread where a matrix is factorised.

    NumPy and SciPy each bring a pool of BLAS threads; idle threads of one spin against the other's.
    """

    size = 1024
    solve_rows = 256  # rows of a block that SciPy solves for at once: products do the rest
    multiply_columns = strip_columns = 2**31  # all
    mirror_columns = 256  # they stay in a cache

    def factor(self, block: np.ndarray) -> None:
        potrf: Any = get_lapack_funcs("potrf", (block,))
        with ONE_THREAD:
            found, failed = potrf(block.T, lower=True, clean=False)
        if failed or not np.isfinite(found.diagonal()).all():
            raise np.linalg.LinAlgError(NOT_DEFINITE)
        block[...] = found.T

    def solve_left(self, block: np.ndarray, factor: np.ndarray) -> None:
        trsm: Any = get_blas_funcs("trsm", (block,))
        for start in range(0, len(block), self.solve_rows):
            some = slice(start, start + self.solve_rows)
            if start:
                block[some] -= factor[:start, some].T @ block[:start]
            with ONE_THREAD:
                found = trsm(1.0, factor[some, some].T, block[some].T, side=1, lower=1, trans_a=1)
            block[some] = found.T

    def solve_right(self, rows: np.ndarray, factor: np.ndarray, transposed: bool = False) -> None:
        found = solve_triangular(factor, rows.T, trans=int(not transposed), check_finite=False)
        rows[...] = found.T

    def add(self, block: np.ndarray, a: np.ndarray, b: np.ndarray, times: float = 1) -> None:
        product = a.T @ b
        product *= times
        block += product

    def add_square(self, block: np.ndarray, a: np.ndarray, times: float = 1) -> None:
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
    """By cuSOLVER and cuBLAS, which CuPy offers for whole arrays alone."""

    # So that a call sees fewer than 2**31 numbers, up to 131072 columns.
    size = multiply_columns = 16384
    strip_columns = 1024  # CuPy copies the strip first
    mirror_columns = 1024

    def __init__(self, matrix: Array) -> None:
        import cupy  # pyright: ignore[reportMissingImports]

        self.xp: ModuleType = cupy
        self.blas: ModuleType = cupy.cuda.cublas
        self.dtype = np.dtype(matrix.dtype)
        self.handle = cupy.cuda.device.get_cublas_handle()
        self.lower = self.blas.CUBLAS_FILL_MODE_LOWER
        self.one, self.kind = np.array(1, self.dtype), "s" if self.dtype == np.float32 else "d"

    def factor(self, block: Array) -> None:
        handle, where = self.xp.cuda.device.get_cusolver_handle(), (len(block), *_place(block))
        size = self._solver("potrf_bufferSize")(handle, self.lower, *where)
        room, failed = self.xp.empty(size, self.dtype), self.xp.empty(1, np.int32)
        potrf = self._solver("potrf")
        potrf(handle, self.lower, *where, room.data.ptr, size, failed.data.ptr)
        if int(failed[0]) or not bool(self.xp.isfinite(block.diagonal()).all()):
            raise np.linalg.LinAlgError(NOT_DEFINITE)

    def solve_left(self, block: Array, factor: Array) -> None:
        self._trsm(self.blas.CUBLAS_SIDE_RIGHT, True, block, factor)

    def solve_right(self, rows: Array, factor: Array, transposed: bool = False) -> None:
        self._trsm(self.blas.CUBLAS_SIDE_LEFT, transposed, rows, factor)

    def add(self, block: Array, a: Array, b: Array, times: float = 1) -> None:
        m, n = block.shape
        options, factor = (self._operation(False), self._operation(True)), self._number(times)
        operands = *_place(b), *_place(a), self.one.ctypes.data, *_place(block)
        self._blas("gemm")(self.handle, *options, n, m, len(a), factor.ctypes.data, *operands)

    def add_square(self, block: Array, a: Array, times: float = 1) -> None:
        options, factor = (self.lower, self._operation(False)), self._number(times)
        operands = *_place(a), self.one.ctypes.data, *_place(block)
        sizes = len(block), len(a)
        self._blas("syrk")(self.handle, *options, *sizes, factor.ctypes.data, *operands)

    def _trsm(self, side: int, transposed: bool, into: Array, factor: Array) -> None:
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


def _place(block: Array) -> tuple[int, int]:
    """Where a block begins in memory, and how many numbers its rows are apart."""
    rows, columns = block.strides
    if columns != block.itemsize or rows % block.itemsize:
        raise ValueError("a block's rows must be contiguous")
    return block.data.ptr, rows // block.itemsize
