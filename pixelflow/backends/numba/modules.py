"""Emitted modules, whose text and compiled code are kept in a cache folder."""

from __future__ import annotations

import hashlib
import logging
import sys
import threading
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from pixelflow.files import written_whole

logger = logging.getLogger("pixelflow")
_IMPORTING = threading.Lock()


def compiled(text: str) -> ModuleType:
    """One module for all threads, so that each rule is compiled once."""
    with _IMPORTING:
        return imported(text)


@lru_cache(maxsize=256)
def imported(text: str) -> ModuleType:
    """The module of that source.

    What runs is the text given, never what is on disk: the file is there for debuggers, and for
    tracebacks to show its lines.
    """
    from numba.core.dispatcher import Dispatcher

    from pixelflow.backends.jit import cache_folder, kept

    name = f"rule_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = cache_folder() / f"{name}.py"
    _write_where_it_differs(path, text)
    module = ModuleType(f"pixelflow_{name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # compiled code that is kept looks for it by its name
    exec(compile(text, path, "exec"), module.__dict__)
    for value in list(vars(module).values()):
        if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
            kept(value, text)
    return module


def _write_where_it_differs(path: Path, text: str) -> None:
    try:
        if path.exists():
            if path.read_bytes() == text.encode():
                return
            logger.warning("%s was changed; it is written anew", path)
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        logger.warning("an emitted module is not shown: %s", error)
