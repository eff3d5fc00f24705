"""The Eikonal equation |grad T| = 1 / speed: arrival times of a front, computed and exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelflow.checks import FLOAT32_MAX, brief, float32, is_integer, real_array
from pixelflow.core.limits import check_count

MOST_CELLS = 2**28  # of a grid: 2 GiB for each float64 array
SLOWEST = float(np.finfo(np.float32).tiny)  # its square does not underflow in float64


def solve_reference(grid: ArrayLike, source: tuple[int, int]) -> NDArray[np.float64]:
    """Arrival times from one cell by first-order fast marching.

    The field uses it as its reference, but it has errors of a few percent near the source; measure
    accuracy against analytic arrival times.

    Parameters
    ----------
    grid : array (H, W)
        Speed in every cell, in cells per unit of time, above 0. The masked cells of a masked array
        are obstacles, which the front can't enter.
    source : (row, column)
        Where the front starts at time 0.

    Returns
    -------
    float64 array (H, W)
        T, with T[source] = 0; infinite in obstacles and in cells that the front can't reach.

    Raises
    ------
    ValueError
        If the grid is not 2-D, is empty, or has a speed that is above float32's maximum or not
        above 2.2e-16 (scikit-fmm ignores slower cells), or if the source is outside the grid or an
        obstacle.
    TypeError
        If the grid does not hold real numbers, or the source is not two integers.
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
    obstacles: Any = False
    if isinstance(grid, np.ma.MaskedArray):  # a masked value is not a speed
        obstacles, grid = np.ma.getmaskarray(grid), grid.filled(1)
    speed = real_array("grid", grid)
    if speed.ndim != 2 or speed.size == 0:
        raise ValueError(f"grid must be a 2-D array of speeds, got shape {speed.shape}")
    speed = np.ascontiguousarray(speed)  # because scikit-fmm ignores strides
    _check_speed(speed, float(np.finfo(np.float64).eps))  # because scikit-fmm ignores slower cells
    row, column = _check_source(speed.shape, source)
    try:
        import skfmm  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            'solve_reference needs scikit-fmm: pip install "pixelflow[eikonal]" '
            "(it builds with a C++ compiler)"
        ) from error
    phi = np.ma.array(np.ones(speed.shape), mask=obstacles)
    if np.ma.getmaskarray(phi)[row, column]:
        raise ValueError(f"source {(row, column)} is an obstacle, because the grid masks it")
    phi[row, column] = 0
    return np.ma.filled(skfmm.travel_time(phi, speed, dx=1.0, order=1), np.inf)


