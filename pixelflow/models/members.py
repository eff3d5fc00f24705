"""The arrays of an npz, read within bounds: no size that a file states is believed unchecked."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from pixelflow.checks import brief

KINDS = "biufU"  # of arrays that are kept: numbers, booleans, text
MOST_DIRECTORY = 2**20  # bytes of an archive's directory; more than any that `save` writes
MAGIC = b"\x93NUMPY\x01\x00"  # and the header's length follows, in two bytes
HEADER = re.compile(
    rb"\{'descr': '([<>|][bcfimuMOSUV]\d{0,9})', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,3})\), \} *\n"
)
DAMAGE = (  # what reading a damaged archive may raise, of a file that could be opened
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, MemoryError, OverflowError),
)


def read_members(file: io.BufferedReader, known: re.Pattern[str]) -> dict[str, np.ndarray]:
    """Every array of an npz by its name, as `np.savez` writes them.

    Each is made once its size is known to be that of the bytes there. So all take together no
    more memory than the file has bytes.

    Parameters
    ----------
    file : file, open to be read
    known : pattern
        Of the names that arrays may have.

    Raises
    ------
    ValueError
        If a member is compressed, of objects, unknown, not within the file or part of another.
    BadZipFile and others in `DAMAGE`
        If it is no whole archive.
    """
    found: dict[str, np.ndarray] = {}
    for info, start in _placed(file):
        name = info.filename.removesuffix(".npy")
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not plain or name == info.filename or name in found or not known.fullmatch(name):
            raise ValueError(
                f"its member {brief(info.filename)} is none that a model has: it is no file of a "
                "pixelflow model, or was changed"
            )
        file.seek(start)
        found[name] = _array(file, info)
    return found


class _Directory:
    """A file from which `zipfile` reads an archive's directory, unless that is too large."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if size > MOST_DIRECTORY:
            raise ValueError("it has a larger directory than any model")
        return self._read(MOST_DIRECTORY if size < 0 else size)


def _placed(file: io.BufferedReader) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """An archive's members in their order in the file, and where the bytes of each start."""
    directory: Any = _Directory(file)
    infos = zipfile.ZipFile(directory).infolist()
    end, size = 0, os.fstat(file.fileno()).st_size
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ValueError(f"its member {brief(info.filename)} is part of another")
        file.seek(info.header_offset)
        n_name, n_extra = struct.unpack("<26x2H", file.read(30))
        start = info.header_offset + 30 + n_name + n_extra
        end = start + info.file_size
        if end > size:
            raise ValueError(f"its member {brief(info.filename)} goes beyond the file's end")
        yield info, start


def _array(file: io.BufferedReader, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of the member at which the file stands."""
    member, begin = f"its member {brief(info.filename)}", file.read(len(MAGIC) + 2)
    begin += file.read(int.from_bytes(begin[len(MAGIC) :], "little"))
    header = HEADER.fullmatch(begin, len(MAGIC) + 2) if begin.startswith(MAGIC) else None
    if header is None:
        raise ValueError(f"{member} doesn't begin as an array that save() wrote")
    dtype = _dtype(member, header[1].decode())
    shape = tuple(int(digits) for digits in re.findall(rb"\d+", header[2]))
    expected, there = math.prod(shape) * dtype.itemsize, info.file_size - len(begin)
    if expected > there or not expected:
        raise ValueError(f"{member} has {there} bytes for an array {dtype} of shape {brief(shape)}")
    if expected < there:
        raise ValueError(f"{member} goes on after its array")
    array = np.empty(shape, dtype)
    content = array.reshape(-1).view(np.uint8).data
    if file.readinto(content) != there or zlib.crc32(content, zlib.crc32(begin)) != info.CRC:
        raise zipfile.BadZipFile(f"{member} was changed after it was saved")
    _check_values(member, array)
    return array


def _dtype(member: str, described: str) -> np.dtype:
    try:
        dtype = np.dtype(described)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{member} is of {described!r}, which is no type") from error
    if dtype.kind not in KINDS:
        raise ValueError(
            f"{member} is of {dtype}; a model holds numbers and text, and no objects, which need "
            "allow_pickle"
        )
    return dtype


def _check_values(member: str, array: np.ndarray) -> None:
    """Raise where bytes are no values of an array's type: NumPy takes any."""
    content = array.reshape(-1).view(np.uint8)
    if array.dtype.kind == "b" and content.max() > 1:
        raise ValueError(f"{member} holds bytes that are no booleans")
    if array.dtype.kind == "U":
        codes = content.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > 0x10FFFF:
            raise ValueError(f"{member} holds bytes that are no text")
