"""Atomic writing of files, reading of regular files only, and temporary folders with a lock."""

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

SCRATCH_PREFIX = ".fetch-"  # of the folders that hold files before they are verified
MIN_AGE_S = 10  # a younger scratch folder may not be locked yet, so it is never deleted
MAX_AGE_S = 24 * 3600  # where folders can't be locked, an older one is deleted

_SPACE = "free space on that disk, and run again"
_PERMISSION = "make its folder writable, and run again"
_KIND = "give the name of a file, and run again"
_FILE = "move the file away that stands where its folder should be, and run again"
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
    """Give a temporary path to write to; at the end, if no error was raised, it replaces `path`.

    The temporary path has the suffix of `path`. If `path` is a symbolic link, the link stays and
    its target is replaced.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path.
    OSError
        If the file can't be written; the message names it and says what to do. An existing file
        of that name is unchanged then. A folder, a pipe or a device is never replaced.
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
                os.fsync(file.fileno())  # else a power cut may leave an empty file of that name
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        number = error.errno or errno.EIO
        what = error.strerror or str(error)
        remedy = f"; {REMEDIES[number]}" if number in REMEDIES else ""
        raise OSError(number, f"can't write {path}: {what}{remedy}") from error


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading; OSError for a pipe or a device, which may have no end."""
    path = checks.path("path", path)
    _check_regular(path)
    return path.open("rb")


def _check_regular(path: Path) -> None:
    """Raise OSError if the path, links followed, exists and is not a regular file."""
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
    """Make a temporary folder in `parent`, from which complete files can be renamed into place.

    The folder is locked while its process lives. So folders of killed processes can be recognised;
    they are deleted first.
    """
    for left in parent.glob(f"{SCRATCH_PREFIX}*"):
        with _lock(left) as free:
            try:
                age = time.time() - left.stat().st_mtime
            except FileNotFoundError:  # another process has deleted it
                continue
            if age > (MIN_AGE_S if free else MAX_AGE_S):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=parent) as scratch:
        with _lock(Path(scratch)):
            yield Path(scratch)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Lock a folder, at most until the process ends; False if another process has the lock."""
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
