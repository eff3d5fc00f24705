"""How a texture is spread over the threads of a GPU: the fastest way that it fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf, prod

from pixelflow.backends.cuda.convolved import KINDS as CONVOLVED
from pixelflow.backends.cuda.convolved import convolved
from pixelflow.backends.cuda.patches import (
    MOST_PATCH,
    MOST_WRITTEN,
    STALE,
    TILE,
    VECTOR,
    registers_of,
    tiles,
    tiling,
    whole_textures,
)
from pixelflow.backends.cuda.shapes import (
    OTHER_REGISTERS,
    REGISTERS_OF_ALL,
    WARP,
    Layout,
    operations,
    reach,
)
from pixelflow.core.plan import Plan

STRIP = 4  # cells of a strip of a column
MOST_STRIPS = 512  # threads of a block that has strips
MOST_HELD = 8  # channels of a strip whose next values are held in registers
LARGE = 2**15  # cells of a texture that has many tiles
MANY_CELLS = 4096  # of a texture: from here on larger patches still make enough threads
FEW_OPERATIONS = 80  # on a cell, in all steps: below, memory is what limits
MOST_RESIDENT = 2048  # threads of a multiprocessor
SHARED_OF_BLOCK = 1024  # bytes of shared memory that CUDA itself takes for each block
FEWEST_SHARED = 96 * 1024  # bytes of a multiprocessor one block of which may have 48 KiB
ENOUGH_WARPS = 16  # of a multiprocessor, to hide how long each waits
UNSURE = 1.4  # by so much the estimate of a cost may be wrong


def layout(plan: Plan, shared_limit: int) -> Layout:
    """The fastest layout that a plan's texture fits, on a device of so much memory a block.

    That is the one of the least `cost`, unless an estimate has no right to say so: what was
    measured to be fast, where patches divide a texture, gives way to what seems to take 1.4 times
    less.

    Parameters
    ----------
    plan : Plan
    shared_limit : int
        Bytes of shared memory that a block may have; no layout asks for more.
    """
    if plan.program.convolutions:
        whole, parts = (convolved(plan, kind, shared_limit) for kind in CONVOLVED)
        return whole or parts or _cells(plan)
    found = list(candidates(plan, shared_limit))
    best = min(found, key=lambda p: cost(plan, p, shared_limit))
    usual = _usual(plan, found)
    if usual and cost(plan, usual, shared_limit) <= UNSURE * cost(plan, best, shared_limit):
        return usual
    return best


def candidates(plan: Plan, shared_limit: int) -> Iterator[Layout]:
    """All layouts that fit, of a rule that doesn't convolve."""
    for ways in whole_textures(plan):
        fitting = [p for p in ways if p.shared_bytes <= shared_limit]
        yield from dict.fromkeys(fitting[:1] + fitting[-1:])  # most rows at once, and fewest
    others = chain([_shared(plan)], tiles(plan), [_cells(plan)])
    yield from (p for p in others if p.shared_bytes <= shared_limit)


def _usual(plan: Plan, found: Sequence[Layout]) -> Layout | None:
    """What was measured to be fast where patches divide a texture, and for large ones."""
    height, width, _ = plan.shape
    vectors = [p for p in found if p.kind == "registers" and p.columns % VECTOR == 0]
    whole = [p for p in vectors if not (height % p.rows or width % p.columns)]
    tile = min(height, TILE[0]), min(width, TILE[1])
    steps = STALE[1] // max(1, plan.program.radius)
    parts = [p for p in found if p.kind == "tiles" and (p.tile, p.steps) == (tile, steps)]
    few = plan.times[-1] * operations(plan.program) < FEW_OPERATIONS
    many = height * width >= MANY_CELLS
    most = MOST_PATCH // 2 if few else 2 * MOST_PATCH if many else MOST_PATCH
    usual = whole or (parts if height * width >= LARGE else [])
    return max(usual, key=lambda p: min(p.rows * p.columns, most), default=None)