def constant_speed(
    shape: tuple[int, int], source: tuple[int, int], speed: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A field of constant speed, and its exact arrival times T = d / speed.

    Use it as a sanity check, not to measure a solver's accuracy, because any multiple of the
    distance d has the right shape.

    Parameters
    ----------
    shape : (H, W)
        Rows and columns of the grid.
    source : (row, column)
        The cell where the front starts at time 0.
    speed : float
        In cells per unit of time, above 0.

    Returns
    -------
    speed, times : float64 arrays (H, W)

    Raises
    ------
    ValueError
        If the grid has no cell or more than 2**28, the source is outside the grid, or a speed is
        not above 0 or not finite in float32.
    TypeError
        If the shape or the source is not two integers, or another argument is not a number.

    Examples
    --------
    >>> from pixelflow.tasks.eikonal import constant_speed
    >>> constant_speed((1, 4), (0, 1), speed=2.0)[1]
    array([[0.5, 0. , 0.5, 1. ]])
    """
    dy, dx = _offsets(shape, source)
    field = _check_speed(float32("speed", speed) + 0 * (dy + dx))
    return field, np.hypot(dy, dx) / field


def radial_speed(
    shape: tuple[int, int], source: tuple[int, int], drop: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A speed that falls with the distance from the source, and its exact arrival times.

    The speed is 1 - drop r / R, where R is the distance of the farthest cell. The straight ray is
    the fastest, because every other one also crosses all smaller distances and is longer. So
    T = integral of dr / speed = -R / drop log(1 - drop r / R). A negative drop is a rise.

    Parameters
    ----------
    shape, source
        As in `constant_speed`.
    drop : float
        Speed in the source minus speed in the farthest cell; below 1.

    Returns
    -------
    speed, times : float64 arrays (H, W)

    Raises
    ------
    ValueError, TypeError
        As `constant_speed`.

    Examples
    --------
    >>> from pixelflow.tasks.eikonal import radial_speed
    >>> radial_speed((1, 3), (0, 0), drop=0.5)[1].round(3)  # the last is 4 log 2
    array([[0.   , 1.151, 2.773]])
    """
    distance = np.hypot(*_offsets(shape, source))
    drop = float32("drop", drop)
    slowing = drop / max(distance.max(), 1.0)  # a grid of one cell has no distance
    field = _check_speed(1 - slowing * distance)
    if abs(drop) < np.finfo(np.float64).eps:  # the logarithm would be rounded to 0
        return field, distance
    return field, -np.log1p(-slowing * distance) / slowing


def linear_speed(
    shape: tuple[int, int],
    source: tuple[int, int],
    gradient: tuple[float, float],
    speed: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A speed with a constant gradient g, and its exact arrival times.

    The speed is s = speed + g . (cell - source). Rays are arcs of circles that bend towards the
    faster side, and T = acosh(1 + |g|^2 d^2 / (2 speed s)) / |g| at the distance d. These are the
    times in the unbounded plane; they hold on the grid if no ray leaves it.

    Parameters
    ----------
    shape, source
        As in `constant_speed`.
    gradient : (float, float)
        Change of the speed from row to row and from column to column.
    speed : float
        The speed in the source.

    Returns
    -------
    speed, times : float64 arrays (H, W)

    Raises
    ------
    ValueError, TypeError
        As `constant_speed`.

    References
    ----------
    S. Fomel, S. Luo, H. Zhao, "Fast sweeping method for the factored eikonal equation",
    Journal of Computational Physics 228 (2009), 6440-6455.

    Examples
    --------
    >>> from pixelflow.tasks.eikonal import linear_speed
    >>> linear_speed((1, 3), (0, 0), gradient=(0, 0.5))[1].round(3)  # the last is 2 log 2
    array([[0.   , 0.811, 1.386]])
    """
    dy, dx = _offsets(shape, source)
    speed = float32("speed", speed)
    by_row, by_column = (float32("gradient", part) for part in _pair("gradient", gradient))
    field = _check_speed(speed + by_row * dy + by_column * dx)
    times = np.hypot(dy, dx) / np.sqrt(speed * field)
    steepness = float(np.hypot(by_row, by_column))
    # acosh(1 + 2 x^2) is computed as 2 asinh(x), which is exact near the source, too. If all x are
    # below 1e-8, it equals 2 x in float64.
    if steepness / 2 * times.max() > 1e-8:
        times = 2 / steepness * np.arcsinh(steepness / 2 * times)
    return field, times


def _offsets(
    shape: tuple[int, int], source: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns from the source, (H, 1) and (1, W)."""
    height, width = _two_integers("shape", shape)
    if height < 1 or width < 1:
        raise ValueError(f"shape must be at least one row and column, got {brief((height, width))}")
    check_count("shape", height, width, most=MOST_CELLS)
    row, column = _check_source((height, width), source)
    rows, columns = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    return rows[:, None] - row, columns[None] - column


def _check_speed(speed: NDArray[np.float64], least: float = SLOWEST) -> NDArray[np.float64]:
    """Check that speeds are in the range in which their squares neither under- nor overflow."""
    if not (np.abs(speed) <= FLOAT32_MAX).all() or not (speed > least).all():
        raise ValueError(
            f"speeds must be finite and > 0 (from {least:.1e} to {FLOAT32_MAX:.1e}), "
            f"got values from {speed.min()} to {speed.max()}"
        )
    return speed


def _check_source(shape: tuple[int, ...], source: tuple[int, int]) -> tuple[int, int]:
    """Check that the source is a cell of a grid of this shape, and return it."""
    row, column = _two_integers("source", source)
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        got = brief((row, column))
        raise ValueError(f"source must be a cell of the grid of shape {shape}, got {got}")
    return row, column


def _two_integers(name: str, pair: tuple[int, int]) -> tuple[int, int]:
    first, second = _pair(name, pair, "integers")
    if not is_integer(first) or not is_integer(second):
        raise TypeError(f"{name} must be two integers, got {brief(pair)}")
    return int(first), int(second)


def _pair(name: str, pair: Any, kind: str = "numbers") -> tuple[Any, Any]:
    """Return the two items of a sequence; a set is refused, because it has no order."""
    items = pair.tolist() if isinstance(pair, np.ndarray) and pair.size == 2 else pair
    text = isinstance(items, str | bytes | bytearray)
    if text or not isinstance(items, Sequence) or len(items) != 2:
        raise TypeError(f"{name} must be two {kind}, got {brief(pair)}")
    return items[0], items[1]
