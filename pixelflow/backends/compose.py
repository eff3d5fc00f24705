"""From inputs to features by a backend's one primitive: encode, run, probe, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

CHUNK_BYTES = 64 * 2**20  # of textures held at once, whatever the number of samples

# Fills `out` (n, M, S, H, W, C) with every member's textures after ``plan.times`` steps. The
# latents (n, M, L), or (n, 1, L) where all members see the same, are the encoder's values, which
# its index spreads over the texture. Both are C-contiguous.
Trajectories = Callable[[Plan, np.ndarray, np.ndarray, bool], None]
Features = Callable[[Plan, np.ndarray, np.ndarray, bool, int | None], None]


def features(
    trajectories: Trajectories,
    plan: Plan,
    X: np.ndarray,
    out: np.ndarray,
    exact: bool,
    device: int | None,
) -> None:
    """`Backend.features` of a processor; `device` is None there."""
    plain = plan.probe == Probe()  # the textures themselves: no copy
    for rows in chunks(plan, len(X)):
        shape = (rows.stop - rows.start, plan.members, len(plan.times), *plan.shape)
        textures = out[rows].reshape(shape) if plain else np.empty(shape, np.float32)
        trajectories(plan, plan.encoder.latents(X[rows]), textures, exact)
        if not plain:
            out[rows] = plan.probe.read(textures)


def batches(
    features: Features, plan: Plan, X: np.ndarray, size: int, exact: bool, device: int | None
) -> Iterator[np.ndarray]:
    """`Backend.batches` where features are NumPy arrays."""
    for start in range(0, len(X), size):
        rows = X[start : start + size]
        out = np.empty((len(rows), plan.feature_dim), np.float32)
        features(plan, rows, out, exact, device)
        yield out


def chunks(plan: Plan, n_samples: int) -> Iterator[slice]:
    """Slices of the samples whose textures fit into `CHUNK_BYTES`."""
    values = plan.members * len(plan.times) * plan.texture_size
    count = max(1, CHUNK_BYTES // (values * np.float32().itemsize))
    for start in range(0, n_samples, count):
        yield slice(start, min(start + count, n_samples))
