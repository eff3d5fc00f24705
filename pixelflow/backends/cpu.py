"""NumPy, the reference: a rule's graph as ufuncs with preallocated results, block by block."""

from __future__ import annotations

from functools import partial

import numpy as np

from pixelflow.backends import compose
from pixelflow.backends.layout import halo_sources, in_blocks, n_threads, no_device
from pixelflow.backends.ufuncs import instructions, static_values
from pixelflow.core.plan import Plan

PLANE_BYTES = 2**20  # of one channel of a block: small for the cache, large for the interpreter


def describe(device: int | None = None) -> str:
    """What it runs on; NumPy is always there."""
    no_device("cpu", device)
    return f"NumPy {np.__version__} on {n_threads()} threads"


def trajectories(plan: Plan, latents: np.ndarray, out: np.ndarray, exact: bool) -> None:
    """See `compose.Trajectories`; always exact."""
    height, width, _ = plan.shape
    plane = (height + 2 * plan.program.radius) * (width + 2 * plan.program.radius)
    block = max(1, PLANE_BYTES // (plane * np.float32().itemsize))

    def work(start: int, stop: int) -> None:
        for m in range(plan.members):
            seen = latents[start:stop, min(m, latents.shape[1] - 1)]
            _run(plan, m, seen, out[start:stop, m])

    in_blocks(work, out, block)


features = partial(compose.features, trajectories)
batches = partial(compose.batches, features)


def _run(plan: Plan, member: int, latents: np.ndarray, out: np.ndarray) -> None:
    """One block of samples through all steps."""
    with np.errstate(all="ignore"):  # cells between rows hold nothing that matters
        now, after = Texture(plan, len(latents)), Texture(plan, len(latents))
        _load(plan, latents, now, after)
        static = static_values(plan, member)
        step = np.zeros((), np.uint32)
        forth = list(instructions(plan, static, step, now, after))
        back = list(instructions(plan, static, step, after, now))
        for done in range(plan.times[-1] + 1):
            if done in plan.times:
                out[:, plan.times.index(done)] = np.moveaxis(now.inside, 0, -1)
            if done == plan.times[-1]:
                return
            step[...] = done
            now.refresh_halo()
            for function, operands in forth:
                function(*operands)
            now, after, forth, back = after, now, back, forth


class Texture:
    """The channels of a block of samples as padded planes, each channel contiguous."""

    def __init__(self, plan: Plan, n: int) -> None:
        height, width, channels = plan.shape
        radius = self.radius = plan.program.radius
        self.pitch, self.size = width + 2 * radius, (height + 2 * radius) * (width + 2 * radius)
        self.margin = radius * self.pitch + radius  # so that a shifted view stays inside
        self.flat = np.zeros((channels, 2 * self.margin + n * self.size), np.float32)
        padded_shape = (channels, n, height + 2 * radius, self.pitch)
        middle = self.flat[:, self.margin : self.margin + n * self.size]
        self.planes = middle.reshape(padded_shape)
        self.inside = self.planes[:, :, radius : radius + height, radius : radius + width]
        self.rows = halo_sources(height, radius, plan.boundary)
        self.cols = halo_sources(width, radius, plan.boundary)
        self.with_halo = plan.program.neighboured

    def view(self, dy: int, dx: int, channel: int) -> np.ndarray:
        """All cells of a channel, moved: element (i, k) is the neighbour of cell k of sample i."""
        n = self.planes.shape[1]
        start = self.margin + dy * self.pitch + dx
        return self.flat[channel, start : start + n * self.size].reshape(n, self.size)

    def refresh_halo(self) -> None:
        """Fill the cells beyond the edge of every channel whose neighbours are read."""
        radius = self.radius
        for channel in self.with_halo:
            planes, inside = self.planes[channel], self.inside[channel]
            for j, source in enumerate(self.cols):
                to = j if j < radius else inside.shape[2] + j
                planes[:, radius:-radius, to] = inside[:, :, source] if source >= 0 else 0
            for j, source in enumerate(self.rows):
                to = j if j < radius else inside.shape[1] + j
                planes[:, to] = planes[:, radius + source] if source >= 0 else 0


def _load(plan: Plan, latents: np.ndarray, now: Texture, after: Texture) -> None:
    """Spread the latent values over the texture; what no rule writes stands in both."""
    written = dict(plan.program.outputs)
    sources = np.pad(latents, ((0, 0), (0, 1)))  # index -1 takes the zero at the end
    for channel in range(plan.shape[2]):
        index = plan.encoder.index[..., channel]
        if (index >= 0).any():
            now.inside[channel] = sources[:, index]
            if channel not in written:
                after.inside[channel] = now.inside[channel]
