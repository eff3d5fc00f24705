"""Times on the GPU alone: CUDA's events around work whose inputs and results stay there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import on
from pixelflow.backends.cuda.launch import loaded
from pixelflow.core.plan import Plan

CACHES = 2**28  # bytes of results that turn by turn are written: more than any cache holds
SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
    const long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""
SPIN_CYCLES = 20_000_000  # about 10 ms, in which the host enqueues what is timed


class Resident:
    """Inputs on the GPU, whose features are computed again and again, and stay there."""

    def __init__(self, plan: Plan, X: np.ndarray, exact: bool, device: int | None) -> None:
        self.device = device
        self.run = loaded(plan, X.dtype, exact, device).run
        with on(device) as cupy:
            self.inputs = cupy.asarray(X)
            size = len(X) * plan.feature_dim * 4
            turns = max(1, min(8, -(-CACHES // size)))
            self.outs = [cupy.empty((len(X), plan.feature_dim), np.float32) for _ in range(turns)]

    def times(self, n: int) -> list[float]:
        """Seconds of each of `n` runs, after one that is not timed."""
        turn = iter(range(n + 1))
        return event_times(
            lambda: self.run(self.inputs, self.outs[next(turn) % len(self.outs)]), n, self.device
        )

    def features(self) -> np.ndarray:
        """Features of the inputs, in host memory."""
        with on(self.device):
            self.run(self.inputs, self.outs[0])
            return self.outs[0].get()

    def release(self) -> None:
        """Give the memory back."""
        self.outs.clear()
        del self.inputs


def event_times(call: Callable[[], Any], n: int, device: int | None) -> list[float]:
    """Seconds that the GPU takes for each of `n` calls, which enqueue work on the current stream.

    The calls are enqueued while the GPU is kept busy, so that none of them waits for the host.
    """
    with on(device) as cupy:
        call()
        cupy.cuda.runtime.deviceSynchronize()
        spin = cupy.RawKernel(SPIN, "spin")
        events = [(cupy.cuda.Event(), cupy.cuda.Event()) for _ in range(n)]
        spin((1,), (1,), (SPIN_CYCLES,))
        for start, stop in events:
            start.record()
            call()
            stop.record()
        cupy.cuda.runtime.deviceSynchronize()
        return [cupy.cuda.get_elapsed_time(*pair) / 1e3 for pair in events]


def copy_GBps(n_bytes: int, device: int | None = None, n: int = 20) -> float:
    """How fast the GPU copies its own memory, GB/s: bytes read plus bytes written."""
    with on(device) as cupy:
        source, target = cupy.ones(n_bytes // 4, np.float32), cupy.empty(n_bytes // 4, np.float32)
        times = event_times(lambda: cupy.copyto(target, source), n, device)
        return 2 * source.nbytes / float(np.median(times)) / 1e9
