"""Cholesky factors of large symmetric matrices, in place and tile by tile.

Only the lower triangle is read and written. Whatever the size, nothing larger than some columns
is made on the side, and no call sees an index beyond 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.readouts.arrays import cholesky, substitute

TILE = 1024  # columns


def tiles(size: int) -> list[tuple[int, int]]:
    """First and last column of each tile."""
    return [(start, min(start + TILE, size)) for start in range(0, size, TILE)]


def factorize(xp: Any, matrix: Any) -> None:
    """Write the Cholesky factor over the lower triangle; LinAlgError where there is none."""
    size = len(matrix)
    for start, stop in tiles(size):
        corner = cholesky(xp, matrix[start:stop, start:stop])
        if not bool(xp.isfinite(corner).all()):
            raise np.linalg.LinAlgError("the matrix is not positive definite")
        matrix[start:stop, start:stop] = corner
        if stop == size:
            return
        below = xp.ascontiguousarray(substitute(xp, corner, matrix[stop:, start:stop].T).T)
        matrix[stop:, start:stop] = below
        for first, last in tiles(size - stop):
            product = below[first:] @ below[first:last].T
            matrix[stop + first :, stop + first : stop + last] -= product


def solve(xp: Any, factor: Any, right: Any) -> Any:
    """The solution of the system whose Cholesky factor that is, for right sides (n, T)."""
    found = forward(xp, factor, right.astype(factor.dtype))
    for start, stop in reversed(tiles(len(factor))):
        if stop < len(factor):
            found[start:stop] -= factor[stop:, start:stop].T @ found[stop:]
        corner = factor[start:stop, start:stop]
        found[start:stop] = substitute(xp, corner, found[start:stop], transposed=True)
    return found


def forward(xp: Any, factor: Any, right: Any) -> Any:
    """The factor's inverse times `right` (n, T), which is overwritten."""
    for start, stop in tiles(len(factor)):
        right[start:stop] = substitute(xp, factor[start:stop, start:stop], right[start:stop])
        if stop < len(factor):
            right[stop:] -= factor[stop:, start:stop] @ right[start:stop]
    return right


def product(xp: Any, lower: Any, x: Any) -> Any:
    """The symmetric matrix with that lower triangle times x (n, T), in float64."""
    found = xp.zeros(x.shape)
    for start, stop in tiles(len(lower)):
        corner = xp.tril(lower[start:stop, start:stop].astype(np.float64))
        found[start:stop] += corner @ x[start:stop] + xp.tril(corner, -1).T @ x[start:stop]
        if stop < len(lower):
            below = lower[stop:, start:stop].astype(np.float64)
            found[start:stop] += below.T @ x[stop:]
            found[stop:] += below @ x[start:stop]
    return found
