"""Options of encoders: each with its default, and the check of what a config may give for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelflow.checks import brief, choice, integer, number, real_array

Check = Callable[[str, Any], Any]  # of a name and a value: the value in its plain type, or an error


@dataclass(frozen=True)
class Option:
    """One of an encoder's `encoder_params`.

    Attributes
    ----------
    default : object
        What it is where a config doesn't give it.
    check : callable
        ``check(name, value)`` returns the value in its plain type, or raises ValueError or
        TypeError with the name first. `whole`, `real`, `one_of`, `numbers`, `pairs` and `weights`
        make such checks.
    """

    default: Any
    check: Check


def checked_options(known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options in their plain types; raises for what an option can't be."""
    return {name: known[name].check(f"encoder_params {name}", given[name]) for name in given}


def whole(least: int, most: int) -> Check:
    """A whole number within limits."""
    return lambda name, value: integer(name, value, least, most)


def real(least: float | None = 0, most: float | None = None, above: float | None = None) -> Check:
    """A number that float32 holds, within limits; `above` is not reached itself."""

    def check(name: str, value: Any) -> float:
        array = real_array(name, value)
        if array.ndim:
            raise TypeError(f"{name} must be a number, got {brief(value)}")
        return number(name, array.item(), least, most, above=above)

    return check


def one_of(known: Collection[str]) -> Check:
    """One of some names."""
    return lambda name, value: choice(name, value, sorted(known))


def numbers(name: str, value: Any) -> tuple[float, ...]:
    """Numbers, one for each channel."""
    array = real_array(name, value)
    if array.ndim != 1:
        raise TypeError(f"{name} must be numbers in 1 axes, got {brief(value)}")
    if not array.size:
        raise ValueError(f"{name} must be numbers, one for each channel, got {brief(value)}")
    return tuple(array.tolist())


def pairs(name: str, value: Any) -> tuple[tuple[float, float], ...]:
    """(low, high) pairs, one for each channel."""
    array = real_array(name, value)
    if array.ndim != 2:
        raise TypeError(f"{name} must be numbers in 2 axes, got {brief(value)}")
    if not array.size or array.shape[1] != 2:
        raise ValueError(
            f"{name} must be (low, high) pairs, one for each channel, got {brief(value)}"
        )
    if (array[:, 0] > array[:, 1]).any():
        raise ValueError(f"{name} must have low <= high, got {brief(value)}")
    return tuple((low, high) for low, high in array.tolist())


def weights(name: str, value: Any) -> np.ndarray | None:
    """Weights (H, W, C, K), or None."""
    if value is None:
        return None
    mask = real_array(name, value)
    if mask.ndim != 4 or 0 in mask.shape:
        raise ValueError(f"{name} must be weights (H, W, C, K), got shape {mask.shape}")
    return mask
