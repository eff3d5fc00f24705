"""Sequences on a GPU: a launch for each chunk of inputs, between which textures stay there."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import on, the_cupy
from pixelflow.backends.cuda.launch import Loaded, loaded
from pixelflow.core.plan import Plan

CHUNK_BYTES = 64 * 2**20  # of features that one launch makes
GROUP_BYTES = 2**31  # of textures and of inputs' features that are on the GPU at once


def run(
    plan: Plan,
    states: np.ndarray,
    ended: np.ndarray,
    first: int,
    steps: int,
    inputs: np.ndarray,
    out: np.ndarray,
    exact: bool,
    device: int | None,
) -> None:
    """Drive textures by inputs, from host memory to host memory; see `Prepared.advance`."""
    kernels = loaded(plan, np.dtype(np.float32), exact, device)
    each = states[0].nbytes + 4 * plan.feature_dim
    group = max(1, min(kernels.most(len(states)), GROUP_BYTES // each))
    for start in range(0, len(states), group):
        some = slice(start, start + group)
        n = len(states[some])
        length = max(1, min(inputs.shape[1], CHUNK_BYTES // (4 * n * plan.feature_dim)))
        with on(device) as cupy:
            stream = cupy.cuda.Stream(non_blocking=True)
            with stream:
                now, after = (cupy.empty(states[some].shape, np.float32) for _ in range(2))
                now.set(states[some])
                waiting: Any = None
                for t in range(0, inputs.shape[1], length):
                    u = cupy.asarray(np.ascontiguousarray(inputs[some, t : t + length]))
                    found = cupy.empty((*u.shape[:2], plan.feature_dim), np.float32)
                    drive(kernels, plan, now, u, found, after, first + t * steps, steps)
                    now, after = after, now
                    if waiting is not None:  # copied while the GPU works on the next inputs
                        _copied(*waiting)
                    waiting = out[some, t : t + length], found, stream
                if waiting is not None:
                    _copied(*waiting)
                ended[some] = now.get()


def _copied(out: np.ndarray, found: Any, stream: Any) -> None:
    stream.synchronize()
    out[...] = found.get()


def drive(
    kernels: Loaded,
    plan: Plan,
    states: Any,
    u: Any,
    out: Any,
    ended: Any,
    first: int,
    steps: int,
) -> None:
    """Enqueue features (n, T, D) and last textures of inputs u (n, T, K), all on the GPU."""
    n, length, _ = u.shape
    members, shown = plan.members, out
    if members > 1:
        shown = the_cupy().empty((n, members, length, plan.feature_dim // members), np.float32)
    kernels.run_driven(states, u, shown, ended, first, steps)
    if members > 1:
        out.reshape(n, length, members, -1)[...] = shown.transpose(0, 2, 1, 3)
