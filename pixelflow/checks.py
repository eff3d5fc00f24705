"""The conditions that arguments must meet at a public door, each written once.

Every check returns the value in its plain Python type. It raises `TypeError` for a value of the
wrong kind and `ValueError` for one out of range; the message begins with the argument's name.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

FLOAT32_MAX = float(np.finfo(np.float32).max)
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxset = 12


def brief(value: object) -> str:
    """A value as an error shows it: its repr, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**60:  # Python refuses to print large ones
        return f"{'-' if value < 0 else ''}2**{abs(value).bit_length() - 1} or more"
    if isinstance(value, np.ndarray) and value.size > 12:
        return f"an array of {value.dtype} {value.shape}"
    try:
        return _BRIEF.repr(value)
    except Exception:  # a repr of the user's may fail in any way; the check's own error counts
        return f"a {type(value).__name__}"


def is_integer(value: object) -> bool:
    """Whether it is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """A whole number from `least` to `most`."""
    if not is_integer(value):
        raise TypeError(f"{name} must be an integer, got {brief(value)}")
    number = int(value)
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {brief(number)}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most}, got {brief(number)}")
    return number


def number(
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A finite real number within the limits; `above` and `below` are not reached themselves."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {brief(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite and fit float64, got {brief(value)}")
    limits = (
        ("at least", least, least is not None and found < least),
        ("at most", most, most is not None and found > most),
        ("above", above, above is not None and found <= above),
        ("below", below, below is not None and found >= below),
    )
    for what, limit, broken in limits:
        if broken:
            raise ValueError(f"{name} must be {what} {limit:g}, got {brief(value)}")
    return found


def real_array(name: str, value: Any) -> np.ndarray:
    """A new float64 array of real numbers that are finite in float32, of any shape."""
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} must be a number or numbers, got {brief(value)}") from error
    if array.dtype.kind == "O" and all(map(is_integer, array.flat)):  # beyond 64 bits
        raise ValueError(f"{name} must be finite and fit float32, got {brief(value)}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or numbers, got {brief(value)}")
    array = array.astype(np.float64)
    if not np.all(np.abs(array) <= FLOAT32_MAX):  # NaN compares as False
        raise ValueError(f"{name} must be finite and fit float32, got {brief(value)}")
    return array


def boolean(name: str, value: Any) -> bool:
    """True or False, of Python or NumPy."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {brief(value)}")
    return bool(value)


def choice(name: str, value: Any, known: Collection[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {brief(value)}; known are {list(known)}")
    return value


def mapping(name: str, value: Any, known: Collection[str], owner: str) -> Mapping[str, Any]:
    """A mapping whose keys are all known to their owner."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {type(value).__name__}")
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ValueError(f"{name} has unknown {brief(unknown)}; {owner} knows {list(known)}")
    return value
