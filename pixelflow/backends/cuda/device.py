"""CuPy and the GPU: found, or a message that says what is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from pixelflow.backends.registry import forked

INSTALL = "pip install cupy-cuda12x  # or cupy-cuda13x, with a driver of 580 or newer"
_USED_BY: list[int] = []  # the process that used CUDA first: a child made by fork can't


def describe(device: int | None = None) -> str:
    """What it runs on: the GPU, CuPy and CUDA.

    Raises
    ------
    ImportError
        If CuPy is missing or can't be loaded.
    RuntimeError
        If there is no GPU, driver or compiler that this CuPy can use.
    ValueError
        If there is no GPU of that number.
    """
    if _USED_BY and _USED_BY[0] != os.getpid():
        raise forked("cuda")
    return _description(0 if device is None else device)


@lru_cache(maxsize=64)
def _description(device: int) -> str:
    cupy = the_cupy()
    error_type = cupy.cuda.runtime.CUDARuntimeError
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except error_type as error:
        raise RuntimeError(
            f"backend 'cuda' found CuPy {cupy.__version__} but no usable NVIDIA GPU ({error}): "
            f"see that nvidia-smi lists one, and that CuPy fits its driver: {INSTALL}"
        ) from error
    if device >= count:
        raise ValueError(f"device {device} is not there: CUDA sees {count}, numbered from 0")
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
        name = cupy.cuda.runtime.getDeviceProperties(device)["name"].decode()
    except (ImportError, OSError, RuntimeError) as error:
        raise RuntimeError(
            f"backend 'cuda' found CuPy {cupy.__version__} and {count} GPU, but not CUDA's "
            f"run-time compiler NVRTC ({error}): pip install 'cupy-cuda12x[ctk]'  # or CUDA itself"
        ) from error
    _USED_BY[:] = [os.getpid()]
    return f"{name} (CuPy {cupy.__version__}, CUDA {major}.{minor})"


def the_cupy() -> Any:
    """The module cupy."""
    try:
        import cupy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise ImportError(f"backend 'cuda' needs CuPy ({why}): {INSTALL}") from error
    return cupy


@contextmanager
def on(device: int | None) -> Iterator[Any]:
    """CuPy, with its current device that one."""
    cupy = the_cupy()
    with cupy.cuda.Device(0 if device is None else device):
        yield cupy


def shared_limit(device: int | None) -> int:
    """Bytes of shared memory that a block may have."""
    attributes = the_cupy().cuda.Device(0 if device is None else device).attributes
    return int(attributes["MaxSharedMemoryPerBlockOptin"])


@lru_cache(maxsize=256)
def compiled(text: str, options: tuple[str, ...], device: int | None) -> Any:
    """The compiled source; CuPy keeps it on disk too."""
    with on(device) as cupy:
        return cupy.RawModule(code=text, options=("-std=c++17", *options), backend="nvrtc")


def pinned(cupy: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A NumPy array that the GPU copies to and from by itself; CuPy's pool keeps its memory."""
    size = int(np.prod(shape))
    memory = cupy.cuda.alloc_pinned_memory(size * dtype.itemsize)
    return np.frombuffer(memory, dtype, size).reshape(shape)


def in_parts(call: Callable[[int, int], None], start: int, stop: int) -> None:
    """``call(start, stop)``, or for halves of these samples where the GPU's memory is too small."""
    too_large = the_cupy().cuda.memory.OutOfMemoryError
    try:
        call(start, stop)
        return
    except too_large as error:
        if stop - start <= 1:
            raise MemoryError(
                "the GPU's memory does not hold one sample with its textures and features: read "
                "fewer features (Probe(pool=...)), take fewer members, or free memory that others "
                "use"
            ) from error
    the_cupy().get_default_memory_pool().free_all_blocks()
    middle = (start + stop) // 2
    in_parts(call, start, middle)
    in_parts(call, middle, stop)
