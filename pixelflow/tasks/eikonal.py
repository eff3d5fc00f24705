"""The Eikonal equation |grad T| = 1 / speed: arrival times of a front."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray


def solve_reference(grid: ArrayLike, source: tuple[int, int]) -> NDArray[np.float64]:
    """Arrival times from one cell by first-order fast marching.

    This is the field's reference, and itself off by a few percent near the source; measure
    accuracy against analytic arrival times.

    Parameters
    ----------
    grid : array (H, W)
        Speed in every cell, in cells per unit of time, above 0.
    source : (row, column)
        Where the front starts at time 0.

    Returns
    -------
    float64 array (H, W)
        T, with T[source] = 0.

    Raises
    ------
    ValueError
        If the grid is not 2-D, is empty, or holds a speed that is not finite or not above 0
        (the smallest that scikit-fmm takes is 2.2e-16), or if the source is not in it.
    TypeError
        If the source is not two integers.
    ImportError
        If scikit-fmm is not installed.

    References
    ----------
    J. A. Sethian, "A fast marching level set method for monotonically advancing fronts",
    PNAS 93 (1996), 1591-1595; computed by scikit-fmm.

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow.tasks.eikonal import solve_reference
    >>> solve_reference(np.full((1, 4), 2.0), (0, 1))
    array([[0.5, 0. , 0.5, 1. ]])
    """
    speed = np.array(grid, dtype=np.float64, order="C")  # scikit-fmm ignores strides
    if speed.ndim != 2 or speed.size == 0:
        raise ValueError(f"grid must be a 2-D array of speeds, got shape {speed.shape}")
    smallest = np.finfo(np.float64).eps  # scikit-fmm leaves cells this slow out
    if not (np.isfinite(speed).all() and (speed > smallest).all()):
        raise ValueError(
            f"speeds must be finite and > 0 (above {smallest:.1e}), "
            f"got values from {speed.min()} to {speed.max()}"
        )
    row, column = _cell(source)
    if not (0 <= row < speed.shape[0] and 0 <= column < speed.shape[1]):
        raise ValueError(f"source {(row, column)} is outside a grid of shape {speed.shape}")
    try:
        import skfmm  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            'solve_reference needs scikit-fmm: pip install "pixelflow[eikonal]" '
            "(it builds with a C++ compiler)"
        ) from error
    phi = np.ones(speed.shape)
    phi[row, column] = 0
    return skfmm.travel_time(phi, speed, dx=1.0, order=1)


def _cell(source: tuple[int, int]) -> tuple[int, int]:
    try:
        row, column = (operator.index(part) for part in source)
    except (TypeError, ValueError):
        raise TypeError(f"source must be two integers (row, column), got {source!r}") from None
    return row, column
