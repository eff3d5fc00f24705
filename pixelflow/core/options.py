"""What `encoder_params` may hold for each encoder: the defaults, and the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.checks import brief, choice, integer, number, real_array
from pixelflow.core.forms import LIMITS
from pixelflow.core.limits import MOST_OFFSET, MOST_SAMPLES, MOST_WINDOW

_OUTPUT = {"scale": 1.0, "threshold": 0.0, "squash": "none"}
_LOCAL = {"k": 5, "bias": 0.0, "contrast": 0.0, **_OUTPUT}
_LEARNED = {"k": 6, "contrast": 0.04, "epsilon": 0.1, **_OUTPUT}
DEFAULTS: dict[str, dict[str, Any]] = {
    "image": {},
    "patches": {**_LEARNED, "samples": 100_000},
    "phase": {},
    "project": {},
    "random": _LOCAL,
    "shifts": {"reach": 3, "scale": ((1.0, 1.0), (-1.0, 1.0)), "offset": (0.0,)},
    "tile": {},
    "whiten": {**_LEARNED, "samples": 100_000},
}
RANGES = {  # of whole numbers
    "k": (1, MOST_WINDOW),
    "reach": (1, MOST_OFFSET),
    "samples": (2, MOST_SAMPLES),
}
MOST = {"contrast": 1e18}  # its square is finite in float32
POSITIVE = ("epsilon",)  # else what has no variance would be divided by 0


def checked_options(encoder: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that an encoder knows, in their plain types; raises for what none of them can be."""
    known = DEFAULTS[encoder]
    return {name: _checked(name, known[name], given[name]) for name in given}


def _checked(option: str, default: Any, value: Any) -> Any:
    name = f"encoder_params {option}"
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
