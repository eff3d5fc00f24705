"""NumPy and CuPy under one name: which of them an array is of, and the little that differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

LARGE = 2**32  # bytes, from which a matrix gets memory of its own


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


def writeable(array: Any) -> Any:
    """That array, or a copy of it where joblib has mapped it from a file to be read alone."""
    read_only = namespace(array) is np and not array.flags.writeable
    return np.array(array) if read_only else array


@contextmanager
def apart(xp: Any, size: int, dtype: Any) -> Iterator[None]:
    """A context in which a matrix (size, size), where it is large, is made apart from CuPy's pool.

    For the pool gives parts of what is free again to smaller arrays, and then the next matrix as
    large may not fit. MemoryError where it doesn't all the same.
    """
    nbytes = size**2 * np.dtype(dtype).itemsize
    if xp is np or nbytes < LARGE:
        yield
        return
    xp.get_default_memory_pool().free_all_blocks()
    try:
        with xp.cuda.using_allocator(None):
            yield
    except xp.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(
            f"the GPU has no room for the {nbytes / 2**30:.0f} GiB of a matrix of {size} features: "
            f"read fewer ({error})"
        ) from error
