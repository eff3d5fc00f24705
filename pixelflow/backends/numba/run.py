"""Runs a plan with Numba: rule and probe, and a local map before them, parallel over textures.

What other encoders make of inputs comes from NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pixelflow.backends.compose import Composed, drive_of
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
from pixelflow.core.forms import LIMITS, Local
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe, pool_ranges

BLOCKS = 8  # for each thread, so that none waits long for another at the end
BLOCK_VALUES = 2**16  # of a block whose textures take different times
CHUNK_BYTES = 8 * 2**20  # of what is given to compiled code at once, whatever there is

NO_WINDOW = np.empty((0, 0, 0), np.int32)
NO_KERNELS = np.empty((0, 0, 0), np.float32)


def describe(device: int | None = None) -> str:
    """What it runs on; ImportError if Numba is missing."""
    no_device("numba", device)
    try:
        import numba
    except ImportError as error:
        raise ImportError(f"backend 'numba' needs Numba ({error}): pip install numba") from error
    return f"Numba {numba.__version__} on {n_threads()} threads"


class Numba(Composed):
    """A plan on Numba, with all that samples share of the arguments of compiled code."""

    def __init__(self, plan: Plan, exact: bool, device: int | None) -> None:
        super().__init__(plan, exact, device)
        self._compiled = compiled(source(plan.program, plan.shape[2], exact, plan.dtype.name))
        self._fixed: Fixed = plan.keep("numba", lambda: _fixed(plan))

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        """Textures are read where they evolve, and are not kept."""
        plan, fixed = self.plan, self._fixed
        index = plan.keep("numba index", lambda: _index(plan))
        local = plan.keep("numba local", lambda: _local(plan))
        for rows, given in _given(plan, X):
            part = out[rows]
            textures, features = _places(plan, part, (len(part), plan.members))
            run = partial(
                self._compiled.run, given, local, *index, *fixed.rule, fixed.times, fixed.probe,
                textures, features,
            )  # fmt: skip
            each = part.reshape(len(part) * plan.members, -1)
            in_blocks(run, each, _block(plan, len(part)))

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        nothing = np.empty((len(states), 0, 1), self.plan.dtype)
        self._advance(states, nothing, ended, None, first, steps, self._fixed.no_drive)

    def run_sequence(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
    ) -> None:
        plan = self.plan
        drive = plan.keep("numba drive", lambda: _drive(plan))
        self._advance(states, inputs, ended, out, first, plan.steps, drive)

    def _advance(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
        steps: int,
        drive: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Take steps after each input; without inputs, steps alone."""
        plan, fixed = self.plan, self._fixed
        times = fixed.times if out is not None else fixed.times[:0]  # none: nothing is read
        textures, features = _places(plan, out, (*inputs.shape[:2], plan.members))
        run = partial(
            self._compiled.advance, states, inputs, drive, *fixed.rule, first, steps, times,
            fixed.probe, textures, features, ended,
        )  # fmt: skip
        each = ended.reshape(len(ended) * plan.members, plan.texture_size)
        in_blocks(run, each, _block(plan, len(states)))

    def converge(
        self, states: np.ndarray, ended: np.ndarray, tol: float, every: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = np.zeros(states.shape[:2], np.int64)
        changes = np.zeros(states.shape[:2])
        run = partial(
            self._compiled.converge, states, *self._fixed.rule, tol, every, most, ended, counts,
            changes,
        )  # fmt: skip
        # Small blocks, because textures take different times.
        few = max(1, BLOCK_VALUES // self.plan.texture_size)
        block = min(few, _block(self.plan, len(states)))
        in_blocks(run, ended.reshape(counts.size, self.plan.texture_size), block)
        return counts, changes


def prepare(plan: Plan, exact: bool, device: int | None) -> Numba:
    """See `Backend.prepare`."""
    return Numba(plan, exact, device)


class Fixed(NamedTuple):
    """What all samples of a plan share, as compiled code takes it."""

    rule: tuple[Any, ...]  # parameters, media, cells' numbers, keys, rows and columns beyond edges
    times: np.ndarray
    probe: tuple[Any, ...]
    no_drive: tuple[np.ndarray, np.ndarray, np.ndarray]


def _places(
    plan: Plan, out: np.ndarray | None, leading: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Where compiled code stores textures, or features, by leading axes: one of the two is empty.

    Both are where there is no `out`.
    """
    textures = np.empty((0,) * (len(leading) + 4), plan.dtype)
    features = np.empty((0,) * (len(leading) + 5), plan.dtype)
    if out is None:
        return textures, features
    if plan.probe == Probe():
        return out.reshape(*leading, 1, *plan.shape), features
    return textures, out.reshape(*leading, *plan.probe.shape(plan.steps, *plan.shape))


def _block(plan: Plan, n: int) -> int:
    """How many textures of n samples a block has; all of a thread's where samples are few.

    For each block gathers the windows of its first sample anew.
    """
    threads = n_threads()
    blocks = max(1, threads * min(BLOCKS, -(-n // threads)))
    return max(1, -(-n * plan.members // blocks))


def _fixed(plan: Plan) -> Fixed:
    height, width, _ = plan.shape
    radius = plan.program.radius
    rule = (
        plan.params,
        padded(plan.media, radius),
        cell_numbers(height, width, radius),
        plan.keys,
        halo_sources(height, radius, plan.boundary),
        halo_sources(width, radius, plan.boundary),
    )
    nothing = np.empty((plan.members, 0, 0, 0, 0))
    no_drive = (np.empty(0, np.int64), nothing.astype(np.int32), nothing.astype(plan.dtype))
    return Fixed(rule, np.array(plan.times), _probe(plan), no_drive)


def _index(plan: Plan) -> tuple[Any, Any]:
    """Which latent value each channel's cells get, and which channels get any."""
    index = np.ascontiguousarray(np.moveaxis(plan.encoder.index, -1, 0))
    return index, (index >= 0).any(axis=(1, 2))


def _drive(plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drive = drive_of(plan)
    return np.array(drive.channels, np.int64), drive.columns, drive.weights


def _probe(plan: Plan) -> tuple[Any, ...]:
    """The probe as numbers and arrays, as `probe.read` takes it."""
    height, width, channels = plan.shape
    probe = plan.probe
    return (
        np.arange(channels) if probe.channels is None else np.array(probe.channels),
        pool_ranges(height, probe.pool or height),
        pool_ranges(width, probe.pool or width),
        plan.dtype.type(probe.level if probe.rectify else 0),
        plan.dtype.type(0 if probe.rectify else -np.inf),
        probe.pool_op == "mean",
    )


def _given(plan: Plan, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of the samples with their latent values, or with what a local map makes them of."""
    form, give = plan.encoder.form, plan.encoder.latents
    size = plan.members * form.length if form is not None else X[:1].size
    if _fused(plan):
        size, give = X[:1].size, _values
    count = max(1, CHUNK_BYTES // max(1, size * plan.dtype.itemsize))
    for start in range(0, len(X), count):
        rows = slice(start, start + count)
        yield rows, give(X[rows])


def _fused(plan: Plan) -> bool:
    """Whether compiled code makes the latent values itself: threads of BLAS would be in its way."""
    form = plan.encoder.form
    return isinstance(form, Local) and form.squash in LIMITS and plan.dtype == np.float32


def _values(X: np.ndarray) -> np.ndarray:
    """Inputs as float32, and a 0 before each: (n, 1, 1 + D_in)."""
    values = np.zeros((len(X), 1, X.shape[1] + 1), np.float32)
    np.multiply(X, PIXEL if X.dtype == np.uint8 else np.float32(1), out=values[:, 0, 1:])
    return values


def _local(plan: Plan) -> tuple[Any, ...]:
    """A local map's window, contrast, kernels, biases and squash; without it, no kernels."""
    form: Any = plan.encoder.form
    if not _fused(plan):
        kernels, zero = NO_KERNELS.astype(plan.dtype), plan.dtype.type(0)
        return NO_WINDOW, zero, kernels, np.empty((0, 0), plan.dtype), zero, zero, False
    low, high = map(np.float32, LIMITS[form.squash])
    contrast, root = np.float32(form.contrast), form.squash == "root"
    return _blocks(form), contrast, form.kernel, form.bias, low, high, root


def _blocks(form: Local) -> np.ndarray:
    """Places in `_values` of the map's window, by blocks of cells (blocks, T, lanes)."""
    lanes = encoded_at_once(form.kernel.shape[1])
    room = -len(form.window) % lanes
    window = np.pad(form.window + 1, [(0, room), (0, 0)]).astype(np.int32)  # -1 sees place 0
    return np.ascontiguousarray(window.reshape(-1, lanes, window.shape[1]).swapaxes(1, 2))
