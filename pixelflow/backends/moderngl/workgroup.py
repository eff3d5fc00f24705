"""How a workgroup of a compute shader spreads one texture over its invocations and their memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pixelflow.backends.moderngl import convolution
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.leaves import params_used
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

INVOCATIONS = 256  # of a workgroup, where that gives each few enough rows
MOST_ROWS = 8  # of a strip: more don't fit into registers
MOST_NODES = 2000  # of all rows of a strip: what a compiler takes in well under two seconds
MOST_PARAMS = 32  # kept in registers


@dataclass(frozen=True)
class Workgroup:
    """How a texture is spread over invocations: each has a strip, some rows of one column.

    A strip's own cells stay in registers; what other invocations read lies in shared memory, in
    two buffers by turns, or where only one fits, with a second barrier.

    Attributes
    ----------
    plan : Plan
    exact : bool
        Whether the results are those of NumPy, to the bit.
    latents : Latents
    shared_bytes : int
        How much memory the invocations of a workgroup share on the device.
    most_invocations : int
        How many invocations a workgroup has at most on the device.
    """

    plan: Plan
    exact: bool
    latents: Latents
    shared_bytes: int
    most_invocations: int

    @property
    def cells(self) -> int:
        return self.plan.shape[0] * self.plan.shape[1]

    @cached_property
    def rows(self) -> int:
        """Rows of a strip; 0 where a texture has too many strips for a workgroup."""
        height, width, _ = self.plan.shape
        nodes = len(self.plan.program.nodes) + convolution.statements(self.plan.program)
        possible = [
            k
            for k in range(1, MOST_ROWS + 1)
            if height % k == 0
            and height // k * width <= self.most_invocations
            and k * nodes <= MOST_NODES
        ]
        few = [k for k in possible if height // k * width <= INVOCATIONS]
        return min(few, default=max(possible, default=0))

    @property
    def strips(self) -> int:
        return self.cells // self.rows

    @property
    def size(self) -> int:
        """Invocations: one for each strip, in whole warps."""
        return -(-self.strips // 32) * 32

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """The channels in registers."""
        return self.plan.program.held

    @cached_property
    def planes(self) -> tuple[int, ...]:
        """The channels in shared memory."""
        return self.plan.program.neighboured

    @cached_property
    def buffers(self) -> int:
        """How often they are held: 0 where they don't fit once."""
        return next((n for n in (2, 1) if 4 * self._numbers(n) <= self.shared_bytes), 0)

    @property
    def shared_numbers(self) -> int:
        """Numbers in shared memory."""
        return self._numbers(self.buffers)

    def _numbers(self, buffers: int) -> int:
        """So many with that many buffers: at the end a plane for pooling, where none is free."""
        spare = bool(self.plan.probe.pool) and (buffers == 1 or not self.planes)
        return max(1, (buffers * len(self.planes) + spare) * self.cells)

    @property
    def fits(self) -> bool:
        return self.rows > 0 and self.buffers > 0

    @property
    def params_in_registers(self) -> bool:
        """Whether each invocation looks up the rule's parameters once, before the first step."""
        return len(params_used(self.plan.program)) <= MOST_PARAMS

    @property
    def block(self) -> int:
        """Features of a member's snapshot."""
        return self.plan.feature_dim // (self.plan.members * len(self.plan.times))

    @property
    def whole_texels(self) -> bool:
        """Whether features are stored four at once."""
        return self.plan.probe == Probe() and self.plan.shape[2] == 4

    @cached_property
    def images(self) -> tuple[tuple[int, int], ...]:
        """Channel and sign of each image that the probe reads, in order."""
        probe = self.plan.probe
        read = range(self.plan.shape[2]) if probe.channels is None else probe.channels
        return tuple((channel, sign) for channel in read for sign in range(1 + probe.rectify))

    @property
    def passes(self) -> int:
        """How many passes an invocation makes at most, of all loops."""
        step = 1 + convolution.passes(self.plan.program)
        return self.plan.times[-1] * step + 2 + len(self.plan.times) * self._pool_passes

    @property
    def _pool_passes(self) -> int:
        """How many of them pool one snapshot."""
        grid, (height, width, _) = self.plan.probe.pool, self.plan.shape
        if not grid:
            return 0
        rows, columns = (-(-length // grid) + 1 for length in (height, width))
        cells = -(-grid * grid // self.size)
        return len(self.images) * (cells * (rows * (columns + 2) + 2) + 1)
