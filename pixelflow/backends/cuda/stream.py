"""From host memory to host memory: chunks over several streams, through pinned buffers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import on
from pixelflow.backends.cuda.launch import Loaded, loaded
from pixelflow.core.plan import Plan

CHUNK_BYTES = 16 * 2**20  # of inputs and features in a chunk: enough to fill a GPU and its link
SLOTS = 6  # chunks under way at once, each copied by a thread of its own


def features(plan: Plan, X: np.ndarray, out: np.ndarray, exact: bool, device: int | None) -> None:
    """See `pixelflow.backends.registry.Backend`."""
    if not len(X):
        return
    sample_bytes = X.nbytes // len(X) + out.nbytes // len(X)
    count = min(len(X), max(1, CHUNK_BYTES // sample_bytes))
    starts = range(0, len(X), count)
    run = loaded(plan, X.dtype, exact, device)
    slots: SimpleQueue[_Slot] = SimpleQueue()
    for _ in range(min(SLOTS, len(starts))):
        slots.put(_Slot(run, count, device))

    def chunk(start: int) -> None:
        slot = slots.get()
        try:
            slot.run(X[start : start + count], out[start : start + count])
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(slots.qsize()) as pool:
        for _ in pool.map(chunk, starts):
            pass


class _Slot:
    """A stream with its buffers, on the GPU and pinned in host memory, for a chunk at a time."""

    def __init__(self, run: Loaded, count: int, device: int | None) -> None:
        self._loaded, self._count, self._device = run, count, device
        self._buffers: Any = None

    def run(self, X: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the features of `X`, in parts that the GPU's memory holds."""
        done = 0
        with on(self._device) as cupy:
            while done < len(X):
                part = slice(done, min(done + self._count, len(X)))
                try:
                    self._part(cupy, X[part], out[part])
                except cupy.cuda.memory.OutOfMemoryError:
                    self._buffers = None
                    self._count = halved(cupy, self._count)
                else:
                    done = part.stop

    def _part(self, cupy: Any, X: np.ndarray, out: np.ndarray) -> None:
        n = len(X)
        if self._buffers is None:
            stream = cupy.cuda.Stream(non_blocking=True)
            shapes = [((self._count, *a.shape[1:]), a.dtype) for a in (X, out)]
            with stream:
                there = [cupy.empty(*shape) for shape in shapes]
            self._buffers = stream, there, [_pinned(cupy, *shape) for shape in shapes]
        stream, (inputs, found), (pinned_inputs, pinned_found) = self._buffers
        np.copyto(pinned_inputs[:n], X)
        with stream:
            inputs[:n].set(pinned_inputs[:n])
            self._loaded.run(inputs[:n], found[:n])
            found[:n].get(out=pinned_found[:n], blocking=False)
        stream.synchronize()
        np.copyto(out, pinned_found[:n])


def _pinned(cupy: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A NumPy array that the GPU copies to and from by itself; CuPy's pool keeps its memory."""
    size = int(np.prod(shape))
    memory = cupy.cuda.alloc_pinned_memory(size * dtype.itemsize)
    return np.frombuffer(memory, dtype, size).reshape(shape)


def halved(cupy: Any, count: int) -> int:
    """Half of a chunk that was too large for the GPU's memory; MemoryError when it was one."""
    cupy.get_default_memory_pool().free_all_blocks()
    if count == 1:
        raise MemoryError(
            "the GPU's memory does not hold one input with its features and textures: "
            "read fewer features (Probe(pool=...)), or free memory that others use"
        )
    warnings.warn(
        f"the GPU's memory does not hold {count} inputs at once: going on with {count // 2}",
        RuntimeWarning,
        stacklevel=4,
    )
    return count // 2


def batches(plan: Plan, X: np.ndarray, size: int, exact: bool, device: int | None) -> Iterator[Any]:
    """See `pixelflow.backends.registry.Backend`; yields CuPy arrays."""
    done = 0
    while done < len(X):
        rows = X[done : done + size]
        with on(device) as cupy:
            try:
                found = cupy.empty((len(rows), plan.feature_dim), np.float32)
                loaded(plan, X.dtype, exact, device).run(cupy.asarray(rows), found)
            except cupy.cuda.memory.OutOfMemoryError:
                size = halved(cupy, min(size, len(rows)))
                continue
        done += len(rows)
        yield found
