"""What the backend offers: features of inputs, on the path that suits plan and device."""

from __future__ import annotations

from functools import partial

import numpy as np

from pixelflow.backends import compose
from pixelflow.backends.moderngl import atlas
from pixelflow.backends.moderngl.context import Device, call
from pixelflow.core.plan import Plan


def features(
    plan: Plan, X: np.ndarray, out: np.ndarray, exact: bool, device: int | None
) -> None:
    """`Backend.features`."""
    if len(X):
        call(device, _features, plan, X, out, exact)


def _features(device: Device, plan: Plan, X: np.ndarray, out: np.ndarray, exact: bool) -> None:
    by_snapshot = out.reshape(len(out), plan.members, len(plan.times), -1)
    atlas.fill(device, plan, X, by_snapshot, exact)


batches = partial(compose.batches, features)
