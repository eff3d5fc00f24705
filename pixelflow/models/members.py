"""Safe reading of the arrays in an npz file: every size that the file states is checked first."""

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

ARRAY_KINDS = "biufU"  # NumPy's kinds of the arrays in a model file: numbers, booleans, text
MAX_DIRECTORY_BYTES = 2**20  # of the zip directory; `save` writes fewer
MAGIC = b"\x93NUMPY\x01\x00"  # followed by the header's length in two bytes
HEADER = re.compile(
    rb"\{'descr': '([<>|][bcfimuMOSUV]\d{0,9})', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,3})\), \} *\n"
)
DAMAGE_ERRORS = (  # what reading a damaged archive may raise after the file was opened
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, MemoryError, OverflowError),
)


def read_arrays(file: io.BufferedReader, known: re.Pattern[str]) -> dict[str, np.ndarray]:
    """Read every array of an npz file that `np.savez` wrote; keys are the arrays' names.

    An array is allocated only if its size equals the number of bytes in the file. So all arrays
    together take no more memory than the file has bytes.

    Parameters
    ----------
    file : file, open for reading
    known : pattern
        Matches the names that arrays may have.

    Raises
    ------
    ValueError
        If a member is compressed, holds objects, has an unexpected name, ends beyond the file or
        overlaps another.
    BadZipFile and others in `DAMAGE_ERRORS`
        If the archive is damaged.
    """
    found: dict[str, np.ndarray] = {}
    for info, start in _locate_members(file):
        name = info.filename.removesuffix(".npy")
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not plain or name == info.filename or name in found or not known.fullmatch(name):
            raise ValueError(
                f"unexpected member {brief(info.filename)}: the file was not written by save(), or "
                "was changed"
            )
        file.seek(start)
        found[name] = _read_array(file, info)
    return found


class _BoundedFile:
    """A file for `zipfile` that refuses to read a directory larger than `MAX_DIRECTORY_BYTES`."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"its directory is larger than {MAX_DIRECTORY_BYTES} bytes: the file was not "
                "written by save()"
            )
        return self._read(MAX_DIRECTORY_BYTES if size < 0 else size)


def _locate_members(file: io.BufferedReader) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Yield the members in the order of the file, each with the offset of its first byte."""
    directory: Any = _BoundedFile(file)
    infos = zipfile.ZipFile(directory).infolist()
    end, size = 0, os.fstat(file.fileno()).st_size
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ValueError(f"its member {brief(info.filename)} overlaps another")
        file.seek(info.header_offset)
        n_name, n_extra = struct.unpack("<26x2H", file.read(30))
        start = info.header_offset + 30 + n_name + n_extra
        end = start + info.file_size
        if end > size:
            raise ValueError(f"its member {brief(info.filename)} ends beyond the end of the file")
        yield info, start


def _read_array(file: io.BufferedReader, info: zipfile.ZipInfo) -> np.ndarray:
    """Read the array of one member; the file's position is the member's first byte."""
    member, begin = f"its member {brief(info.filename)}", file.read(len(MAGIC) + 2)
    begin += file.read(int.from_bytes(begin[len(MAGIC) :], "little"))
    header = HEADER.fullmatch(begin, len(MAGIC) + 2) if begin.startswith(MAGIC) else None
    if header is None:
        raise ValueError(f"{member} must begin with an array's header, as save() writes it")
    dtype = _parse_dtype(member, header[1].decode())
    shape = tuple(int(digits) for digits in re.findall(rb"\d+", header[2]))
    expected, there = math.prod(shape) * dtype.itemsize, info.file_size - len(begin)
    if expected > there or not expected:
        raise ValueError(
            f"{member} must have {brief(expected)} bytes, and at least one, for an array of "
            f"{dtype} {brief(shape)}, got {there}"
        )
    if expected < there:
        raise ValueError(f"{member} has bytes after its array")
    array = np.empty(shape, dtype)
    content = array.reshape(-1).view(np.uint8).data
    if file.readinto(content) != there or zlib.crc32(content, zlib.crc32(begin)) != info.CRC:
        raise zipfile.BadZipFile(f"{member} was changed after it was saved")
    _check_values(member, array)
    return array


def _parse_dtype(member: str, described: str) -> np.dtype:
    try:
        dtype = np.dtype(described)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{member} must have a NumPy dtype, got {described!r}") from error
    if dtype.kind not in ARRAY_KINDS:
        raise ValueError(
            f"{member} must hold numbers, booleans or text, got {dtype}; objects are refused, "
            "because they need allow_pickle"
        )
    return dtype


def _check_values(member: str, array: np.ndarray) -> None:
    """Raise ValueError for bytes that are invalid in the array's dtype; NumPy accepts any bytes."""
    content = array.reshape(-1).view(np.uint8)
    if array.dtype.kind == "b" and content.max() > 1:
        raise ValueError(f"{member} must hold booleans, got bytes other than 0 and 1")
    if array.dtype.kind == "U":
        codes = content.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > 0x10FFFF:
            raise ValueError(f"{member} must hold text, got invalid code points")
