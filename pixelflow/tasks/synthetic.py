"""Small two-dimensional classification problems, for tests and first steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_moons

POINTS_PER_CELL = 100


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
        If `n` or `seed` is not an integer, or `noise` not a number.
    ValueError
        If `n` < 2, `noise` is negative or not finite, or `seed` is negative.

    Examples
    --------
    >>> from pixelflow.tasks.synthetic import two_moons
    >>> X, y = two_moons(n=500, noise=0.2, seed=0)
    >>> X.shape, X.dtype
    ((500, 2), dtype('float32'))
    """
    points, labels = make_moons(
        n_samples=_at_least(2, n, "n"),
        noise=_deviation(noise),
        random_state=_at_least(0, seed, "seed"),
    )
    return np.asarray(points, dtype=np.float32), np.asarray(labels, dtype=np.int64)


def checkerboard(
    n_per_side: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points uniform on a checkerboard, 100 in each unit cell; the class is the cell's colour.

    Parameters
    ----------
    n_per_side : int
        Cells along each side of [0, n_per_side] x [0, n_per_side].
    seed : int
        Seed of the points.

    Returns
    -------
    X : float32 array (100 n_per_side^2, 2)
        Columns are (x, y). Cell follows cell, row by row: shuffle before splitting.
    y : int64 array (100 n_per_side^2,)
        The parity of row + column.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If `n_per_side` < 1 or `seed` is negative.

    Examples
    --------
    >>> from pixelflow.tasks.synthetic import checkerboard
    >>> X, y = checkerboard(n_per_side=3)
    >>> X.shape, int(y.sum())
    ((900, 2), 400)
    """
    n_per_side = _at_least(1, n_per_side, "n_per_side")
    rng = np.random.default_rng(_at_least(0, seed, "seed"))
    row, column = np.divmod(np.arange(n_per_side**2), n_per_side)
    corner = np.stack([column, row], axis=1)[:, None, :]
    X = rng.uniform(corner, corner + 1, size=(n_per_side**2, POINTS_PER_CELL, 2))
    return X.reshape(-1, 2).astype(np.float32), np.repeat((row + column) % 2, POINTS_PER_CELL)


def _at_least(least: int, value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _deviation(noise: float) -> float:
    if isinstance(noise, bool) or not isinstance(noise, (int, float, np.integer, np.floating)):
        raise TypeError(f"noise must be a number, got {noise!r}")
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    return float(noise)
