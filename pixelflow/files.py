"""Files that are written whole or not at all, and read only where they have an end."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from pixelflow import checks

if sys.platform != "win32":
    import fcntl

SCRATCH = ".fetch-"  # prefix of the folders that hold what is not verified yet
YOUNG = 10  # seconds in which a new one is surely locked
STALE = 24 * 3600  # seconds after which one is left behind, where there are no locks

_SPACE = "free space on that disk, and run again"
_PERMISSION = "see that its folder may be written to, and run again"
_KIND = "give the name of a file, and run again"
_FILE = "move away the file that is where its folder should be, and run again"
REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on a file's size (ulimit -f), and run again",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.EISDIR: _KIND,
    errno.EINVAL: _KIND,
    errno.EEXIST: _FILE,
    errno.ENOTDIR: _FILE,
}


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path that takes the place of `path` at the end, if no error was raised.

    It has the suffix of `path`. Where `path` is a symbolic link, the file to which it leads is
    replaced, and the link stays.

    Raises
    ------
    TypeError, ValueError
        When `path` can't be one.
    OSError
        When the file can't be written; the message names it and says what to do. An older file
        of that name is then as it was. A folder, a pipe or a device is never replaced.
    """
    path = checks.path("path", path)
    writer = f"{os.getpid()}-{threading.get_ident()}"
    try:
        _check_regular(path)
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        temporary = target.with_name(f".{writer}.{path.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # else a power cut may leave the name without the content
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        number = error.errno or errno.EIO
        what = error.strerror or str(error)
        remedy = f"; {REMEDIES[number]}" if number in REMEDIES else ""
        raise OSError(number, f"can't write {path}: {what}{remedy}") from error


def opened(path: str | os.PathLike[str]) -> BufferedReader:
    """A file, open to be read; OSError where it has no end, as a pipe or a device."""
    path = checks.path("path", path)
    _check_regular(path)
    return path.open("rb")


def _check_regular(path: Path) -> None:
    """Raise OSError where there is something else than a regular file, links followed."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder on the file system of `parent`, for whole files to be renamed from.

    It is locked while its maker lives, so that what a killed one left can be told, and swept.
    """
    for left in parent.glob(f"{SCRATCH}*"):
        with _locked(left) as free:
            try:
                age = time.time() - left.stat().st_mtime
            except FileNotFoundError:  # another process sweeps too
                continue
            if age > (YOUNG if free else STALE):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=parent) as scratch:
        with _locked(Path(scratch)):
            yield Path(scratch)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, which ends with the process; false if it can't be had."""
    if sys.platform == "win32":
        yield False
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError:
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)
