"""What a reservoir is compared with: itself without its clip, and affine maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pixelflow.core import ReservoirConfig
from pixelflow.reservoir import Reservoir

FAINT = np.float32(2.0**-6)  # of an input keeps a wave off its clip; a power of 2 rounds nothing
PAIRS = 500  # of test images, to tell how far a reservoir is from an affine map

Transform = Callable[[np.ndarray], np.ndarray]


def transform_of(config: ReservoirConfig, clip: bool = True) -> Transform:
    """From pixels to features; without its clip a wave is the same reservoir of a faint input.

    Raises
    ------
    ValueError
        If another rule than the wave is asked for without its clip.
    """
    transform = Reservoir(config).transform
    if clip:
        return transform
    if config.rule != "wave":
        raise ValueError(f"only a wave is the same but for its clip when faint, not {config.rule}")
    return lambda X: transform(X * FAINT) / FAINT


def non_affine(transform: Transform, X: np.ndarray) -> float:
    """Root mean square of f((a + b)/2) - (f(a) + f(b))/2 over that of (f(a) - f(b))/2.

    Of the first inputs, taken in pairs. Zero of an affine map, whose features a linear readout
    could as well compute from the input; a constant is one.
    """
    n = min(PAIRS, len(X) // 2)
    a, b = X[:n], X[n : 2 * n]
    middle, one, other = (transform(inputs) for inputs in ((a + b) / 2, a, b))
    apart = np.sqrt(np.mean(((one - other) / 2) ** 2))
    curved = np.sqrt(np.mean((middle - (one + other) / 2) ** 2))
    return float(curved / apart) if apart or curved else 0.0
