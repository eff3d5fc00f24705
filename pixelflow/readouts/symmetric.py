"""Large symmetric matrices, block by block: what is summed, and Cholesky factors in place.

The upper triangle is what is added to and factorised, so that the lower one can keep the matrix
itself. Nothing larger than a strip of a block's rows is made on the side, and no call of a device's
libraries sees an index beyond 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.readouts.arrays import namespace
from pixelflow.readouts.blocks import blocks_of

TILE = 1024  # columns


def tiles(size: int, tile: int | None = None) -> list[tuple[int, int]]:
    """First and last column of each tile."""
    tile = tile or TILE
    return [(start, min(start + tile, size)) for start in range(0, size, tile)]


def mirror(matrix: Any) -> None:
    """Copy the upper triangle into the lower one."""
    xp = namespace(matrix)
    for a, b in tiles(len(matrix), blocks_of(matrix).transposed):
        corner = matrix[a:b, a:b]
        corner[...] = xp.triu(corner) + xp.triu(corner, 1).T
        matrix[b:, a:b] = matrix[a:b, b:].T


def restore(matrix: Any, diagonal: Any) -> None:
    """Copy the lower triangle into the upper one, and write a diagonal."""
    xp = namespace(matrix)
    for a, b in tiles(len(matrix), blocks_of(matrix).transposed):
        corner = matrix[a:b, a:b]
        corner[...] = xp.tril(corner) + xp.tril(corner, -1).T
        matrix[a:b, b:] = matrix[b:, a:b].T
    matrix.reshape(-1)[:: len(matrix) + 1] = diagonal


def add_square(matrix: Any, rows: Any) -> None:
    """Add rows.T @ rows, of rows (n, D), to the upper triangle; they are multiplied in their type.

    In place where that is the matrix's; else tile by tile, and what is below the diagonal in a
    tile's square is added to as well.
    """
    if rows.dtype != matrix.dtype:
        for a, b in tiles(len(matrix)):
            matrix[a:b, a:] += rows[:, a:b].T @ rows[:, a:]
        return
    on = blocks_of(matrix)
    for block in _blocks(matrix, on):
        on.add_square(matrix[block, block], rows[:, block])
        for right in _beyond(matrix, block, on.most):
            on.add(matrix[block, right], rows[:, block], rows[:, right])


def factorize(matrix: Any) -> None:
    """Make U of the upper triangle of U.T @ U; LinAlgError where there is none."""
    on = blocks_of(matrix)
    for block in _blocks(matrix, on):
        own, rest = matrix[block, block], _beyond(matrix, block, on.most)
        for a, b in tiles(block.start, on.most):
            done = matrix[a:b]
            on.add_square(own, done[:, block], -1)
            for right in rest:
                on.add(matrix[block, right], done[:, block], done[:, right], -1)
        on.factor(own)
        for right in rest:
            on.solve_left(matrix[block, right], own)


def solve(factor: Any, right: Any) -> Any:
    """The solution of the system whose Cholesky factor that is, for right sides (n, T)."""
    on, rows = blocks_of(factor), right.T.astype(factor.dtype, order="C")
    forward(factor, rows)
    for block in reversed(_blocks(factor, on)):
        for columns in _beyond(factor, block, on.strip):
            rows[:, block] -= rows[:, columns] @ factor[block, columns].T
        on.solve_right(rows[:, block], factor[block, block], transposed=True)
    return rows.T


def forward(factor: Any, rows: Any) -> None:
    """Make rows @ inv(U) of rows (n, D), for a factor U."""
    on = blocks_of(factor)
    for block in _blocks(factor, on):
        on.solve_right(rows[:, block], factor[block, block])
        for columns in _beyond(factor, block, on.strip):
            rows[:, columns] -= rows[:, block] @ factor[block, columns]


def product(matrix: Any, x: Any) -> Any:
    """The matrix times x (n, T), in float64."""
    rows = (matrix[a:b].astype(np.float64, copy=False) @ x for a, b in tiles(len(matrix)))
    return namespace(matrix).concatenate(list(rows))


def _blocks(matrix: Any, on: Any) -> list[slice]:
    return [slice(*block) for block in tiles(len(matrix), on.size)]


def _beyond(matrix: Any, block: slice, width: int) -> list[slice]:
    """Strips of that many of the columns right of a block."""
    rest = tiles(len(matrix) - block.stop, width)
    return [slice(block.stop + a, block.stop + b) for a, b in rest]
