"""What every backend's prepared plan can do, composed of what it does itself.

A backend makes features of inputs, and takes textures through steps (`advance`). Sequences and
convergence follow from the latter, a call for each input or check; a backend that can fuse them
does so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pixelflow.core.drives import Drive
from pixelflow.core.encoders import of_textures
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe


class Composed:
    """A plan that is ready to run on a backend; see `pixelflow.backends.registry.Prepared`."""

    def __init__(self, plan: Plan, exact: bool, device: int | None) -> None:
        self.plan, self.exact, self.device = plan, exact, device

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (N, D) with the features of inputs."""
        raise NotImplementedError

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        """Fill `ended` with textures after more steps, the first of that number."""
        raise NotImplementedError

    def batches(self, X: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Features of `size` inputs at a time, NumPy arrays."""
        for start in range(0, len(X), size):
            rows = X[start : start + size]
            out = np.empty((len(rows), self.plan.feature_dim), self.plan.dtype)
            self.features(rows, out)
            yield out

    def run_sequence(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
    ) -> None:
        """Drive textures by inputs (n, T, K), and fill `out` with features of each."""
        plan, drive, steps = self.plan, drive_of(self.plan), self.plan.steps
        now = states.copy()
        seen = np.empty((len(states), plan.members, len(plan.times), *plan.shape), plan.dtype)
        for t in range(inputs.shape[1]):
            drive.add(now, inputs[:, t])
            done = 0
            for snapshot, until in enumerate((*plan.times, steps)):
                if until > done:
                    self.advance(now, ended, first + t * steps + done, until - done)
                    now, done = ended.copy(), until
                if snapshot < len(plan.times):
                    seen[:, :, snapshot] = now
            if out is not None:
                out[:, t] = read(plan, seen)
        ended[...] = now

    def converge(
        self, states: np.ndarray, ended: np.ndarray, tol: float, every: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Textures when they rest; how many steps each took, and its last largest change."""
        counts = np.zeros(states.shape[:2], np.int64)
        changes = np.full(states.shape[:2], np.inf)
        going = np.arange(len(states))  # samples, some member of which has not stopped
        is_open = np.ones(states.shape[:2], bool)
        now, done = states.copy(), 0
        ended[...] = states
        while len(going) and done < most:
            ahead = min(every, most - done)
            before, after = np.empty_like(now), np.empty_like(now)
            self.advance(now, before, done, ahead - 1)
            self.advance(before, after, done + ahead - 1, 1)
            now, done = after, done + ahead
            found = largest_change(before, now)
            part = is_open[going]
            counts[going] = np.where(part, done, counts[going])
            changes[going] = np.where(part, found, changes[going])
            ended[going] = np.where(part[..., None, None, None], now, ended[going])
            is_open[going] = part & goes_on(found, tol)
            on = is_open[going].any(axis=1)
            going, now = going[on], now[on]
        return counts, changes


def drive_of(plan: Plan) -> Drive:
    """The plan's drive."""
    if plan.drive is None:
        raise ValueError("a sequence needs a plan with a drive: compile_sequence makes one")
    return plan.drive


def textures_of(plan: Plan) -> Plan:
    """The plan whose inputs and features are the textures of a plan, kept with it."""
    if plan.probe == Probe() and plan.drive is None and plan.encoder.identical:
        return plan
    return plan.keep("textures", lambda: _textures_of(plan))


def _textures_of(plan: Plan) -> Plan:
    times, encoder = Probe().times(plan.steps), of_textures(*plan.shape)
    return replace(plan, probe=Probe(), times=times, encoder=encoder, drive=None)


def largest_change(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The largest absolute difference of textures (..., H, W, C), computed in float64."""
    with np.errstate(over="ignore", invalid="ignore"):  # of what has diverged: infinite or NaN
        change = np.subtract(now, before, dtype=np.float64)
        return np.abs(change, out=change).max(axis=(-3, -2, -1), initial=0)


def goes_on(change: np.ndarray, tol: float) -> np.ndarray:
    """Whether textures with that largest change take more steps; what diverged does not."""
    return (change > tol) & np.isfinite(change)


def read(plan: Plan, textures: np.ndarray) -> np.ndarray:
    """Features (n, D) of snapshots (n, M, S, H, W, C)."""
    if plan.probe == Probe():
        return textures.reshape(len(textures), -1)
    return plan.probe.read(textures)
