"""Plain values and arrays as JSON and members of an npz, and back: data alone, never code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.checks import brief
from pixelflow.models.members import KINDS

Place = tuple[Any, Any]  # that which is around, or None, and a key or number in it


def packed(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """What JSON can hold of a value; arrays in it join `arrays` under names that begin so.

    Raises
    ------
    TypeError
        If it holds anything but numbers, text, arrays, tuples, lists and mappings.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return packed(value.item(), arrays, name)
    if isinstance(value, np.ndarray):
        return _packed_array(value, arrays, name)
    if isinstance(value, Mapping):
        pairs = value.items()
        return {"mapping": [_packed_pair(*pair, arrays, name) for pair in pairs]}
    if isinstance(value, list | tuple):
        items = [packed(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(f"{name} can't be saved: it is a {type(value).__name__}")


def _packed_pair(key: Any, value: Any, arrays: dict[str, np.ndarray], name: str) -> list[Any]:
    return [packed(key, arrays, f"a key of {name}"), packed(value, arrays, f"{name}.{key}")]


def _packed_array(array: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    objects = array.dtype == object
    if objects and all(isinstance(item, str) for item in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in KINDS:
        raise TypeError(f"{name} can't be saved: it is an array of {array.dtype}")
    arrays[name] = np.ascontiguousarray(array)
    return {"array": name, "objects": objects}


def unpacked(value: Any, arrays: dict[str, np.ndarray], place: Place) -> Any:
    """The value that `packed` was given; its arrays are taken out of `arrays`.

    Each array has one place, that which its name says. So none is used twice, or as another.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it isn't as `packed` makes it.
    """
    if isinstance(value, list):
        return [unpacked(item, arrays, (place, i)) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "mapping" in value:
        return {key: unpacked(item, arrays, (place, key)) for key, item in value["mapping"]}
    if "tuple" in value:
        return tuple(unpacked(item, arrays, (place, i)) for i, item in enumerate(value["tuple"]))
    name = _name(place)
    if value["array"] != name:
        raise ValueError(f"{brief(name)} has the array of another place, {brief(value['array'])}")
    array = arrays.pop(name)
    if not value["objects"]:
        return array
    if array.dtype.kind != "U":
        raise ValueError(f"{brief(name)} holds {array.dtype}, not text")
    return array.astype(object)


def _name(place: Place) -> str:
    """The name that `packed` gives the array in that place."""
    outer, inner = place
    parts = [str(inner)]
    while outer is not None:
        outer, inner = outer
        parts.append(str(inner))
    return ".".join(reversed(parts))


def digest(value: np.ndarray | str) -> str:
    """SHA-256 of text, or of an array with its type and shape."""
    if isinstance(value, str):
        return hashlib.sha256(value.encode()).hexdigest()
    found = hashlib.sha256(f"{value.dtype.str}{value.shape}".encode())
    found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)  # no copy
    return found.hexdigest()
