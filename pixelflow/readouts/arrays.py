"""NumPy and CuPy under one name: which of them an array is of, and the little that differs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np


def namespace(array: Any) -> Any:
    """The module that an array is of: cupy, which is imported only then, or numpy."""
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy  # pyright: ignore[reportMissingImports]

        return cupy
    return np


def where(array: Any) -> AbstractContextManager:
    """A context in which new arrays are made on the device of this one."""
    return nullcontext() if namespace(array) is np else array.device


def to_host(array: Any) -> np.ndarray:
    """That array as NumPy's."""
    return np.asarray(array) if namespace(array) is np else array.get()
