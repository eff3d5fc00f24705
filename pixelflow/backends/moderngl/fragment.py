"""How fragment shaders spread textures over texels: textures are tiles of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pixelflow.backends.moderngl import convolution
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.leaves import params_used
from pixelflow.core.plan import Plan

MOST_UNIFORMS = 64  # parameters; every device takes some hundreds


@dataclass(frozen=True)
class Shaders:
    """What a plan's shaders work on, for latents of one form on a device of one version.

    Of the device they need to know the largest texture and the largest block of uniforms, too.
    A fragment computes `lanes` samples: with four, an atlas holds one of the touched channels of
    all four, so that what is fetched from beside a cell is all used. A tile is the same member of
    its samples; tiles lie sample by sample, members inside, in rows of ``1 << tile_bits`` tiles.
    """

    plan: Plan
    exact: bool
    version: int
    largest: int
    uniform_bytes: int
    lanes: int
    latents: Latents

    @cached_property
    def channels(self) -> tuple[int, ...]:
        return self.plan.program.held

    @property
    def layers(self) -> int:
        """Atlases that hold the channels."""
        return -(-len(self.channels) * self.lanes // 4)

    @cached_property
    def precise(self) -> bool:
        return self.exact and self.version >= 400

    @property
    def block(self) -> int:
        """Features of a member's snapshot."""
        return self.plan.feature_dim // (self.plan.members * len(self.plan.times))

    @cached_property
    def feature_rows(self) -> tuple[int, int]:
        """Rows and columns of texels that hold a member's snapshot, four features in each."""
        return self._rows_of(self.block)

    @property
    def row_block(self) -> int:
        """Values of a member's snapshot that is pooled along its rows alone."""
        grid = self.plan.probe.pool or 1
        return self.block // grid * self.plan.shape[0]

    @cached_property
    def row_rows(self) -> tuple[int, int]:
        """Rows and columns of texels that hold those."""
        return self._rows_of(self.row_block)

    @property
    def most_rows(self) -> int:
        """Rows of texels of a member's snapshot, in the larger of the textures with them."""
        return max(self.feature_rows[0], self.row_rows[0] if self.plan.probe.pool else 0)

    @property
    def most_tiles(self) -> int:
        """How many tiles the largest atlas has, in rows of a power of two."""
        height, width, _ = self.plan.shape
        columns = self.largest // width
        return ((1 << columns.bit_length()) >> 1) * (self.largest // height)

    def _rows_of(self, numbers: int) -> tuple[int, int]:
        texels = -(-numbers // 4)
        rows = -(-texels // self.largest)
        while texels % rows and rows < 64:  # no padding, where that is easily had
            rows += 1
        return rows, -(-texels // rows)

    @property
    def weights_as_uniforms(self) -> bool:
        """Whether weights are a block of uniforms, which is read faster, and not a table."""
        texels = self.plan.members * convolution.n_texels(self.plan.program)
        return 0 < 16 * texels <= self.uniform_bytes

    @property
    def as_uniforms(self) -> bool:
        """Whether parameters are uniforms and not a table."""
        few = len(params_used(self.plan.program)) <= MOST_UNIFORMS
        return self.plan.members == 1 and few

    def texel(self, channel: int, lane: int) -> tuple[int, str]:
        """Which atlas holds a touched channel of a sample, and which component of a texel."""
        slot = self.channels.index(channel) * self.lanes + lane
        return slot // 4, "xyzw"[slot % 4]
