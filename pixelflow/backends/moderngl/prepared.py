"""A plan on OpenGL: what the backend offers of it."""

from __future__ import annotations

import numpy as np

from pixelflow.backends.compose import Composed, textures_of
from pixelflow.backends.moderngl.context import call
from pixelflow.backends.moderngl.resident import Resident
from pixelflow.backends.moderngl.run import run
from pixelflow.core.plan import Plan


class ModernGL(Composed):
    """A plan on OpenGL."""

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        if len(X):
            call(self.device, run, self.plan, X, out, self.exact, self.plan.times, 0)

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        plan = textures_of(self.plan)
        X = states.reshape(len(states), plan.members, plan.texture_size)
        if len(X):
            found = ended.reshape(len(ended), plan.feature_dim)
            call(self.device, run, plan, X, found, self.exact, (steps,), first)

    def resident(self, X: np.ndarray) -> Resident:
        """Inputs uploaded once, to run and time what runs on the device; `release` it after."""
        return Resident(self.plan, X, self.exact, self.device)


def prepare(plan: Plan, exact: bool, device: int | None) -> ModernGL:
    """See `Backend.prepare`."""
    return ModernGL(plan, exact, device)
