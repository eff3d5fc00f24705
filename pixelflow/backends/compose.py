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
    if plan.probe == Probe():
        textures = out.reshape(len(X), plan.members, 1, *plan.shape)
        for rows in chunks(plan, len(X)):
            for m in range(plan.members):
                latents = plan.encoder.latents(X[rows], m)
                backend.trajectories(plan, m, latents, textures[rows, m], exact)
        return
    by_member = out.reshape(len(X), plan.members, -1)
    for rows, m, textures in snapshots(backend, plan, X, exact):
        by_member[rows, m] = plan.probe.read(textures, threshold)


def snapshots(
    backend: Backend, plan: Plan, X: np.ndarray, exact: bool
) -> Iterator[tuple[slice, int, np.ndarray]]:
    """Rows, member and the textures (n, S, H, W, C) that its probe reads, chunk by chunk."""
    for rows in chunks(plan, len(X)):
        n = rows.stop - rows.start
        buffer = np.empty((n, len(plan.times), *plan.shape), np.float32)
        for m in range(plan.members):
            backend.trajectories(plan, m, plan.encoder.latents(X[rows], m), buffer, exact)
            yield rows, m, buffer


def evolve(backend: Backend, plan: Plan, states: np.ndarray, exact: bool) -> np.ndarray:
    """States (N, M, H, W, C) at the plan's last step; the plan's inputs are textures."""
    out = np.empty_like(states)
    for m in range(plan.members):
        latents = np.ascontiguousarray(states[:, m]).reshape(len(states), -1)
        backend.trajectories(plan, m, latents, out[:, m, None], exact)
    return out


def chunks(plan: Plan, n_samples: int) -> Iterator[slice]:
    """Slices of the samples whose snapshots fit into `CHUNK_BYTES`."""
    size = int(np.prod(plan.shape)) * len(plan.times) * np.float32().itemsize
    count = max(1, CHUNK_BYTES // size)
    for start in range(0, n_samples, count):
        yield slice(start, min(start + count, n_samples))
