"""Textures on a GPU until they rest: the device decides when each of them does.

A texture that fits a block takes all its steps in one launch (rest.cuh). Larger ones take a launch
for the steps to each check, and one for the check; the host only asks how many go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.backends.compose import goes_on
from pixelflow.backends.cuda.device import compiled, in_parts, on, pinned
from pixelflow.backends.cuda.launch import Loaded, loaded, resting
from pixelflow.core.plan import Plan

GROUP_BYTES = 2**32  # of textures that are on the GPU at once, with copies of them
COPIES = 4  # of each
STEPS_OF_LAUNCH = 2**14  # about, of one texture, so that no launch lasts too long to be stopped
THREADS = 256  # of a block that looks at one texture
SETTLE = f"""
// A block looks at one texture: how far did its last step change it? A texture that rests, or that
// has had its last step, is left as it is now. Stopped textures are passed over, so that a second
// look changes nothing.
extern "C" __global__ void settle(const float* before, const float* now, const int* samples,
                                  float* ended, int* going, long long* counts, double* changes,
                                  int* n_going, long long size, int members, long long done,
                                  double tol, int is_last) {{
    extern __shared__ float4 shared[];
    double* const most = reinterpret_cast<double*>(shared);
    const long long item = blockIdx.x;
    const long long place = samples[item / members] * (long long)members + item % members;
    if (!going[place]) return;
    double change = 0.0;
    for (long long i = threadIdx.x; i < size; i += {THREADS}) {{
        double d = (double)now[item * size + i] - (double)before[item * size + i];
        d = d < 0.0 ? -d : d;
        change = d > change || d != d ? d : change;  // NaN stays
    }}
    most[threadIdx.x] = change;
    __syncthreads();
    for (int half = {THREADS // 2}; half > 0; half /= 2) {{
        if (threadIdx.x < half) {{
            const double d = most[threadIdx.x + half], own = most[threadIdx.x];
            most[threadIdx.x] = d > own || d != d ? d : own;
        }}
        __syncthreads();
    }}
    const double infinity = __int_as_float(0x7f800000);
    const bool stops = !(most[0] > tol && most[0] < infinity) || is_last;  // NaN stops too
    if (stops)
        for (long long i = threadIdx.x; i < size; i += {THREADS})
            ended[place * size + i] = now[item * size + i];
    __syncthreads();
    if (threadIdx.x == 0) {{
        counts[place] = done;
        changes[place] = most[0];
        if (stops) {{
            going[place] = 0;
            atomicSub(n_going, 1);
        }}
    }}
}}
"""


def converge(
    plan: Plan,
    states: np.ndarray,
    ended: np.ndarray,
    tol: float,
    every: int,
    most: int,
    exact: bool,
    device: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """See `Prepared.converge`; the plan's inputs and features are textures."""
    counts = np.zeros(states.shape[:2], np.int64)
    changes = np.zeros(states.shape[:2])
    whole = resting(plan, exact, device)
    kernels = loaded(plan, np.dtype(np.float32), exact, device) if whole is None else whole
    take = _step_by_step if whole is None else _in_one_launch
    group = max(1, GROUP_BYTES // (COPIES * max(1, states[:1].nbytes)))

    def once(start: int, stop: int) -> None:
        some = slice(start, stop)
        with on(device) as cupy, cupy.cuda.Stream(non_blocking=True):
            found = take(kernels, cupy, states[some], tol, every, most, device)
            ended[some], counts[some], changes[some] = (array.get() for array in found)

    for start in range(0, len(states), group):
        in_parts(once, start, min(start + group, len(states)))
    return counts, changes


def _in_one_launch(
    kernels: Loaded,
    cupy: Any,
    states: np.ndarray,
    tol: float,
    every: int,
    most: int,
    device: int | None,
) -> tuple[Any, Any, Any]:
    """Textures that fit a block: how they end, their steps and their last changes, on the GPU."""
    now = cupy.asarray(states)
    counts, changes = (cupy.asarray(np.zeros(states.shape[:2], t)) for t in (np.int64, np.float64))
    ahead = max(1, STEPS_OF_LAUNCH // every) * every
    for until in range(ahead, most + ahead, ahead):
        kernels.rest(now, now, counts, changes, every, min(until, most), tol)
        if until < most and not goes_on(changes.get(), tol).any():
            break
    return now, counts, changes


def _step_by_step(
    kernels: Loaded,
    cupy: Any,
    states: np.ndarray,
    tol: float,
    every: int,
    most: int,
    device: int | None,
) -> tuple[Any, Any, Any]:
    """Larger textures, likewise."""
    settling = _Settling(kernels, cupy, states, device)
    settling.run(tol, every, most)
    return settling.ended, settling.counts, settling.changes


class _Settling:
    """Textures on the GPU, what became of those that rest, and which still go on."""

    def __init__(self, kernels: Loaded, cupy: Any, states: np.ndarray, device: int | None) -> None:
        n, members = states.shape[:2]
        self.kernels, self.cupy, self.members = kernels, cupy, members
        self.size = states[0, 0].size
        self.now = cupy.asarray(states.reshape(n, members, self.size))
        self.ended = cupy.empty(states.shape, np.float32)
        self.going = cupy.asarray(np.ones((n, members), np.int32))
        self.counts = cupy.asarray(np.zeros((n, members), np.int64))
        self.changes = cupy.asarray(np.zeros((n, members)))
        self.n_going = cupy.asarray(np.array([n * members], np.int32))
        self.samples = cupy.asarray(np.arange(n, dtype=np.int32))
        self.settle = compiled(SETTLE, (), device).get_function("settle")

    def run(self, tol: float, every: int, most: int) -> None:
        """Steps until all rest, or `most` of them.

        The host asks how many go on after the next steps are enqueued, so that the GPU never waits
        for the answer; it computes one round too many.
        """
        before, after = (self.cupy.empty(self.now.shape, np.float32) for _ in range(2))
        done, asked, left = 0, None, int(self.n_going.get()[0])
        seen = left  # how many went on when samples were left out last
        while left and len(self.now) and done < most:
            ahead = min(every, most - done)
            before, after = before[: len(self.now)], after[: len(self.now)]
            self._take(self.now, before, ahead - 1, done)
            self._take(before, after, 1, done + ahead - 1)
            done += ahead
            self._settle(before, after, done, tol, done >= most)
            self.now, after = after, self.now
            answer = _Answer(self.cupy, self.n_going)
            left = left if asked is None else asked.value()
            asked = answer
            if left * 2 < seen:
                seen = left
                self._leave_out_what_rests()

    def _take(self, states: Any, out: Any, steps: int, first: int) -> None:
        self.kernels.run(states, out.reshape(len(out), -1), (steps,), first)

    def _settle(self, before: Any, now: Any, done: int, tol: float, is_last: bool) -> None:
        arguments = (
            before, now, self.samples, self.ended, self.going, self.counts, self.changes,
            self.n_going, np.int64(self.size), np.int32(self.members), np.int64(done),
            np.float64(tol), np.int32(is_last),
        )  # fmt: skip
        self.settle((len(now) * self.members,), (THREADS,), arguments, shared_mem=8 * THREADS)

    def _leave_out_what_rests(self) -> None:
        """Go on with the samples alone some member of which has not stopped."""
        samples = self.samples.get()
        rows = np.flatnonzero(self.going.get()[samples].any(axis=1))
        if len(rows) < len(samples):
            self.samples = self.cupy.asarray(np.ascontiguousarray(samples[rows]))
            chosen = self.cupy.asarray(rows)
            self.now = self.cupy.ascontiguousarray(self.now[chosen])


class _Answer:
    """How many textures go on, on its way to the host."""

    def __init__(self, cupy: Any, n_going: Any) -> None:
        self._there = pinned(cupy, (1,), np.dtype(np.int32))
        n_going.get(out=self._there, blocking=False)
        self._event = cupy.cuda.Event()
        self._event.record()

    def value(self) -> int:
        """The number, once it is there."""
        self._event.synchronize()
        return int(self._there[0])
