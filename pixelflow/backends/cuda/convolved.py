"""Rules that convolve: how their textures lie in shared memory, and their sums in registers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pixelflow.backends.cuda.shapes import (
    MOST_BLOCKS,
    MOST_THREADS,
    OTHER_REGISTERS,
    REGISTERS_OF_ALL,
    WARP,
    Layout,
    is_texture,
    reach,
)
from pixelflow.core.graph import Program
from pixelflow.core.plan import Plan

KINDS = ("convolved", "convolved_tiles")  # whole textures, and tiles of large ones
TILE_ROWS, TILE_CELLS = 16, 700  # at most: small ones load while others compute
FEWEST_OF_TILE = 96  # threads of a tile, below which it takes as long
LOAD = 0.5  # of the time that a cell is computed in, to load one
MOST_SUMS = 32, 64, 80  # of a thread: few leave room for more threads, many fit larger textures
ALL_CHANNELS = 2**32 - 1  # as a bit mask
MOST_CELLS = 20  # of a strip
MOST_BODY = 1000  # multiplications and additions of a loop: with 16 bytes each they fit its cache
MOST_POOLED = 16  # features of a cell of the grid whose totals each thread leaves to the others
FEWEST_THREADS = 128  # of a block
MOST_WINDOW = 80  # registers of a thread for the cells of a row around its strip


@dataclass(frozen=True)
class Group:
    """Convolutions of one shape, which read the same cells.

    Attributes
    ----------
    k, channels : int
        Rows and columns, and how many channels they sum over.
    firsts : tuple of int
        The number of each one's first parameter.
    """

    k: int
    channels: int
    firsts: tuple[int, ...]

    @property
    def padded(self) -> int:
        """How many weights stand side by side: one of each, and some more for whole vectors."""
        sums = len(self.firsts)
        return -(-sums // 4) * 4 if sums > 2 else sums

    @property
    def weights(self) -> int:
        """How many weights there are, padded; rounded up, so that the next begin aligned."""
        return -(-self.k * self.k * self.channels * self.padded // 4) * 4


def groups(program: Program) -> list[Group]:
    """The convolutions of a program by their shape."""
    return [
        Group(k, channels, tuple(program.nodes[i][1] for i in nodes))
        for (k, channels), nodes in program.convolutions.items()
    ]


def line(plan: Plan, width: int, columns: int) -> int:
    """Floats from one row of cells to the next: an odd number of the vectors of a cell."""
    held, seen = len(plan.program.held), reach(plan.program)
    vector = 4 if held % 4 == 0 else 2 if held % 2 == 0 else 1
    vectors = (-(-width // columns) * columns + seen.left + seen.right) * held // vector
    return (vectors | 1) * vector


def convolved(plan: Plan, kind: str, shared_limit: int) -> Layout | None:
    """The fastest layout of a kind; None where memory or registers are too few for it."""
    height, width, _ = plan.shape
    sizes = [(height, width)]
    if kind == "convolved_tiles":
        sizes = [(h, w) for h, w in _tiles(height, width) if -(-height // h) <= MOST_BLOCKS]
    for most in MOST_SUMS:
        found = [p for size in sizes for p in _layouts(plan, kind, size, shared_limit, most)]
        if found:
            return min(found, key=lambda p: _work(plan, p))
    return None


def _tiles(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of tiles: of those with which so many cover a texture, the least."""
    for rows in _shares(height, -(-height // TILE_ROWS)):
        yield from ((rows, columns) for columns in _shares(width, -(-width * rows // TILE_CELLS)))


def _shares(size: int, fewest: int) -> dict[int, None]:
    """What each of so many tiles has of a side: the fewest there may be, up to twice as many."""
    return dict.fromkeys(-(-size // n) for n in range(fewest, 2 * fewest + 1))


def _work(plan: Plan, p: Layout) -> float:
    """What all tiles compute, and load around them, in units of a strip's cell."""
    height, width, _ = plan.shape
    seen, (rows, columns) = reach(plan.program), p.tile
    if p.kind == "convolved":
        return -(-columns // p.columns) * (p.columns + 1)
    loaded = (rows + seen.up + seen.down) * (columns + seen.left + seen.right)
    tiles = -(-height // rows) * -(-width // columns)
    return tiles * (max(p.threads, FEWEST_OF_TILE) * (p.columns + 1) + LOAD * loaded)


def _layouts(
    plan: Plan, kind: str, tile: tuple[int, int], shared_limit: int, most: int
) -> Iterator[Layout]:
    """Layouts whose threads have up to so many sums."""
    height, width = tile
    seen = reach(plan.program)
    rows = height + (1 if kind == "convolved" else seen.up + seen.down)
    sums = sum(len(group.firsts) for group in groups(plan.program))
    weights = sum(group.weights for group in groups(plan.program))
    for columns in range(1, min(MOST_CELLS, width, most // sums) + 1):
        texture = rows * line(plan, width, columns)
        strips = height * -(-width // columns)
        most_slots = FEWEST_THREADS // strips if kind == "convolved" else 1
        slots = max(1, min(most_slots, (shared_limit // 8 - weights) // texture))
        threads = -(-slots * strips // WARP) * WARP
        totals = threads * pooled_values(plan, kind, columns)
        shared = 4 * (weights + slots * texture + totals)
        if shared > shared_limit or threads > MOST_THREADS:
            continue
        if threads * registers(plan.program, columns) <= REGISTERS_OF_ALL:
            yield Layout(kind, 1, columns, tile, slots, threads, shared)


def pooled_values(plan: Plan, kind: str, columns: int) -> int:
    """How many features a cell of the grid has where strips are pooled; 0 where they can't be."""
    height, width, channels = plan.shape
    probe, pool = plan.probe, plan.probe.pool
    if not pool or kind != "convolved" or height % pool or width % (pool * columns):
        return 0
    read = range(channels) if probe.channels is None else probe.channels
    values = len(read) * (1 + probe.rectify)
    return values if values <= MOST_POOLED and set(read) <= set(plan.program.held) else 0


def registers(program: Program, columns: int) -> int:
    """About how many registers a thread needs."""
    widest = max((columns + g.k - 1) * g.channels for g in groups(program))
    sums = sum(len(group.firsts) for group in groups(program))
    return sums * columns + min(widest, MOST_WINDOW) + OTHER_REGISTERS


def constants(plan: Plan, chosen: Layout, value: type) -> dict[str, int]:
    """What the template asks of a plan in this layout, beside what all ask."""
    program, held = plan.program, len(plan.program.held)
    read = range(plan.shape[2]) if plan.probe.channels is None else plan.probe.channels
    found = groups(program)
    float4_in = is_texture(plan) and value == np.float32 and held == plan.shape[2] == 4
    blocks = REGISTERS_OF_ALL // registers(program, chosen.columns) // chosen.threads
    return {
        "TILES": int(chosen.kind == "convolved_tiles"),
        "LINE": line(plan, chosen.tile[1], chosen.columns),
        "WEIGHTS": sum(group.weights for group in found),
        "CONVOLVED": sum(len(group.firsts) for group in found),
        "WINDOW": MOST_WINDOW,
        "BODY": MOST_BODY,
        "ALL_WRITTEN": int(len(program.outputs) == held),
        "FLOAT4_IN": int(float4_in),
        "SPARSE": int(any(encoded_channels(plan, group) != ALL_CHANNELS for group in found)),
        "READ_HELD": int(set(read) <= set(program.held)),
        "TOTALS": pooled_values(plan, chosen.kind, chosen.columns),
        "BLOCKS": max(1, blocks),
    }


def encoded_channels(plan: Plan, group: Group) -> int:
    """The channels that a group reads in the first step, as bits.

    The others are 0 as the encoder leaves them. Their products are too, and what adding one of them
    could do to a sum's bits, to turn -0 into +0, it does where a weight is positive.
    """
    others = [c for c in range(group.channels) if c not in plan.encoder.encoded_channels]
    if not others or group.channels > 32:
        return ALL_CHANNELS
    for first in group.firsts:
        taps = plan.params[:, first : first + group.k**2 * group.channels]
        left_out = taps.reshape(plan.members, group.k**2, group.channels)[..., others]
        if not np.isfinite(left_out).all() or np.signbit(left_out).all(axis=(1, 2)).any():
            return ALL_CHANNELS
    return sum(1 << c for c in range(group.channels) if c not in others)


def convolutions(plan: Plan) -> str:
    """What loads the weights into shared memory, and what computes all sums."""
    load, sums, place, first = [], [], 0, 0
    for group in groups(plan.program):
        shape = f"{group.k}, {group.channels}, {len(group.firsts)}, {first}"
        channels = f"BEFORE_STEPS ? {encoded_channels(plan, group)}u : {ALL_CHANNELS}u"
        sums.append(f"    convolve<{shape}, {channels}>(texture, y, x, weights + {place}, sums);")
        taps = group.k * group.k * group.channels
        load.append(f"    for (int n = threadIdx.x; n < {taps}; n += THREADS) {{")
        load += [
            f"        weights[{place + o} + n * {group.padded}] = __ldg(item.params + {start} + n);"
            for o, start in enumerate(group.firsts)
        ]
        load.append("    }")
        place, first = place + group.weights, first + len(group.firsts)
    head = "__device__ __forceinline__ void"
    arguments = "const float* texture, int y, int x, const float* weights"
    return "\n".join(
        [
            f"{head} load_weights(const Item& item, float* weights) {{",
            *load,
            "}",
            "template <bool BEFORE_STEPS>",
            f"{head} convolve_all({arguments}, float (&sums)[CONVOLVED][P]) {{",
            *sums,
            "}",
        ]
    )


def numbered(program: Program) -> dict[int, int]:
    """Which sum each convolution is, by its node: group after group."""
    nodes = [i for group in program.convolutions.values() for i in group]
    return {node: n for n, node in enumerate(nodes)}
