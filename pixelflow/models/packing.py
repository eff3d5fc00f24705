"""Plain values and arrays as JSON and members of an npz, and back: data alone, never code."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = "biufU"  # of arrays that are kept: numbers, booleans, text
DAMAGE = (  # what reading a damaged archive may raise, of a file that could be opened
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, MemoryError),
)


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


def unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The value that `packed` was given."""
    if isinstance(value, list):
        return [unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "mapping" in value:
        return {unpacked(k, arrays): unpacked(item, arrays) for k, item in value["mapping"]}
    if "tuple" in value:
        return tuple(unpacked(item, arrays) for item in value["tuple"])
    array = arrays[value["array"]]
    return array.astype(object) if value["objects"] else array


def digest(value: np.ndarray | str) -> str:
    """SHA-256 of text, or of an array with its type and shape."""
    if isinstance(value, str):
        return hashlib.sha256(value.encode()).hexdigest()
    head = f"{value.dtype.str}{value.shape}".encode()
    return hashlib.sha256(head + value.tobytes()).hexdigest()


def read_members(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Every array of an npz, none of them compressed or of objects; ValueError otherwise."""
    found = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if info.compress_type != zipfile.ZIP_STORED or name == info.filename:
            raise ValueError(f"its member {info.filename!r} is none that a model has")
        with archive.open(info) as member:  # whose checksum is compared at its end
            found[name] = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):
                raise ValueError(f"its member {info.filename!r} goes on after its array")
        if found[name].dtype.kind not in KINDS:
            raise ValueError(f"its member {info.filename!r} is of {found[name].dtype}")
    return found
