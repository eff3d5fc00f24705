"""Small two-dimensional classification problems for tests and tutorials."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from pixelflow.checks import integer, number
from pixelflow.core.limits import MOST_SEED

POINTS_PER_CELL = 100
MOST_POINTS = 10**7  # in a problem
MOST_NOISE = 1e6  # finite in float32, and far above the size of the moons


def two_moons(
    n: int = 200, noise: float = 0.1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two interleaved half circles: scikit-learn's `make_moons` in float32.

    Parameters
    ----------
    n : int
        Number of points, at least 2.
    noise : float
        Standard deviation of the Gaussian noise added to each coordinate.
    seed : int
        Seed of noise and order.

    Returns
    -------
    X : float32 array (n, 2)
    y : int64 array (n,), 0 or 1

    Raises
    ------
    TypeError
        If `n` or `seed` is not an integer, or `noise` is not a number.
    ValueError
        If `n` is below 2 or above 10 million, `noise` is negative or above a million, or `seed` is
        negative or above 2**32 - 1.

    Examples
    --------
    >>> from pixelflow.tasks.synthetic import two_moons
    >>> X, y = two_moons(n=500, noise=0.2, seed=0)
    >>> X.shape, X.dtype
    ((500, 2), dtype('float32'))
    """
    points, labels = make_moons(
        n_samples=integer("n", n, 2, MOST_POINTS),
        noise=abs(number("noise", noise, 0, MOST_NOISE)),
        random_state=integer("seed", seed, 0, 2**32 - 1),  # scikit-learn's range
    )
    return np.asarray(points, dtype=np.float32), np.asarray(labels, dtype=np.int64)


def checkerboard(
    n_per_side: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Uniform random points on a checkerboard, 100 in each cell; the class is the cell's colour.

    Parameters
    ----------
    n_per_side : int
        Cells along each side of [0, n_per_side] x [0, n_per_side].
    seed : int
        Seed of the points.

    Returns
    -------
    X : float32 array (100 n_per_side^2, 2)
        Columns are (x, y). Points are sorted by cell, row by row: shuffle them before splitting.
    y : int64 array (100 n_per_side^2,)
        The parity of row + column.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If `n_per_side` is below 1 or above 316, or `seed` is negative.

    Examples
    --------
    >>> from pixelflow.tasks.synthetic import checkerboard
    >>> X, y = checkerboard(n_per_side=3)
    >>> X.shape, int(y.sum())
    ((900, 2), 400)
    """
    n_per_side = integer("n_per_side", n_per_side, 1, isqrt(MOST_POINTS // POINTS_PER_CELL))
    rng = np.random.default_rng(integer("seed", seed, 0, MOST_SEED))
    row, column = np.divmod(np.arange(n_per_side**2), n_per_side)
    corner = np.stack([column, row], axis=1)[:, None, :]
    X = rng.uniform(corner, corner + 1, size=(n_per_side**2, POINTS_PER_CELL, 2))
    return X.reshape(-1, 2).astype(np.float32), np.repeat((row + column) % 2, POINTS_PER_CELL)
