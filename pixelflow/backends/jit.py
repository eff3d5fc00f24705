"""Numba's compiled code, kept in a folder and verified whenever it is read.

Numba's own cache (`cache=True`) trusts its files: a damaged one raises an error in every process
until it is deleted, and where there is no home, or it may not be written, Numba refuses to begin.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import sys
import tempfile
from functools import cache
from linecache import getlines
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from pixelflow.files import written_whole

logger = logging.getLogger("pixelflow")
MADE_BY = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
DIGEST = hashlib.sha256().digest_size  # bytes of the sum that a file begins with
Compiled = TypeVar("Compiled")


def kept(function: Compiled, source: str | None = None) -> Compiled:
    """A function of `numba.njit` whose compiled code is kept for other processes.

    Parameters
    ----------
    function : Dispatcher
        Where Numba is switched off (NUMBA_DISABLE_JIT) it is a plain function, and stays one.
    source : str, optional
        All that its code is compiled from; the file that defines it if left out.
    """
    if isinstance(function, Dispatcher):
        plain = function.py_func
        source = source or "".join(getlines(plain.__code__.co_filename, plain.__globals__))
        if source:  # there is none where only bytecode is installed
            function._cache = KeptCode(plain, source)  # pyright: ignore[reportAttributeAccessIssue]
    return function


class KeptCode(NullCache):
    """The cache of one function: a file for each signature, whose name tells what made it.

    There is no index: a file that belongs to another source, version or processor has another
    name, and one that is not whole is compiled again and replaced.
    """

    def __init__(self, function: Any, source: str) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._made_from = (source, self._name, *MADE_BY)

    @property
    def cache_path(self) -> Any:
        return str(cache_folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("compiled code can't be read and is compiled again: %s", error)
            return None
        payload = content[DIGEST:]
        if _digest(path, payload) != content[:DIGEST]:
            logger.warning("%s is damaged; the code is compiled again", path)
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig: Any, cres: Any) -> None:
        if cres.lifted or cres.library.has_dynamic_globals:  # holds addresses of this process
            return
        payload = dumps(cres._reduce())
        path = self._path(sig, cres.codegen)
        try:
            with written_whole(path) as temporary:
                temporary.write_bytes(_digest(path, payload) + payload)
        except OSError as error:
            logger.warning("the next process compiles again: %s", error)

    def _path(self, sig: Any, codegen: Any) -> Path:
        key = repr((self._made_from, str(sig), codegen.magic_tuple()))
        return cache_folder() / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.nbc"


def _digest(path: Path, payload: bytes) -> bytes:
    """Of the name too, so that a file under another's name is not taken for it."""
    return hashlib.sha256(path.name.encode() + payload).digest()


def cache_folder() -> Path:
    """Where compiled code is kept.

    It is `NUMBA_CACHE_DIR`, else the user's cache folder, else, where that may not be written or
    there is no home, a temporary folder of this process alone.
    """
    try:
        given = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        folder = Path(given or platformdirs.user_cache_dir("pixelflow"), "numba").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        pass
    return Path(_own_folder().name)


@cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pixelflow-")
