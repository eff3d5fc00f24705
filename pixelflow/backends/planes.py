"""The channels of NumPy's textures as padded planes."""

from __future__ import annotations

import numpy as np

from pixelflow.backends.layout import halo_sources
from pixelflow.core.plan import Plan


class Texture:
    """The channels of a block of samples as padded planes, each channel contiguous."""

    def __init__(self, plan: Plan, n: int) -> None:
        height, width, channels = plan.shape
        radius = self.radius = plan.program.radius
        self.pitch, self.size = width + 2 * radius, (height + 2 * radius) * (width + 2 * radius)
        self.margin = radius * self.pitch + radius  # so that a shifted view stays inside
        self.flat = np.zeros((channels, 2 * self.margin + n * self.size), plan.dtype)
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
