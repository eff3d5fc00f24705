"""Runs a plan with Numba: rule and probe, and a local map before them, parallel over textures.

What other encoders make of inputs comes from NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

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
from pixelflow.backends.numba.source import encoded_at_once, source
from pixelflow.core.encoders import PIXEL
from pixelflow.core.forms import LIMITS, Form, Local
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe, pool_ranges

BLOCKS = 8  # for each thread, so that none waits long for another at the end
CHUNK_BYTES = 8 * 2**20  # of what is given to compiled code at once, whatever there is

NO_WINDOW = np.empty((0, 0, 0), np.int32)
NO_KERNELS = np.empty((0, 0, 0), np.float32)
NO_BIASES = np.empty((0, 0), np.float32)
NO_TEXTURES = np.empty((0,) * 6, np.float32)
NO_FEATURES = np.empty((0,) * 7, np.float32)

_FIXED: WeakKeyDictionary[Plan, tuple[Any, ...]] = WeakKeyDictionary()


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
    for rows, given in _given(plan, X):
        part = out[rows]
        textures = part.reshape(len(part), plan.members, 1, *plan.shape) if plain else NO_TEXTURES
        read = NO_FEATURES if plain else part.reshape(len(part), plan.members, *shape)
        each = part.reshape(len(part) * plan.members, -1)
        in_blocks(partial(run, given, *fixed, textures, read), each, _block(plan, len(part)))


batches = partial(compose.batches, features)


def _block(plan: Plan, n: int) -> int:
    """How many textures of n samples a block has; all of a thread's where samples are few.

    For each block gathers the windows of its first sample anew.
    """
    threads = n_threads()
    blocks = threads * min(BLOCKS, -(-n // threads))
    return -(-n * plan.members // blocks)


def _fixed(plan: Plan) -> tuple[Any, ...]:
    """What all samples share of `run`'s arguments, in its order; kept as long as the plan."""
    if plan not in _FIXED:
        _FIXED[plan] = _made(plan)
    return _FIXED[plan]


def _made(plan: Plan) -> tuple[Any, ...]:
    height, width, _ = plan.shape
    radius = plan.program.radius
    index = np.ascontiguousarray(np.moveaxis(plan.encoder.index, -1, 0))
    return (
        _local(plan),
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


def _given(plan: Plan, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of the samples with their latent values, or with what a local map makes them of."""
    form, give = plan.encoder.form, plan.encoder.latents
    size = plan.members * form.length if form is not None else X[:1].size
    if _fused(form):
        size, give = X[:1].size, _values
    count = max(1, CHUNK_BYTES // max(1, size * np.float32().itemsize))
    for start in range(0, len(X), count):
        rows = slice(start, start + count)
        yield rows, give(X[rows])


def _fused(form: Form | None) -> TypeGuard[Local]:
    """Whether compiled code makes the latent values itself: threads of BLAS would be in its way."""
    return isinstance(form, Local) and form.squash in LIMITS


def _values(X: np.ndarray) -> np.ndarray:
    """Inputs as float32, and a 0 before each: (n, 1, 1 + D_in)."""
    values = np.zeros((len(X), 1, X.shape[1] + 1), np.float32)
    np.multiply(X, PIXEL if X.dtype == np.uint8 else np.float32(1), out=values[:, 0, 1:])
    return values


def _local(plan: Plan) -> tuple[Any, ...]:
    """A local map's window, contrast, kernels, biases and squash; without it, no kernels."""
    form = plan.encoder.form
    if not _fused(form):
        return NO_WINDOW, np.float32(0), NO_KERNELS, NO_BIASES, np.float32(0), np.float32(0), False
    low, high = map(np.float32, LIMITS[form.squash])
    contrast, root = np.float32(form.contrast), form.squash == "root"
    return _blocks(form), contrast, form.kernel, form.bias, low, high, root


def _blocks(form: Local) -> np.ndarray:
    """Places in `_values` of the map's window, by blocks of cells (blocks, T, lanes)."""
    lanes = encoded_at_once(form.kernel.shape[1])
    room = -len(form.window) % lanes
    window = np.pad(form.window + 1, [(0, room), (0, 0)]).astype(np.int32)  # -1 sees place 0
    return np.ascontiguousarray(window.reshape(-1, lanes, window.shape[1]).swapaxes(1, 2))
