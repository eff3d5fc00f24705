"""NumPy and CuPy under one name: the calls that differ, and the dtypes a machine can afford."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

Array: TypeAlias = Any  # of NumPy or CuPy

OWN_MEMORY = 2**32  # bytes, from which a matrix gets memory outside CuPy's pool
PRODUCTS = 1024  # features up to which even float32 ones are multiplied in float64
SUMS = 24000  # features up to which products are added in float64 on the host: 4.6 GB
SUMS_PART, ALL_PART = 0.45, 0.9  # of a GPU's memory: for sums alone, and for all
BESIDE = 160_000  # bytes for each feature: samples held out, twice, and those multiplied at once


def namespace(array: Array) -> ModuleType:
    """The module that an array is of: cupy, which is imported only then, or numpy."""
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy  # pyright: ignore[reportMissingImports]

        return cupy
    return np


def on_device_of(array: Array) -> AbstractContextManager[Any]:
    """A context in which new arrays are made on the device of this one."""
    return nullcontext() if namespace(array) is np else array.device


def to_host(array: Array) -> np.ndarray:
    """That array as NumPy's."""
    return np.asarray(array) if namespace(array) is np else array.get()


def writeable(array: Array) -> Array:
    """That array, or a copy of it where joblib has mapped it from a file to be read alone."""
    read_only = namespace(array) is np and not array.flags.writeable
    return np.array(array) if read_only else array


@contextmanager
def outside_pool(xp: ModuleType, size: int, dtype: DTypeLike) -> Iterator[None]:
    """A context in which a large matrix (size, size) gets memory outside CuPy's pool.

    The pool reuses freed memory in parts for smaller arrays, and then the next matrix of this size
    may not fit. Raises MemoryError where it doesn't fit all the same.
    """
    nbytes = size**2 * np.dtype(dtype).itemsize
    if xp is np or nbytes < OWN_MEMORY:
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


def sum_dtype(xp: ModuleType, size: int) -> np.dtype:
    """The dtype in which products of so many features with each other are added."""
    fits = size <= SUMS if xp is np else 8 * size**2 <= SUMS_PART * _gpu_memory(xp)
    return np.dtype(np.float64 if fits else np.float32)


def product_dtype(xp: ModuleType, size: int, feature_dtype: DTypeLike) -> np.dtype:
    """The dtype in which features are multiplied: their own, or float64 where it costs little."""
    double = np.dtype(feature_dtype) == np.float64 or size <= PRODUCTS
    double |= sum_dtype(xp, size) == np.float64 and _doubles_are_fast(xp)
    return np.dtype(np.float64 if double else np.float32)


def factor_dtype(xp: ModuleType, size: int, feature_dtype: DTypeLike) -> np.dtype:
    """The dtype to try first for a Cholesky factor beside the sums."""
    if not _doubles_are_fast(xp):
        return product_dtype(xp, size, feature_dtype)
    return np.dtype(np.float64 if double_factors_fit(xp, size) else np.float32)


def double_factors_fit(xp: ModuleType, size: int) -> bool:
    """Whether there is room for a float64 factor beside the sums."""
    if xp is np:
        return size <= SUMS
    needed = (8 + sum_dtype(xp, size).itemsize) * size**2 + BESIDE * size
    return needed <= ALL_PART * _gpu_memory(xp)


def _doubles_are_fast(xp: ModuleType) -> bool:
    """Whether matrix products of float64 take at most twice as long as those of float32.

    They do on GPUs for computing. On an A100 or H100 they take as long, because its matrix units
    multiply float64 and not float32.
    """
    return xp is not np and xp.cuda.Device().attributes["SingleToDoublePrecisionPerfRatio"] <= 2


def _gpu_memory(xp: ModuleType) -> int:
    """All memory of the current GPU, in bytes."""
    return xp.cuda.Device().mem_info[1]
