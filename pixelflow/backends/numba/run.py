"""Runs a plan with Numba: its encoder in NumPy, then rule and probe, parallel over textures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from pixelflow.backends import compose
from pixelflow.backends.layout import (
    cell_numbers,
    halo_sources,
    in_blocks,
    n_threads,
    no_device,
    padded,
)
from pixelflow.backends.numba.modules import compiled
from pixelflow.backends.numba.source import source
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe, pool_ranges

BLOCKS = 8  # for each thread, so that none waits long for another at the end
CHUNK_BYTES = 16 * 2**20  # of latent values held at once, whatever the number of samples


def describe(device: int | None = None) -> str:
    """What it runs on; ImportError if Numba is missing."""
    no_device("numba", device)
    try:
        import numba
    except ImportError as error:
        raise ImportError(f"backend 'numba' needs Numba ({error}): pip install numba") from error
    return f"Numba {numba.__version__} on {n_threads()} threads"


def features(plan: Plan, X: np.ndarray, out: np.ndarray, exact: bool, device: int | None) -> None:
    """See `Backend.features`; textures are read where they evolve, and are not kept."""
    fixed = _fixed(plan)
    run = compiled(source(plan.program, plan.shape[2], exact)).run
    plain = plan.probe == Probe()
    shape = plan.probe.shape(plan.times[-1], *plan.shape)
    for rows in _chunks(plan, len(X)):
        latents = plan.encoder.latents(X[rows])
        part = out[rows]
        textures = part.reshape(len(part), plan.members, 1, *plan.shape) if plain else NO_TEXTURES
        read = NO_FEATURES if plain else part.reshape(len(part), plan.members, *shape)
        each = part.reshape(len(part) * plan.members, -1)
        block = max(1, -(-len(each) // (BLOCKS * n_threads())))
        in_blocks(partial(run, latents, *fixed, textures, read), each, block)


batches = partial(compose.batches, features)

NO_TEXTURES = np.empty((0,) * 6, np.float32)
NO_FEATURES = np.empty((0,) * 7, np.float32)


def _fixed(plan: Plan) -> tuple[Any, ...]:
    """What all samples share of `run`'s arguments, in its order."""
    height, width, _ = plan.shape
    radius = plan.program.radius
    index = np.ascontiguousarray(np.moveaxis(plan.encoder.index, -1, 0))
    return (
        index,
        (index >= 0).any(axis=(1, 2)),
        plan.params,
        padded(plan.media, radius),
        cell_numbers(height, width, radius),
        plan.keys,
        halo_sources(height, radius, plan.boundary),
        halo_sources(width, radius, plan.boundary),
        np.array(plan.times),
        _probe(plan),
    )


def _probe(plan: Plan) -> tuple[Any, ...]:
    """The probe as numbers and arrays, as `probe.read` takes it."""
    height, width, channels = plan.shape
    probe = plan.probe
    return (
        np.arange(channels) if probe.channels is None else np.array(probe.channels),
        pool_ranges(height, probe.pool or height),
        pool_ranges(width, probe.pool or width),
        np.float32(probe.level) if probe.rectify else np.float32(0),
        np.float32(0 if probe.rectify else -np.inf),
        probe.pool_op == "mean",
    )


def _chunks(plan: Plan, n_samples: int) -> Iterator[slice]:
    """Slices of the samples whose latent values fit into `CHUNK_BYTES`."""
    form = plan.encoder.form
    values = plan.members * form.length if form is not None else plan.texture_size
    count = max(1, CHUNK_BYTES // (values * np.float32().itemsize))
    for start in range(0, n_samples, count):
        yield slice(start, min(start + count, n_samples))
