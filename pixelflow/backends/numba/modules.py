"""Emitted modules, imported from the user's cache folder so that Numba's own cache finds them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

import platformdirs

from pixelflow.files import written_whole

_IMPORTING = threading.Lock()


def compiled(text: str) -> ModuleType:
    """One module for all threads, so that each rule is compiled once."""
    with _IMPORTING:
        return imported(text)


@lru_cache(maxsize=256)
def imported(text: str) -> ModuleType:
    """The imported module of that source, kept on disk so that Numba's own cache finds it."""
    name = f"rule_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = _folder() / f"{name}.py"
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(text)
    spec = importlib.util.spec_from_file_location(f"pixelflow_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _folder() -> Path:
    """Where emitted modules live: the user's cache folder, else one of this process alone."""
    folder = Path(platformdirs.user_cache_dir("pixelflow")) / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(_own_folder().name)


@cache
def _own_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="pixelflow-")
