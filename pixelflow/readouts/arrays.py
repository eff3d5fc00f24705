"""NumPy and CuPy under one name: which of them an array is of, and the little that differs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

LARGE = 2**32  # bytes, from which an array gets memory of its own


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


def square(xp: Any, size: int, dtype: Any) -> Any:
    """A matrix for anything; a large one of CuPy's in memory of its own.

    For CuPy's pool gives parts of what is free again to smaller arrays, and then the next matrix as
    large may not fit.
    """
    shape = size, size
    if xp is np or size**2 * np.dtype(dtype).itemsize < LARGE:
        return xp.empty(shape, dtype)
    xp.get_default_memory_pool().free_all_blocks()
    with xp.cuda.using_allocator(None):
        return xp.empty(shape, dtype)
