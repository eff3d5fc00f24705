"""From host memory to host memory: chunks over several streams, through pinned buffers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import on
from pixelflow.backends.cuda.launch import Loaded, loaded
from pixelflow.backends.layout import n_threads
from pixelflow.core.plan import Plan

CHUNK_BYTES = 32 * 2**20  # of inputs and features in a chunk: enough to fill a GPU and its link
SLOTS = 4  # chunks under way at once
logger = logging.getLogger("pixelflow")


@dataclass
class Slot:
    """What one chunk needs: a stream, and its inputs and features here and there."""

    stream: Any
    inputs: Any
    features: Any
    pinned_inputs: np.ndarray
    pinned_features: np.ndarray
    copies: list[Future[None]] = field(default_factory=list)  # to where the caller wants them

    def wait(self) -> None:
        while self.copies:
            self.copies.pop().result()


def features(plan: Plan, X: np.ndarray, out: np.ndarray, exact: bool, device: int | None) -> None:
    """See `pixelflow.backends.registry.Backend`."""
    if not len(X):
        return
    sample_bytes = X.nbytes // len(X) + out.nbytes // len(X)
    count = min(len(X), max(1, CHUNK_BYTES // sample_bytes))
    with on(device) as cupy:
        run = loaded(plan, X.dtype, exact, device)
        done = 0
        while done < len(X):
            try:
                for reached in _streamed(cupy, run, X, out, done, count):
                    done = reached
            except cupy.cuda.memory.OutOfMemoryError:
                count = _halved(cupy, count)


def _streamed(
    cupy: Any, run: Loaded, X: np.ndarray, out: np.ndarray, start: int, count: int
) -> Iterator[int]:
    """Fill `out` from `start` on, `count` samples at a time; yields how many are surely there."""
    slots: list[Slot] = []
    ends: list[int] = []
    with ThreadPoolExecutor(n_threads()) as pool:
        for turn, first in enumerate(range(start, len(X), count)):
            if len(slots) < SLOTS:
                slots.append(_slot(cupy, X, out, count))
            slot = slots[turn % SLOTS]
            slot.wait()
            if turn >= SLOTS:
                yield ends[turn - SLOTS]
            rows = slice(first, min(first + count, len(X)))
            _start(cupy, run, slot, X[rows], out[rows], pool)
            ends.append(rows.stop)
        for slot in slots:
            slot.wait()
    yield len(X)


def _slot(cupy: Any, X: np.ndarray, out: np.ndarray, count: int) -> Slot:
    stream = cupy.cuda.Stream(non_blocking=True)
    shapes = ((count, *X.shape[1:]), X.dtype), ((count, *out.shape[1:]), out.dtype)
    with stream:
        there = [cupy.empty(*shape) for shape in shapes]
    return Slot(stream, *there, *(_pinned(cupy, *shape) for shape in shapes))


def _pinned(cupy: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A NumPy array that the GPU copies to and from by itself; CuPy's pool keeps its memory."""
    size = int(np.prod(shape))
    memory = cupy.cuda.alloc_pinned_memory(size * dtype.itemsize)
    return np.frombuffer(memory, dtype, size).reshape(shape)


def _start(
    cupy: Any, run: Loaded, slot: Slot, X: np.ndarray, out: np.ndarray, pool: ThreadPoolExecutor
) -> None:
    """Enqueue a chunk: in, run, out, and the copies from the pinned buffer."""
    n = len(X)
    np.copyto(slot.pinned_inputs[:n], X)
    with slot.stream:
        slot.inputs[:n].set(slot.pinned_inputs[:n])
        run.run(slot.inputs[:n], slot.features[:n])
        slot.features[:n].get(out=slot.pinned_features[:n], blocking=False)
        ready = cupy.cuda.Event(disable_timing=True)
        ready.record(slot.stream)

    def copy(rows: slice) -> None:
        ready.synchronize()
        np.copyto(out[rows], slot.pinned_features[rows])

    parts = np.linspace(0, n, min(n, n_threads(), 4) + 1).astype(int)
    slot.copies += [pool.submit(copy, slice(a, b)) for a, b in pairwise(parts)]


def _halved(cupy: Any, count: int) -> int:
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
                inputs = cupy.asarray(rows)
                found = cupy.empty((len(rows), plan.feature_dim), np.float32)
                loaded(plan, X.dtype, exact, device).run(inputs, found)
            except cupy.cuda.memory.OutOfMemoryError:
                size = _halved(cupy, min(size, len(rows)))
                continue
        done += len(rows)
        yield found
