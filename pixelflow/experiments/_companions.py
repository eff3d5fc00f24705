"""Comparisons of a reservoir with the same reservoir without clip, and with affine maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pixelflow.core import ReservoirConfig
from pixelflow.reservoir import Reservoir

FAINT_SCALE = np.float32(2.0**-6)  # too small an input for a wave's clip; 2^k adds no rounding
PAIRS = 500  # of test images, for `non_affine`

Transform = Callable[[np.ndarray], np.ndarray]


def make_transform(config: ReservoirConfig, clip: bool = True) -> Transform:
    """Make the function from pixels to features.

    Without `clip` the input is scaled down and the features up, so that the values of a wave stay
    below its clip.

    Raises
    ------
    ValueError
        If `clip` is False and the rule is not the wave.
    """
    transform = Reservoir(config).transform
    if clip:
        return transform
    if config.rule != "wave":
        raise ValueError(f"clip must be True for every rule but wave, got False for {config.rule}")
    return lambda X: transform(X * FAINT_SCALE) / FAINT_SCALE


def non_affine(transform: Transform, X: np.ndarray) -> float:
    """Root mean square of f((a + b)/2) - (f(a) + f(b))/2, divided by that of (f(a) - f(b))/2.

    The pairs (a, b) are of the first inputs. The value is 0 for an affine map, also for a constant
    one; a linear readout of the input could compute its features.
    """
    n = min(PAIRS, len(X) // 2)
    a, b = X[:n], X[n : 2 * n]
    middle, one, other = (transform(inputs) for inputs in ((a + b) / 2, a, b))
    spread = np.sqrt(np.mean(((one - other) / 2) ** 2))
    curvature = np.sqrt(np.mean((middle - (one + other) / 2) ** 2))
    return float(curvature / spread) if spread or curvature else 0.0
