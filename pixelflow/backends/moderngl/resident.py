"""Device time: inputs that stay on the device, and how long all work on them there takes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pixelflow.backends.moderngl.context import Device, call
from pixelflow.backends.moderngl.run import parts, path
from pixelflow.core.plan import Plan

WARM_UP = 3  # runs that are not timed


class Resident:
    """A plan's inputs on a device, with all that runs there from them to features."""

    def __init__(self, plan: Plan, X: np.ndarray, exact: bool, device: int | None) -> None:
        self._device, self._held = device, []
        call(device, self._upload, plan, X, exact)

    def times(self, n: int) -> list[float]:
        """Seconds of each of `n` runs: by the GPU's own clock, or the host's in software."""
        return call(self._device, self._times, n)

    def release(self) -> None:
        """Give the device's memory back."""
        call(self._device, self._release)

    def _upload(self, device: Device, plan: Plan, X: np.ndarray, exact: bool) -> None:
        for part, inputs, _ in parts(device, plan, X):
            start = 0
            while start < len(inputs):
                prepared = path(device, part, inputs[start:], exact)
                self._held.append(prepared)
                prepared.load(inputs[start : start + prepared.chunk])
                start += prepared.chunk

    def _run(self) -> None:
        for prepared in self._held:
            prepared.run()

    def _times(self, device: Device, n: int) -> list[float]:
        for _ in range(WARM_UP):
            self._run()
        return [self._seconds(device) for _ in range(n)]

    def _seconds(self, device: Device) -> float:
        context: Any = device.context
        context.finish()
        if not device.software:
            query = context.query(time=True)
            with query:
                self._run()
            return query.elapsed * 1e-9
        start = time.perf_counter()
        self._run()
        context.finish()
        return time.perf_counter() - start

    def _release(self, device: Device) -> None:
        while self._held:
            self._held.pop().close()


def resident(plan: Plan, X: np.ndarray, exact: bool, device: int | None) -> Resident:
    """Inputs uploaded once, to time what runs on the device; `release` it afterwards."""
    return Resident(plan, X, exact, device)
