"""Conversion of plain values and arrays to JSON and named arrays, and back; no code is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.checks import brief
from pixelflow.models.members import ARRAY_KINDS

Location = tuple[Any, Any]  # in nested containers: the container's location or None, and the key


def pack(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """Convert a value to JSON values; its arrays are added to `arrays`, by names that begin `name`.

    Raises
    ------
    TypeError
        If the value contains anything but numbers, text, arrays, tuples, lists and mappings.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return pack(value.item(), arrays, name)
    if isinstance(value, np.ndarray):
        return _pack_array(value, arrays, name)
    if isinstance(value, Mapping):
        pairs = value.items()
        return {"mapping": [_pack_pair(*pair, arrays, name) for pair in pairs]}
    if isinstance(value, list | tuple):
        items = [pack(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(
        f"{name} can't be saved: expected numbers, text, arrays, tuples, lists or mappings, "
        f"got a {type(value).__name__}"
    )


def _pack_pair(key: Any, value: Any, arrays: dict[str, np.ndarray], name: str) -> list[Any]:
    return [pack(key, arrays, f"a key of {name}"), pack(value, arrays, f"{name}.{key}")]


def _pack_array(array: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    objects = array.dtype == object
    if objects and all(isinstance(item, str) for item in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in ARRAY_KINDS:
        raise TypeError(
            f"{name} can't be saved: expected an array of numbers or text, "
            f"got an array of {array.dtype}"
        )
    arrays[name] = np.ascontiguousarray(array)
    return {"array": name, "objects": objects}


def unpack(value: Any, arrays: dict[str, np.ndarray], location: Location) -> Any:
    """Restore the value that `pack` converted; its arrays are removed from `arrays`.

    An array's name says where it belongs. So no array is used twice or in the wrong place.

    Raises
    ------
    ValueError, TypeError, KeyError
        If `pack` can't have made `value`.
    """
    if isinstance(value, list):
        return [unpack(item, arrays, (location, i)) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "mapping" in value:
        return {key: unpack(item, arrays, (location, key)) for key, item in value["mapping"]}
    if "tuple" in value:
        return tuple(unpack(item, arrays, (location, i)) for i, item in enumerate(value["tuple"]))
    name = _array_name(location)
    if value["array"] != name:
        raise ValueError(
            f"{brief(name)} must refer to the array of its own name, got {brief(value['array'])}"
        )
    array = arrays.pop(name)
    if not value["objects"]:
        return array
    if array.dtype.kind != "U":
        raise ValueError(f"{brief(name)} must be an array of text, got {array.dtype}, not text")
    return array.astype(object)


def _array_name(location: Location) -> str:
    """The name that `pack` gives the array at this location."""
    outer, inner = location
    parts = [str(inner)]
    while outer is not None:
        outer, inner = outer
        parts.append(str(inner))
    return ".".join(reversed(parts))


def digest(value: np.ndarray | str) -> str:
    """SHA-256 of text, or of an array with its dtype and shape."""
    if isinstance(value, str):
        return hashlib.sha256(value.encode()).hexdigest()
    found = hashlib.sha256(f"{value.dtype.str}{value.shape}".encode())
    found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)  # tobytes would copy
    return found.hexdigest()
