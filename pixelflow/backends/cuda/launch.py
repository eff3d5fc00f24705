"""A plan on one GPU: its data there, its compiled kernels, and their launches."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import compiled, on, shared_limit, the_cupy
from pixelflow.backends.cuda.layouts import layout
from pixelflow.backends.cuda.local import Products
from pixelflow.backends.cuda.patches import stride, tiling
from pixelflow.backends.cuda.rest import rest_layout
from pixelflow.backends.cuda.shapes import MOST_BLOCKS, Layout
from pixelflow.backends.cuda.source import source
from pixelflow.core.encoders import Encoder
from pixelflow.core.forms import Local
from pixelflow.core.plan import Plan

WIDE = 256  # threads of a block of the kernels for large textures
ADVANCE = {  # the kernel that advances large textures
    "cells": "advance_plain",
    "convolved_tiles": "advance_convolved",
    "tiles": "advance",
}
FUSED = ("registers", "shared", "convolved", "rest")  # layouts that take one launch
LATENT_BYTES = 2**30  # of what a form makes at once
PLANES_BYTES = 2**31  # of large textures held at once
MOST_SNAPSHOTS_KEPT = 1024  # lists of times that stay on the GPU
EXACT, FAST = ("-fmad=false",), ("-use_fast_math",)


def loaded(plan: Plan, dtype: np.dtype, exact: bool, device: int | None) -> Loaded:
    """The plan on that GPU, for inputs of a type; kept as long as the plan."""
    if plan.encoder.form is not None:
        dtype = np.dtype(np.float32)
    device = device or 0
    key = ("cuda", dtype.str, exact, device)

    def load() -> Loaded:
        return Loaded(plan, layout(plan, shared_limit(device)), dtype, exact, device)

    return plan.keep(key, load)


def resting(plan: Plan, exact: bool, device: int | None) -> Loaded | None:
    """The plan of textures on that GPU, to take them to rest in one launch, if they fit a block."""
    device = device or 0
    chosen, dtype = rest_layout(plan, shared_limit(device)), np.dtype(np.float32)
    if chosen is None:
        return None
    key = ("cuda rest", exact, device)
    return plan.keep(key, lambda: Loaded(plan, chosen, dtype, exact, device))


class Loaded:
    """A plan's arrays on a GPU and its kernels."""

    def __init__(
        self, plan: Plan, chosen: Layout, dtype: np.dtype, exact: bool, device: int | None
    ) -> None:
        self.layout = chosen
        if self.layout.kind not in FUSED and plan.members > MOST_BLOCKS:
            raise RuntimeError(
                f"backend 'cuda' runs up to {MOST_BLOCKS} members of textures this large, not "
                f"{plan.members}: split them over several reservoirs"
            )
        text = source(plan, self.layout, dtype.type, exact)
        self.module = compiled(text, EXACT if exact else FAST, device)
        self.shape, self.times, self.members = plan.shape, plan.times, plan.members
        self.threshold = np.float32(plan.probe.level)
        self.held = len(plan.program.held)
        self.stride = stride(self.layout, plan.shape[1])
        self.radius = plan.program.radius
        self._uploading = threading.Lock()
        encoded = plan.encoder.index[..., list(plan.encoder.encoded_channels)]
        with on(device) as cupy:
            index = np.ascontiguousarray(np.moveaxis(encoded, -1, 0))
            arrays = (index, plan.params, plan.media, plan.keys)
            self.fixed = tuple(cupy.asarray(np.ascontiguousarray(a)) for a in arrays)
            self._snapshots = {plan.times: cupy.asarray(np.array(plan.times, np.int32))}
            self.latents = _Latents(plan.encoder, self.members, device)
            self.drive = () if plan.drive is None else (
                cupy.asarray(plan.drive.columns), cupy.asarray(plan.drive.weights)
            )  # fmt: skip
            cupy.cuda.get_current_stream().synchronize()  # others' streams don't wait for it

    def run(self, X: Any, out: Any, times: tuple[int, ...] | None = None, first: int = 0) -> None:
        """Enqueue the features (n, D) of inputs (n, D_in) or (n, M, D_in), all on the GPU.

        They are read after other `times` than the plan's, as many, where these are given.
        """
        n, times = len(X), self.times if times is None else times
        parts = -(-n // self.most(n))
        for part in range(parts):
            some = slice(part * n // parts, (part + 1) * n // parts)
            inputs = (*self.latents(X[some]), *self.fixed, np.uint32(first))
            if self.layout.kind in FUSED:
                self._fused(inputs, out[some], times)
            else:
                self._step_by_step(inputs, out[some], times)

    def most(self, n: int) -> int:
        """How many of n inputs at once memory and a grid hold."""
        most = max(n, 1)
        if self.latents.size:
            most = min(most, LATENT_BYTES // (4 * self.latents.size))
        if self.layout.kind not in FUSED:
            planes = 2 * self.members * self.held * self.shape[0] * self.stride * 4
            most = min(most, MOST_BLOCKS // self.members, PLANES_BYTES // planes)
        return max(1, most)

    def run_driven(self, states: Any, u: Any, out: Any, ended: Any, first: int, steps: int) -> None:
        """Enqueue features of textures that inputs u (n, T, K) drive, and the last textures.

        All are on the GPU; features are (n, M, T, D / M), textures (n, M, H, W, C).
        """
        n, length, _ = u.shape
        textures = states.reshape(n, self.members, -1)
        inputs = (*self.latents(textures), *self.fixed, np.uint32(first))
        sequence = (u, np.int32(length), np.int32(steps), *self.drive, ended)
        if self.layout.kind in FUSED:
            self._fused(inputs, out, self.times, sequence)
        else:
            self._driven_step_by_step(inputs, out, length, steps, sequence)

    def rest(
        self, states: Any, ended: Any, counts: Any, changes: Any, every: int, most: int, tol: float
    ) -> None:
        """Enqueue the steps of textures that have not come to rest, up to number `most`.

        `counts` and `changes` (n, M) are where each stands, and will be; `ended` may be `states`.
        """
        inputs = (*self.latents(states.reshape(len(states), self.members, -1)), *self.fixed)
        numbers = (np.uint32(every), np.uint32(most), np.float64(tol))
        grid = (len(states) * self.members,)
        self._launch("rest", grid, (*inputs, np.uint32(0), ended, counts, changes, *numbers))

    def _fused(self, inputs: tuple, out: Any, times: tuple[int, ...], sequence: tuple = ()) -> None:
        items = len(out) * self.members
        grid = (-(-items // self.layout.slots),)
        if self.layout.kind == "convolved":  # a block has one member's textures
            items = len(out)
            grid = (-(-items // self.layout.slots) * self.members,)
        more = (self._at(times), np.int32(len(times)), self.threshold, out, items, *sequence)
        self._launch(f"fused_{self.layout.kind}", grid, (*inputs, *more))

    def _at(self, times: tuple[int, ...]) -> Any:
        """The times of snapshots on the GPU, there before any stream asks for them."""
        with self._uploading:
            if times not in self._snapshots:
                cupy = the_cupy()
                if len(self._snapshots) >= MOST_SNAPSHOTS_KEPT:
                    cupy.cuda.runtime.deviceSynchronize()  # a kernel may still read them
                    self._snapshots.clear()
                self._snapshots[times] = cupy.asarray(np.array(times, np.int32))
                cupy.cuda.get_current_stream().synchronize()
            return self._snapshots[times]

    def _launch(self, name: str, grid: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        kernel, memory = self.module.get_function(name), self.layout.shared_bytes
        if memory > 48 * 1024:
            kernel.max_dynamic_shared_size_bytes = memory
        kernel(grid, (self.layout.threads,), arguments, shared_mem=memory)

    def _step_by_step(self, inputs: tuple, out: Any, times: tuple[int, ...]) -> None:
        """Large textures."""
        height, width, _ = self.shape
        items = len(out) * self.members
        room = (2, items, self.held, height, self.stride)
        now, after = the_cupy().empty(room, np.float32)
        grid = (-(-height * width // WIDE), items)
        self.module.get_function("encode")(grid, (WIDE,), (*inputs, now))
        done = 0
        for snapshot, until in enumerate(times):
            while done < until:
                steps = self._advance(inputs, now, after, done, until - done)
                now, after, done = after, now, done + steps
            arguments = (now, np.int32(snapshot), np.int32(len(times)), self.threshold, out)
            blocks = min(grid[0], 1024)
            self.module.get_function("probe")((blocks, items), (WIDE,), (*inputs, *arguments))

    def _driven_step_by_step(
        self, inputs: tuple, out: Any, length: int, steps: int, sequence: tuple
    ) -> None:
        """Large textures: a launch for each input, and some for its steps."""
        height, width, _ = self.shape
        items = len(out) * self.members
        room = (2, items, self.held, height, self.stride)
        now, after = the_cupy().empty(room, np.float32)
        grid = (-(-height * width // WIDE), items)
        self.module.get_function("encode")(grid, (WIDE,), (*inputs, now))
        snapshots = np.int32(len(self.times) * length)
        for t in range(length):
            given = (*inputs, now, after, np.int32(t), *sequence)
            self.module.get_function("drive")(grid, (WIDE,), given)
            now, after, done = after, now, 0
            for s, until in enumerate((*self.times, steps)):
                while done < until:
                    taken = self._advance(inputs, now, after, t * steps + done, until - done)
                    now, after, done = after, now, done + taken
                if s < len(self.times):
                    place = np.int32(t * len(self.times) + s)
                    given = (*inputs, now, place, snapshots, self.threshold, out)
                    blocks = min(grid[0], 1024)
                    self.module.get_function("probe")((blocks, items), (WIDE,), given)
        given = (*inputs, now, np.int32(length), *sequence)
        self.module.get_function("leave_planes")(grid, (WIDE,), given)

    def _advance(self, inputs: tuple, now: Any, after: Any, done: int, most: int) -> int:
        """One launch; how many steps it took."""
        items, (height, width, _) = len(now), self.shape
        planes = (*inputs, now, after, np.uint32(done))
        chosen, name, steps = self.layout, ADVANCE[self.layout.kind], 1
        if chosen.kind == "cells":
            band = chosen.rows * chosen.row_stride
            strips = -(-height // band) * chosen.row_stride * width
            grid = [-(-strips // WIDE)]
        elif chosen.kind == "convolved_tiles":
            grid = [-(-width // chosen.tile[1]), -(-height // chosen.tile[0])]
        else:
            steps = min(most, chosen.steps)
            margins, (down, across) = tiling(chosen, self.shape, self.radius, steps)
            grid = [across, down]
            planes = (*planes, np.uint32(steps), *map(np.int32, margins))
        self._launch(name, (*grid, items), planes)
        return steps


class _Latents:
    """Latent values of inputs, and their strides from one sample, member and plane to the next."""

    def __init__(self, encoder: Encoder, members: int, device: int | None) -> None:
        self._form: Any = None  # without one the inputs are the latent values
        self.size = 0  # how many values an input makes
        form = encoder.form
        if isinstance(form, Local):
            self._form = Products.of(form, device)
            self.size = self._form.size
        elif form is not None:
            self._form = replace(encoder, form=form.moved(the_cupy().asarray)).latents
            self.size = members * form.length

    def __call__(self, X: Any) -> tuple[Any, int, int, int]:
        values = X if self._form is None else self._form(X)
        if isinstance(self._form, Products):
            _, channels, n, cells = values.shape
            return values, cells, channels * n * cells, n * cells
        shared = values.ndim == 2 or values.shape[1] == 1
        return values, values.size // len(values), 0 if shared else values.shape[2], 0
