"""From host memory to host memory: chunks over several streams, through pinned buffers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from pixelflow.backends.compose import Composed, drive_of, textures_of
from pixelflow.backends.cuda import sequences
from pixelflow.backends.cuda.converge import converge
from pixelflow.backends.cuda.device import on, pinned, the_cupy
from pixelflow.backends.cuda.launch import loaded
from pixelflow.backends.cuda.measure import Resident
from pixelflow.core.plan import Plan

CHUNK_BYTES = 16 * 2**20  # of inputs and features in a chunk: enough to fill a GPU and its link
SLOTS = 6  # chunks under way at once, each copied by a thread of its own


class Cuda(Composed):
    """A plan on one GPU."""

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        _run(self.plan, X, out, self.exact, self.device)

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        plan = textures_of(self.plan)
        X = states.reshape(len(states), plan.members, plan.texture_size)
        found = ended.reshape(len(ended), plan.feature_dim)
        _run(plan, X, found, self.exact, self.device, (steps,), first)

    def run_sequence(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
    ) -> None:
        plan = self.plan
        if set(drive_of(plan).channels) <= set(plan.program.held):
            sequences.run(plan, states, inputs, ended, out, first, self.exact, self.device)
        else:  # a kernel holds no channel that the rule neither reads nor writes
            super().run_sequence(states, inputs, ended, out, first)

    def converge(
        self, states: np.ndarray, ended: np.ndarray, tol: float, every: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        plan = textures_of(self.plan)
        more = (tol, every, most, self.exact, self.device)
        return converge(plan, states, ended, *more)

    def resident(self, X: np.ndarray) -> Resident:
        """Inputs on the GPU, to time what happens there."""
        return Resident(self.plan, X, self.exact, self.device)

    def batches(self, X: np.ndarray, size: int) -> Iterator[Any]:
        return batches(self.plan, X, size, self.exact, self.device)


def prepare(plan: Plan, exact: bool, device: int | None) -> Cuda:
    """See `Backend.prepare`."""
    return Cuda(plan, exact, device)


def _run(
    plan: Plan,
    X: np.ndarray,
    out: np.ndarray,
    exact: bool,
    device: int | None,
    times: tuple[int, ...] | None = None,
    first: int = 0,
) -> None:
    """Fill `out` with features; see `Loaded.run`."""
    if not len(X):
        return
    sample_bytes = X.nbytes // len(X) + out.nbytes // len(X)
    count = min(len(X), max(1, CHUNK_BYTES // sample_bytes))
    starts = range(0, len(X), count)
    loaded_plan = loaded(plan, X.dtype, exact, device)
    run = partial(loaded_plan.run, times=times, first=first)
    too_large = the_cupy().cuda.memory.OutOfMemoryError
    slots: SimpleQueue[_Slot] = SimpleQueue()
    for _ in range(min(SLOTS, len(starts))):
        slots.put(_Slot(run, count, device))

    def filled(start: int) -> bool:
        slot = slots.get()
        try:
            slot.fill(X[start : start + count], out[start : start + count])
        except too_large:  # beside the others, at least
            slot.empty()
            return False
        finally:
            slots.put(slot)
        return True

    with ThreadPoolExecutor(slots.qsize()) as pool:
        found = list(pool.map(filled, starts))
    while not slots.empty():
        slots.get().empty()
    left = (slice(s, s + count) for s, done in zip(starts, found, strict=True) if not done)
    _one_by_one(run, X, out, left, count, device)


def _one_by_one(
    run: Callable[[Any, Any], None],
    X: np.ndarray,
    out: np.ndarray,
    chunks: Iterable[slice],
    count: int,
    device: int | None,
) -> None:
    """Chunks for which the GPU's memory was too small, in parts that it holds."""
    for chunk in chunks:
        inputs, features = X[chunk], out[chunk]
        done = 0
        while done < len(inputs):
            part = slice(done, done + count)
            try:
                _Slot(run, count, device).fill(inputs[part], features[part])
                done += count
            except the_cupy().cuda.memory.OutOfMemoryError:
                count = _halved(min(count, len(inputs) - done))


class _Slot:
    """A stream with its buffers, on the GPU and pinned in host memory, for a chunk at a time."""

    def __init__(self, run: Callable[[Any, Any], None], count: int, device: int | None) -> None:
        self._run, self._count, self._device = run, count, device
        self._buffers: Any = None

    def fill(self, X: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the features of `X`, up to `count` of them; raises CuPy's error."""
        n = len(X)
        with on(self._device) as cupy:
            if self._buffers is None:
                stream = cupy.cuda.Stream(non_blocking=True)
                shapes = [((self._count, *a.shape[1:]), a.dtype) for a in (X, out)]
                with stream:
                    there = [cupy.empty(*shape) for shape in shapes]
                self._buffers = stream, there, [pinned(cupy, *shape) for shape in shapes]
            stream, (inputs, found), (pinned_inputs, pinned_found) = self._buffers
            np.copyto(pinned_inputs[:n], X)
            with stream:
                inputs[:n].set(pinned_inputs[:n])
                self._run(inputs[:n], found[:n])
                found[:n].get(out=pinned_found[:n], blocking=False)
            stream.synchronize()
            np.copyto(out, pinned_found[:n])

    def empty(self) -> None:
        """Give the buffers back."""
        self._buffers = None


def _halved(count: int) -> int:
    """Half of a batch that was too large for the GPU's memory; MemoryError when it was one."""
    the_cupy().get_default_memory_pool().free_all_blocks()
    if count == 1:
        raise MemoryError(
            "the GPU's memory does not hold one input with its features and textures: read fewer "
            "features (Probe(pool=...)), take fewer members, or free memory that others use"
        )
    warnings.warn(
        f"the GPU's memory does not hold {count} inputs at once: going on with {count // 2}",
        RuntimeWarning,
        stacklevel=3,
    )
    return count // 2


def batches(plan: Plan, X: np.ndarray, size: int, exact: bool, device: int | None) -> Iterator[Any]:
    """See `pixelflow.backends.registry.Prepared`; yields CuPy arrays."""
    done = 0
    while done < len(X):
        rows = X[done : done + size]
        found = None
        with on(device) as cupy:
            try:
                found = cupy.empty((len(rows), plan.feature_dim), np.float32)
                loaded(plan, X.dtype, exact, device).run(cupy.asarray(rows), found)
            except cupy.cuda.memory.OutOfMemoryError:
                found = None
                size = _halved(min(size, len(rows)))
                continue
        done += len(rows)
        yield found
        del found  # else it would live until the next is there
