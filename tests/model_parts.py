"""The parts of a model's file: read, changed, signed anew and written by hand."""

import io
import json
import zipfile

import numpy as np

from pixelflow.models import archive


def members(path):
    """The bytes of each member of a zip archive."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, contents, **options):
    """Write a zip archive of these members."""
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in contents.items():
            file.writestr(name, data)


def npy(array, **options):
    """An array as a member has it."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def array_of(data):
    """The array of a member."""
    return np.lib.format.read_array(io.BytesIO(data))


def parts(path):
    """The description in a model's file, and its arrays."""
    return parts_of(members(path))


def parts_of(contents):
    """The description and the arrays in the members of a file."""
    arrays = {name.removesuffix(".npy"): array_of(data) for name, data in contents.items()}
    return json.loads(arrays.pop("model").tobytes()), arrays


def sign(head):
    """Give a description the checksum that goes with it."""
    head.pop("sha256", None)
    head["sha256"] = archive.packing.digest(archive._to_json(head))


def assemble(path, head, arrays, signed=True):
    """Write a model's file of changed parts; signed, all its checksums are right."""
    if signed:
        head["arrays"] = {name: archive.packing.digest(array) for name, array in arrays.items()}
        sign(head)
    text = np.frombuffer(archive._to_json(head).encode(), np.uint8)
    write(path, {f"{name}.npy": npy(array) for name, array in {"model": text, **arrays}.items()})


def item(packed, *keys):
    """What a packed state holds in a place."""
    for key in keys:
        packed = packed[key] if isinstance(key, int) else dict(packed["mapping"])[key]
    return packed


def put(head, value, *keys):
    """Replace what a description's state holds in a place."""
    around, key = item(head["state"], *keys[:-1]), keys[-1]
    if isinstance(key, int):
        around[key] = value
    else:
        next(pair for pair in around["mapping"] if pair[0] == key)[1] = value
