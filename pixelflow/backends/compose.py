"""From inputs to features on any backend: encode, run, probe, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pixelflow.backends.registry import Backend
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

CHUNK_BYTES = 64 * 2**20  # of textures held at once, whatever the number of samples


def features(
    backend: Backend, plan: Plan, X: np.ndarray, out: np.ndarray, threshold: float, exact: bool
) -> None:
    """Fill `out` (N, D) with the features of float32 inputs `X` (N, D_in)."""
    if plan.probe == Probe():  # the textures themselves: no copy
        textures = out.reshape(len(X), plan.members, 1, *plan.shape)
        for rows in chunks(plan, len(X)):
            backend.trajectories(plan, plan.encoder.latents(X[rows]), textures[rows], exact)
        return
    for rows, textures in snapshots(backend, plan, X, exact):
        out[rows] = plan.probe.read(textures, threshold)


def snapshots(
    backend: Backend, plan: Plan, X: np.ndarray, exact: bool
) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of `X` and the textures (n, M, S, H, W, C) that the probe reads, chunk by chunk."""
    for rows in chunks(plan, len(X)):
        shape = (rows.stop - rows.start, plan.members, len(plan.times), *plan.shape)
        textures = np.empty(shape, np.float32)
        backend.trajectories(plan, plan.encoder.latents(X[rows]), textures, exact)
        yield rows, textures


def evolve(backend: Backend, plan: Plan, states: np.ndarray, exact: bool) -> np.ndarray:
    """States (N, M, H, W, C) at the plan's last step; the plan's inputs are textures."""
    out = np.empty(states.shape, np.float32)  # C-contiguous, whatever the states are
    latents = np.ascontiguousarray(states).reshape(len(states), plan.members, plan.texture_size)
    backend.trajectories(plan, latents, out[:, :, None], exact)
    return out


def chunks(plan: Plan, n_samples: int) -> Iterator[slice]:
    """Slices of the samples whose textures fit into `CHUNK_BYTES`."""
    values = plan.members * len(plan.times) * plan.texture_size
    count = max(1, CHUNK_BYTES // (values * np.float32().itemsize))
    for start in range(0, n_samples, count):
        yield slice(start, min(start + count, n_samples))
