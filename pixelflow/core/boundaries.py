"""What lies beyond the edge of a texture."""

from __future__ import annotations

import numpy as np

BOUNDARIES = ("periodic", "reflect", "zero")


def beyond(positions: np.ndarray, length: int, boundary: str) -> np.ndarray:
    """Which of an axis's `length` cells stand at any positions, inside or beyond; -1 is zero."""
    if boundary == "periodic":
        return positions % length
    if boundary == "reflect":  # the edge cell is repeated: period 2 * length
        folded = positions % (2 * length)
        return np.minimum(folded, 2 * length - 1 - folded)
    return np.where((positions >= 0) & (positions < length), positions, -1)
