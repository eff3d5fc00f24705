"""The conditions that arguments must meet at a public door, each written once.

Every check returns the value in its plain Python type. It raises a `TypeError` for a value of the
wrong kind and a `ValueError` for one out of range; the message names the argument.
"""

from __future__ import annotations

import math
import numbers
import os
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

MOST_ITEMS = 2**20  # of a sequence that becomes an array
MOST_OF_RANGE = 2**27  # numbers: as an array they take a GiB
FLOAT32_MAX = float(np.finfo(np.float32).max)
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxset = 12


class WrongKindError(TypeError, ValueError):
    """A value of the wrong kind; a ValueError too, as scikit-learn's InvalidParameterError is."""


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


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _float(value: Any) -> float:
    """A real number in float64; infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """A whole number from `least` to `most`."""
    if not is_integer(value):
        raise WrongKindError(f"{name} must be an integer, got {brief(value)}")
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
    infinite: bool = False,
) -> float:
    """A real number within the limits; `above` and `below` are not reached themselves.

    It is finite, unless infinity, where it was meant and not a number too large, may be given.
    """
    if not _is_real(value):
        raise WrongKindError(f"{name} must be a number, got {brief(value)}")
    found = _float(value)
    if infinite and found == math.inf == value:
        return found
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


def float32(name: str, value: Any) -> float:
    """A real number that is finite in float32."""
    found = number(name, value)
    if abs(found) > FLOAT32_MAX:
        raise ValueError(f"{name} must be finite and fit float32, got {brief(value)}")
    return found


def real_array(name: str, value: Any) -> np.ndarray:
    """A new float64 array of real numbers that are finite in float32, of any shape.

    So their squares and the sums of these are finite in float64.
    """
    check_unmasked(name, value)
    if isinstance(value, list | tuple | range) and value[MOST_ITEMS:]:  # a range may be endless
        raise ValueError(f"{name} must have at most {MOST_ITEMS} items, or be a NumPy array")
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise WrongKindError(f"{name} must be a number or numbers, got {brief(value)}") from error
    if array.dtype.kind == "O" and all(map(_is_real, array.flat)):  # integers beyond 64 bits
        array = np.array([_float(item) for item in array.flat]).reshape(array.shape)
    if array.dtype.kind not in "iuf":
        raise WrongKindError(f"{name} must be a number or numbers, got {brief(value)}")
    with np.errstate(over="ignore"):  # of longer floats; it is infinite then, and refused
        array = array.astype(np.float64)
    if not np.all(np.abs(array) <= FLOAT32_MAX):  # NaN compares as False
        raise ValueError(f"{name} must be finite and fit float32, got {brief(value)}")
    return array


def boolean(name: str, value: Any) -> bool:
    """True or False, of Python or NumPy."""
    if not isinstance(value, bool | np.bool_):
        raise WrongKindError(f"{name} must be True or False, got {brief(value)}")
    return bool(value)


def choice(name: str, value: Any, known: Collection[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {brief(value)}; known are {list(known)}")
    return value


def sequence(name: str, value: Any, most: int) -> tuple[Any, ...]:
    """The items of an iterable in order, at most so many; neither text nor a set is a sequence."""
    none = isinstance(value, str | bytes | set | frozenset) or getattr(value, "ndim", 1) == 0
    if none or not isinstance(value, Iterable):
        raise WrongKindError(f"{name} must be a sequence, got {brief(value)}")
    items = tuple(islice(value, most + 1))  # an iterator may have no end
    if len(items) > most:
        raise ValueError(f"{name} must have at most {most} items, got more")
    return items


def mapping(name: str, value: Any, known: Collection[str], owner: str) -> Mapping[str, Any]:
    """A mapping whose keys are all known to their owner."""
    if not isinstance(value, Mapping):
        raise WrongKindError(f"{name} must be a mapping, got {type(value).__name__}")
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ValueError(f"{name} has unknown {brief(unknown)}; {owner} knows {list(known)}")
    return value


def check_unmasked(name: str, value: object) -> None:
    """Refuse masked values, in an array or in lists of arrays, which an array would show."""
    if _is_masked(value):
        raise ValueError(f"{name} must have no masked values: fill them, or leave these out")


def _is_masked(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(v, list | tuple | np.ma.MaskedArray) and _is_masked(v) for v in value)
    return bool(np.ma.is_masked(value))


def check_range(name: str, value: object) -> None:
    """Refuse a range that is too long to be made an array of: it costs nothing before."""
    if isinstance(value, range) and value[MOST_OF_RANGE:]:
        raise ValueError(f"{name} must have at most {MOST_OF_RANGE} items, got {brief(value)}")


@contextmanager
def converting(name: str, value: object) -> Iterator[None]:
    """A context in which a value becomes an array of floats; what is too large gets infinite."""
    check_unmasked(name, value)
    check_range(name, value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if value is None or kind in ("M", "m"):
        got = "None" if value is None else getattr(value, "dtype", "")
        raise WrongKindError(f"{name} must be numbers, got {got}")
    if kind == "c":
        raise WrongKindError(f"{name}: Complex data not supported: give real numbers")
    with naming(name), np.errstate(over="ignore", invalid="ignore"):
        yield


def as_array(name: str, value: Any) -> np.ndarray:
    """A value as an array, of whatever type NumPy gives it."""
    check_range(name, value)
    with naming(name):
        return np.asarray(value)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """What is raised within names that argument; a number that is too large is a ValueError."""
    try:
        yield
    except TypeError as error:
        raise WrongKindError(_named(name, error)) from error
    except OverflowError as error:
        raise ValueError(f"{name} must hold numbers that fit float64: {error}") from error
    except ValueError as error:
        raise ValueError(_named(name, error)) from error


def _named(name: str, error: Exception) -> str:
    said = str(error)
    return said if name in said.replace(",", " ").split() else f"{name}: {said}"


def path(name: str, value: Any) -> Path:
    """A file's path, from text or `os.PathLike`; "~" at its beginning is the home folder."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise WrongKindError(f"{name} must be a path, got {brief(value)}")
    if not text or "\0" in text:
        raise ValueError(f"{name} must name a file, got {brief(value)}")
    found = Path(os.path.expanduser(text))
    if found.parts[:1] == ("~",):
        raise ValueError(f"{name} needs a home folder, and none is known: {brief(value)}")
    try:
        os.fsencode(found)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must name a file, got {brief(value)}: {error}") from error
    return found
