"""Cholesky factors of large symmetric matrices, in place and block by block.

Only the lower triangle is read and written, so that the upper one can keep the matrix itself.
Nothing larger than some blocks is made on the side, and no call sees an index beyond 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.readouts.blocks import steps_on

TILE = 1024  # columns


def tiles(size: int, tile: int | None = None) -> list[tuple[int, int]]:
    """First and last column of each tile."""
    tile = tile or TILE
    return [(start, min(start + tile, size)) for start in range(0, size, tile)]


def mirror(xp: Any, matrix: Any) -> None:
    """Copy the lower triangle into the upper one."""
    for start, stop in tiles(len(matrix)):
        corner = matrix[start:stop, start:stop]
        corner[...] = xp.tril(corner) + xp.tril(corner, -1).T
        matrix[start:stop, stop:] = matrix[stop:, start:stop].T


def restore(xp: Any, matrix: Any, diagonal: Any) -> None:
    """Write the lower triangle from the upper one, and a diagonal."""
    for start, stop in tiles(len(matrix)):
        corner = matrix[start:stop, start:stop]
        upper = xp.triu(corner, 1)
        corner[...] = upper + upper.T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
    matrix.reshape(-1)[:: len(matrix) + 1] = diagonal


def factorize(matrix: Any) -> None:
    """Write the Cholesky factor over the lower triangle; LinAlgError where there is none."""
    steps = steps_on(matrix)
    blocks = [slice(*block) for block in tiles(len(matrix), steps.size)]
    for i, row in enumerate(blocks):
        steps.factor(matrix[row, row])
        for below in blocks[i + 1 :]:
            steps.divide(matrix[below, row], matrix[row, row])
        for j, below in enumerate(blocks[i + 1 :], i + 1):
            steps.subtract_square(matrix[below, below], matrix[below, row])
            for column in blocks[i + 1 : j]:
                steps.subtract(matrix[below, column], matrix[below, row], matrix[column, row])


def solve(factor: Any, right: Any) -> Any:
    """The solution of the system whose Cholesky factor that is, for right sides (n, T)."""
    steps, found = steps_on(factor), forward(factor, right.astype(factor.dtype, order="C"))
    for start, stop in reversed(tiles(len(factor), steps.size)):
        if stop < len(factor):
            found[start:stop] -= factor[stop:, start:stop].T @ found[stop:]
        steps.solve(factor[start:stop, start:stop], found[start:stop], transposed=True)
    return found


def forward(factor: Any, right: Any) -> Any:
    """The factor's inverse times `right` (n, T), which is overwritten."""
    steps = steps_on(factor)
    for start, stop in tiles(len(factor), steps.size):
        steps.solve(factor[start:stop, start:stop], right[start:stop])
        if stop < len(factor):
            right[stop:] -= factor[stop:, start:stop] @ right[start:stop]
    return right


def product(xp: Any, matrix: Any, x: Any) -> Any:
    """The matrix times x (n, T), in float64."""
    rows = (matrix[a:b].astype(np.float64, copy=False) @ x for a, b in tiles(len(matrix)))
    return xp.concatenate(list(rows))
