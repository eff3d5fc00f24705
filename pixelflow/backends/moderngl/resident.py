"""Inputs that stay on the device: how long all work on them there takes, and what it gives."""

from __future__ import annotations

import time

import numpy as np

from pixelflow.backends.moderngl.atlas import Atlas
from pixelflow.backends.moderngl.context import Device, call
from pixelflow.backends.moderngl.dispatch import Dispatch
from pixelflow.backends.moderngl.run import parts, path
from pixelflow.core.plan import Plan

WARM_UP = 3  # runs that are not timed

# What takes some of the inputs, and those of some of the members, to features.
Held = tuple[Atlas | Dispatch, slice, slice]


class Resident:
    """A plan's inputs on a device, with all that runs there from them to features."""

    def __init__(self, plan: Plan, X: np.ndarray, exact: bool, device: int | None) -> None:
        self._device = device
        self._shape = (len(X), plan.members, len(plan.times), -1)
        self._out = (len(X), plan.feature_dim)
        self._held: list[Held] = []
        call(device, self._upload, plan, X, exact)

    def times(self, n: int) -> list[float]:
        """Seconds of each of `n` runs: by the GPU's own clock, or the host's in software."""
        return call(self._device, self._times, n)

    def features(self) -> np.ndarray:
        """Features (N, D) of the inputs, in host memory."""
        return call(self._device, self._features)

    def release(self) -> None:
        """Give the device's memory back."""
        call(self._device, self._release)

    def _upload(self, device: Device, plan: Plan, X: np.ndarray, exact: bool) -> None:
        for part, inputs, members in parts(device, plan, X):
            start = 0
            while start < len(inputs):
                prepared = path(device, part, inputs[start:], exact)
                rows = slice(start, start + prepared.chunk)
                self._held.append((prepared, rows, members))
                prepared.load(inputs[rows])
                start += prepared.chunk

    def _run(self) -> None:
        for prepared, _, _ in self._held:
            prepared.run()

    def _features(self, _: Device) -> np.ndarray:
        if self._out[0] and not self._held:
            raise RuntimeError("these inputs were released")
        out = np.empty(self._out, np.float32)
        for prepared, rows, members in self._held:
            prepared.run()
            prepared.store(out.reshape(self._shape)[rows, members])
        return out

    def _times(self, device: Device, n: int) -> list[float]:
        for _ in range(WARM_UP):
            self._run()
        return [self._seconds(device) for _ in range(n)]

    def _seconds(self, device: Device) -> float:
        context = device.context
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
            self._held.pop()[0].close()