def cost(plan: Plan, p: Layout, shared_limit: int) -> float:
    """About how long a layout takes: picoseconds a cell and step where many textures fill an H200.

    Its form and numbers were fitted to 2,000 measured layouts of three rules, of textures from 17 x
    17 to 512 x 512; it is right to some 20%. What is chosen took 5% longer, on average, than the
    fastest that was measured.
    """
    if p.kind == "cells":
        return inf  # what all others are faster than
    (height, width, channels), held = plan.shape, len(plan.program.held)
    bytes_moved = 4 * channels * (2 + (held < channels and not p.kept))  # of a cell, in all steps
    steps, per_byte = max(1, plan.times[-1]), 0.4
    memory = max(shared_limit + SHARED_OF_BLOCK, FEWEST_SHARED)
    blocks = max(1, memory // (p.shared_bytes + SHARED_OF_BLOCK))
    if p.kind == "shared":
        computing = 0.02 * operations(plan.program) + 0.08 * len(plan.program.reads)
    else:
        computing, blocks = _of_patches(plan, p, memory), min(blocks, _at_once(p))
    if p.kind == "tiles":  # each launch moves all planes, and a tile's margins with it
        tiles = prod(tiling(p, plan.shape, plan.program.radius, p.steps)[1])
        moved = 1 + tiles * prod(p.tile) / (height * width)
        bytes_moved += held * (8 + 2.4 * moved * -(-steps // p.steps))
        computing, per_byte = 1.56 * computing, 0.28
    warps = min(blocks * p.threads, MOST_RESIDENT) / WARP
    waiting = max(1, ENOUGH_WARPS / warps) ** 0.4
    return waiting * (computing + per_byte * bytes_moved / steps)


def _of_patches(plan: Plan, p: Layout, memory: int) -> float:
    """The part of `cost` that patches in registers take to compute."""
    height, width, _ = plan.shape
    seen, cells = reach(plan.program), p.rows * p.columns
    tiles = prod(tiling(p, plan.shape, plan.program.radius, p.steps)[1])
    computed = tiles * p.threads * cells / (p.slots * height * width)  # some more than once
    window = (p.rows + seen.up + seen.down) * (p.columns + seen.left + seen.right)
    room = min(registers_of(p), REGISTERS_OF_ALL // _at_once(p) // p.threads)
    needed = len(plan.program.held) * window + OTHER_REGISTERS
    spilled = max(0, needed - room) / room  # to the cache that shared memory leaves
    found = 0.02 * operations(plan.program) * computed * (0.75 + 0.25 * window / cells)
    found *= 1 + 0.6 * spilled * (1 + p.shared_bytes / memory)
    return 1.12 * found if p.columns > VECTOR else found


def _at_once(p: Layout) -> int:
    """Blocks that a multiprocessor's registers hold."""
    return max(1, REGISTERS_OF_ALL // registers_of(p) // p.threads)


def _shared(plan: Plan) -> Layout:
    """All cells in shared memory, twice."""
    height, width, _ = plan.shape
    radius, strip = plan.program.radius, _strip(plan)
    row_stride, pitch = min(reach(plan.program).row_stride, height), width + 2 * radius
    bands = -(-height // (strip * row_stride))
    turns = -(-bands * row_stride * width // MOST_STRIPS)
    threads = -(-bands * row_stride * width // turns // WARP) * WARP
    cells = (height + 2 * radius) * pitch
    below = (bands * strip * row_stride - height) * pitch  # what strips may read beyond a copy
    behind = max(below, plan.params.shape[1] + cells - height * width)
    return Layout(
        "shared",
        rows=strip,
        row_stride=row_stride,
        tile=(height, width),
        threads=threads,
        shared_bytes=4 * (2 * len(plan.program.held) * cells + below + behind),
    )


def _cells(plan: Plan) -> Layout:
    """One step of all cells a launch, from memory and back."""
    height, width, _ = plan.shape
    strip = _strip(plan) if len(plan.program.held) <= MOST_HELD else 1
    row_stride = min(reach(plan.program).row_stride, height) if strip > 1 else 1
    return Layout("cells", rows=strip, row_stride=row_stride, tile=(height, width))


def _strip(plan: Plan) -> int:
    """Cells of a strip: fewer of a rule that is long."""
    return max(1, min(STRIP, MOST_WRITTEN // max(1, operations(plan.program))))
