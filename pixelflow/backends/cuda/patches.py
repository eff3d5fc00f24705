"""Textures in registers: how patches of cells may be spread over threads, whole or in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pixelflow.backends.cuda.shapes import (
    MOST_BLOCKS,
    MOST_THREADS,
    WARP,
    Layout,
    is_texture,
    operations,
    reach,
)
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

MOST_WINDOW = 128  # registers for a patch, its surroundings and the parameters
MOST_PATCH = 16  # cells of a patch; twice as many where few others then run beside it
REGISTERS = 96, 128  # of a thread, for patches of up to MOST_PATCH cells and for larger ones
MOST_ROWS, MOST_COLUMNS = 16, 8  # of a patch
MOST_WRITTEN = 20_000  # operations written out for a patch, all of which a compiler has to read
FEWEST_THREADS = 64  # of a block
MOST_RADIUS = 4  # of a rule that runs on tiles
VECTOR = 4  # columns that are moved at once
TILE = 64, 128  # rows and columns of a tile that suits most large textures
MOST_TILE = 128  # rows of a tile
STALE = 4, 8, 12  # cells that may go stale at each side of a tile in a launch


def registers_of(p: Layout) -> int:
    """Registers that a thread may have where others are to run beside it."""
    return REGISTERS[p.rows * p.columns > MOST_PATCH]


def whole_textures(plan: Plan) -> Iterator[Iterator[Layout]]:
    """Layouts of whole textures: for each patch its ways to move one, the fastest first."""
    height, width, _ = plan.shape
    for columns, rows in product(range(1, MOST_COLUMNS + 1), range(1, MOST_ROWS + 1)):
        if not _fits(plan, rows, columns, height, width):
            continue
        groups, lanes = -(-height // rows), -(-width // columns)
        slots = max(1, FEWEST_THREADS // WARP * (WARP // lanes) // groups)
        threads = -(-slots * groups // (WARP // lanes)) * WARP
        yield _ways(plan, Layout("registers", rows, columns, (height, width), slots, threads))


def _ways(plan: Plan, whole: Layout) -> Iterator[Layout]:
    """Ways to move a texture: kept as it came, else some rows of each patch at once."""
    channels, plain, texture = plan.shape[2], plan.probe == Probe(), is_texture(plan)
    line = whole.threads * whole.columns * channels if texture or plain else 0
    edges, pooled = _edges(plan, whole), whole.slots * _pooled(plan, whole)
    if texture and plain and len(plan.program.held) < channels:
        floats = whole.rows * line + edges
        yield replace(whole, staged=whole.rows, kept=True, shared_bytes=4 * floats)
    for staged in range(whole.rows if texture else 1, 0, -1):
        if whole.rows % staged == 0:
            floats = max(edges, staged * line, pooled)
            yield replace(whole, staged=staged, shared_bytes=4 * floats)


def _edges(plan: Plan, p: Layout) -> int:
    """Values that rows of patches show to those above and below, in two steps."""
    seen = reach(plan.program)
    groups, lanes = -(-p.tile[0] // p.rows), -(-p.tile[1] // p.columns)
    cells = p.slots * groups * lanes * p.columns
    return 2 * len(seen.vertical) * (seen.up + seen.down) * cells


def _pooled(plan: Plan, p: Layout) -> int:
    """Values of a channel that lie in shared memory while they are pooled."""
    (height, width, _), probe, pool = plan.shape, plan.probe, plan.probe.pool
    if not pool:
        return 0
    whole = height % (pool * p.rows) == 0 and width % (pool * p.columns) == 0
    return (1 + probe.rectify) * height * width // (p.rows * p.columns) if whole else height * width


def tiles(plan: Plan) -> Iterator[Layout]:
    """Layouts of tiles, whose margins go stale in some steps."""
    height, width, _ = plan.shape
    radius = max(1, plan.program.radius)
    if height * (width + VECTOR) >= 2**31:  # cells are counted in 32 bits, whole vectors of a row
        return
    for steps in sorted({stale // radius for stale in STALE} if radius <= MOST_RADIUS else ()):
        margin = -(-steps * radius // VECTOR) * VECTOR  # so that tiles begin between vectors
        for columns, rows in product((VECTOR, 2 * VECTOR), range(1, MOST_ROWS + 1)):
            for across in _sides(width, columns, margin, WARP * columns):
                for down in _sides(height, rows, steps * radius, MOST_TILE):
                    too_many = height > MOST_BLOCKS * (down - 2 * steps * radius) and down < height
                    if not too_many and _fits(plan, rows, columns, down, across):
                        warp_rows = WARP // -(-across // columns)
                        groups = -(-down // rows)
                        threads = -(-groups // warp_rows) * WARP
                        p = Layout("tiles", rows, columns, (down, across), 1, threads, steps=steps)
                        yield replace(p, shared_bytes=4 * _edges(plan, p))


def tiling(
    p: Layout, shape: tuple[int, int, int], radius: int, steps: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that go stale at a tile's sides in so many steps; tiles down and across."""
    margins = steps * radius, -(-steps * radius // VECTOR) * VECTOR
    sides = zip(shape[:2], p.tile, margins, strict=True)
    down, across = (1 if tile >= size else -(-size // (tile - 2 * m)) for size, tile, m in sides)
    return margins, (down, across)


def stride(p: Layout, width: int) -> int:
    """Cells from one row of a plane in memory to the next: tiles move whole vectors."""
    return -(-width // VECTOR) * VECTOR if p.kind == "tiles" else width


def _sides(size: int, unit: int, margin: int, most: int) -> Iterator[int]:
    """Sides of a tile, multiples of `unit`: of those with which so many cover a texture, the least.

    Up to three times as many tiles as need be; smaller ones compute their margins too often.
    """
    if size <= most:
        yield size
    fewest = -(-size // max(1, most - 2 * margin))
    for side in range(2 * margin // unit * unit + unit, min(most, size - 1) + 1, unit):
        core, smaller = side - 2 * margin, side - 2 * margin - unit
        least = smaller <= 0 or -(-size // smaller) > -(-size // core)
        if -(-size // core) <= 3 * fewest and (least or side in TILE):
            yield side


def _fits(plan: Plan, rows: int, columns: int, height: int, width: int) -> bool:
    """Whether threads can hold such patches in registers, of a texture or tile of that size.

    The last ones may reach over its edge, but have at least the rows and columns that others read.
    """
    seen, media = reach(plan.program), plan.media.shape[1]
    window = (rows + seen.up + seen.down) * (columns + seen.left + seen.right)
    values = len(plan.program.held) * window + media * rows * columns + plan.params.shape[1]
    if values > MOST_WINDOW or rows > height or columns > width:
        return False
    if rows * columns > min(2 * MOST_PATCH, MOST_WRITTEN // max(1, operations(plan.program))):
        return False
    last_rows, last_columns = (height - 1) % rows + 1, (width - 1) % columns + 1
    if last_rows < max(seen.up, seen.down) or last_columns < max(seen.left, seen.right):
        return False
    groups, lanes = -(-height // rows), -(-width // columns)
    return lanes <= WARP and -(-groups // (WARP // lanes)) * WARP <= MOST_THREADS
