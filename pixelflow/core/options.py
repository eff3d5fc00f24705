"""The checks of what `encoder_params` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.checks import brief, choice, integer, number, real_array
from pixelflow.core.forms import LIMITS
from pixelflow.core.limits import MOST_OFFSET, MOST_SAMPLES, MOST_WINDOW

RANGES = {  # of whole numbers
    "k": (1, MOST_WINDOW),
    "reach": (1, MOST_OFFSET),
    "samples": (2, MOST_SAMPLES),
}
MOST = {"contrast": 1e18, "density": 1.0}  # the square of a contrast is finite in float32
POSITIVE = ("epsilon",)  # else what has no variance would be divided by 0


def checked_options(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options in their plain types, by an encoder's defaults; raises for what none can be."""
    return {name: _checked(name, known[name], given[name]) for name in given}


def _checked(option: str, default: Any, value: Any) -> Any:
    name = f"encoder_params {option}"
    if default is None:
        return _mask(name, value)
    if isinstance(default, str):
        return choice(name, value, sorted(set(LIMITS) - {"unit"}))
    if isinstance(default, int):
        return integer(name, value, *RANGES[option])
    array, axes = real_array(name, value), np.ndim(default)
    if array.ndim != axes:
        expected = f"numbers in {axes} axes" if axes else "a number"
        raise TypeError(f"{name} must be {expected}, got {brief(value)}")
    if not axes:
        above = 0 if option in POSITIVE else None
        return number(name, array.item(), 0, MOST.get(option), above=above)
    if not array.size or (array.ndim == 2 and array.shape[1] != 2):
        expected = "(low, high) pairs" if array.ndim == 2 else "numbers"
        raise ValueError(f"{name} must be {expected}, one for each channel, got {brief(value)}")
    if array.ndim == 2 and (array[:, 0] > array[:, 1]).any():
        raise ValueError(f"{name} must have low <= high, got {brief(value)}")
    return tuple(tuple(item) if array.ndim == 2 else item for item in array.tolist())


def _mask(name: str, value: Any) -> np.ndarray | None:
    """Weights (H, W, C, K), or None."""
    if value is None:
        return None
    mask = real_array(name, value)
    if mask.ndim != 4 or 0 in mask.shape:
        raise ValueError(f"{name} must be weights (H, W, C, K), got shape {mask.shape}")
    return mask
