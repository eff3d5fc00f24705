"""Sequences on a GPU: a launch for each chunk of inputs, between which textures stay there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import in_parts, on, pinned, the_cupy
from pixelflow.backends.cuda.launch import Loaded, loaded
from pixelflow.core.plan import Plan

CHUNK_BYTES = 32 * 2**20  # of features that one launch makes
GROUP_BYTES = 2**29  # of textures on the GPU at once, for each group of sequences
GROUPS = 4  # of sequences under way at once, each copied by a thread of its own
FEWEST_BYTES = 2**22  # of features, from which groups are worth it


def run(
    plan: Plan,
    states: np.ndarray,
    inputs: np.ndarray,
    ended: np.ndarray,
    out: np.ndarray | None,
    first: int,
    exact: bool,
    device: int | None,
) -> None:
    """Drive textures by inputs, from host memory to host memory; see `Prepared.run_sequence`."""
    n = len(states)
    kernels = loaded(plan, np.dtype(np.float32), exact, device)
    most = max(1, min(kernels.most(n), GROUP_BYTES // max(1, states[:1].nbytes)))
    groups = GROUPS if out is not None and out.nbytes >= FEWEST_BYTES else 1
    size = min(most, -(-n // groups))

    def work(start: int) -> None:
        in_parts(once, start, min(start + size, n))

    def once(start: int, stop: int) -> None:
        some = slice(start, stop)
        with on(device) as cupy, cupy.cuda.Stream(non_blocking=True):
            read = None if out is None else out[some]
            _group(kernels, plan, states[some], inputs[some], ended[some], read, first)

    with ThreadPoolExecutor(groups) as pool:
        for _ in pool.map(work, range(0, n, max(1, size))):
            pass


def _group(
    kernels: Loaded,
    plan: Plan,
    states: np.ndarray,
    inputs: np.ndarray,
    ended: np.ndarray,
    out: np.ndarray | None,
    first: int,
) -> None:
    """Sequences whose textures are on the GPU at once, on the current stream."""
    cupy = the_cupy()
    n, total, _ = inputs.shape
    length = max(1, min(total, CHUNK_BYTES // (4 * n * plan.feature_dim)))
    now, after = (cupy.empty(states.shape, np.float32) for _ in range(2))
    now.set(states)
    found = [cupy.empty((n, length, plan.feature_dim), np.float32) for _ in range(2)]
    pinned_found = [pinned(cupy, part.shape, part.dtype) for part in found]
    stream, copying = cupy.cuda.get_current_stream(), None
    for turn, t in enumerate(range(0, total, length)):
        u = cupy.asarray(np.ascontiguousarray(inputs[:, t : t + length]))
        size = n * u.shape[1] * plan.feature_dim
        features = found[turn % 2].reshape(-1)[:size].reshape(n, u.shape[1], plan.feature_dim)
        drive(kernels, plan, now, u, features, after, first + t * plan.steps)
        now, after = after, now
        if out is None:
            continue
        there = pinned_found[turn % 2].reshape(-1)[:size].reshape(features.shape)
        features.get(out=there, blocking=False)
        event = cupy.cuda.Event()
        event.record()
        if copying is not None:  # while the GPU works on these inputs
            _leave(*copying)
        copying = event, there, out[:, t : t + length]
    if copying is not None:
        _leave(*copying)
    ended[...] = now.get()
    stream.synchronize()


def _leave(event: Any, there: np.ndarray, out: np.ndarray) -> None:
    """Copy features to where they belong, once they are in the host's memory."""
    event.synchronize()
    np.copyto(out, there)


def drive(
    kernels: Loaded,
    plan: Plan,
    states: Any,
    u: Any,
    out: Any,
    ended: Any,
    first: int,
) -> None:
    """Enqueue features (n, T, D) and last textures of inputs u (n, T, K), all on the GPU."""
    n, length, _ = u.shape
    members, shown = plan.members, out
    if members > 1:
        shown = the_cupy().empty((n, members, length, plan.feature_dim // members), np.float32)
    kernels.run_driven(states, u, shown, ended, first, plan.steps)
    if members > 1:
        out.reshape(n, length, members, -1)[...] = shown.transpose(0, 2, 1, 3)
