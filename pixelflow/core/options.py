"""What `encoder_params` may hold for each encoder: the defaults, and the checks."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.core.forms import LIMITS

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
LEAST = {"samples": 2}  # where it is not 1
POSITIVE = ("epsilon",)  # else what has no variance would be divided by 0


def checked_options(encoder: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that an encoder knows, in their plain types; raises for what none of them can be."""
    known = DEFAULTS[encoder]
    return {name: _checked(f"encoder_params {name}", known[name], given[name]) for name in given}


def checked_integer(name: str, value: object, least: int) -> int:
    """A whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _checked(name: str, default: Any, value: Any) -> Any:
    if isinstance(default, str):
        known = sorted(set(LIMITS) - {"unit"})
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
        return value
    if isinstance(default, int):
        return checked_integer(name, value, LEAST.get(name.split()[-1], 1))
    if isinstance(default, float):
        number = float(_numbers(name, value, 0))
        if number < 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
        if number == 0 and name.split()[-1] in POSITIVE:
            raise ValueError(f"{name} must be positive, got {value!r}")
        return number
    array = _numbers(name, value, np.ndim(default))
    if not array.size or (array.ndim == 2 and array.shape[1] != 2):
        expected = "(low, high) pairs" if array.ndim == 2 else "numbers"
        raise ValueError(f"{name} must be {expected}, one for each channel, got {value!r}")
    if array.ndim == 2 and (array[:, 0] > array[:, 1]).any():
        raise ValueError(f"{name} must have low <= high, got {value!r}")
    return tuple(tuple(item) if array.ndim == 2 else item for item in array.tolist())


def _numbers(name: str, value: Any, ndim: int) -> np.ndarray:
    """An array of so many axes, finite in float32."""
    try:
        array = np.array(value)
        if array.dtype.kind not in "iuf" or array.ndim != ndim:
            raise TypeError(f"{array.dtype} with {array.ndim} axes")
    except (TypeError, ValueError) as error:
        kind = "a number" if ndim == 0 else f"numbers in {ndim} axes"
        raise TypeError(f"{name} must be {kind}, got {value!r}") from error
    if not np.all(np.abs(array) <= np.finfo(np.float32).max):
        raise ValueError(f"{name} must be finite and fit float32, got {value!r}")
    return array.astype(np.float64)
