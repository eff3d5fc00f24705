"""How a texture is spread over the threads of a GPU: the fastest way that it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pixelflow.backends.cuda.convolved import KINDS as CONVOLVED
from pixelflow.backends.cuda.convolved import convolved
from pixelflow.backends.cuda.shapes import MOST_THREADS, WARP, Layout, is_texture, reach
from pixelflow.core.graph import OPERATIONS
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

MOST_WINDOW = 128  # registers for a patch, its surroundings and the parameters
MOST_PATCH = 16  # cells of a patch
STRIP = 4  # cells of a strip of a column
MOST_STRIPS = 512  # threads of a block that has strips
MANY_CELLS = 4096  # of a texture: from here on larger patches still make enough threads
FEW_OPERATIONS = 80  # on a cell, in all steps: below, memory is what limits
FEWEST_THREADS = 64  # of a block
REGISTERS = 96, 128  # of a thread, for patches of up to MOST_PATCH cells and for larger ones
MOST_RADIUS = 4  # of a rule that runs on tiles
TILE = (64, 128)  # rows and columns of a tile of a large texture


def layout(plan: Plan, shared_limit: int) -> Layout:
    """The fastest layout that a plan's texture fits, on a device of so much memory a block."""
    height, width, _ = plan.shape
    if plan.texture_size >= 2**31:
        raise RuntimeError(
            f"backend 'cuda' counts a texture's values in 31 bits, and {height} x {width} with "
            f"{plan.shape[2]} channels has {plan.texture_size}: take backend 'numba'"
        )
    if any(node[0] == "convolve" for node in plan.program.nodes):
        whole, tiles = (convolved(plan, kind, shared_limit) for kind in CONVOLVED)
        return whole or tiles or Layout("cells", tile=(height, width))
    patches = list(_patches(plan, height, width, plan.shape[2]))
    if patches:
        operations = sum(node[0] in OPERATIONS for node in plan.program.nodes)
        few = plan.times[-1] * operations < FEW_OPERATIONS
        many = height * width >= MANY_CELLS
        most = MOST_PATCH // 2 if few else 2 * MOST_PATCH if many else MOST_PATCH
        return max(patches, key=lambda p: (min(p.rows * p.columns, most), p.columns % 4 == 0))
    shared = _shared(plan)
    if shared.shared_bytes <= shared_limit:
        return shared
    rows = TILE[0] if height > TILE[0] else height
    columns = TILE[1] if width > TILE[1] else width
    tiles = [p for p in _patches(plan, rows, columns, 0) if columns == width or p.columns == 4]
    if plan.program.radius <= MOST_RADIUS and tiles:
        best = max(tiles, key=lambda p: min(p.rows * p.columns, 2 * MOST_PATCH))
        return replace(best, kind="tiles")
    return Layout("cells", tile=(height, width))


def _shared(plan: Plan) -> Layout:
    """All cells in shared memory, twice."""
    height, width, _ = plan.shape
    apart, pitch = min(reach(plan.program).apart, height), width + 2 * plan.program.radius
    bands = -(-height // (STRIP * apart))
    strips = bands * apart * width
    turns = -(-strips // MOST_STRIPS)
    threads = -(-strips // turns // WARP) * WARP
    cells = (height + 2 * plan.program.radius) * pitch
    below = (bands * STRIP * apart - height) * pitch  # what strips may read beyond a copy
    behind = max(below, plan.params.shape[1] + cells - height * width)
    return Layout(
        "shared",
        rows=STRIP,
        apart=apart,
        tile=(height, width),
        threads=threads,
        shared_bytes=4 * (2 * len(plan.program.held) * cells + below + behind),
    )


def _patches(plan: Plan, height: int, width: int, channels: int) -> Iterator[Layout]:
    """Layouts in registers of a texture of that size, of which so many channels are written out."""
    seen, media = reach(plan.program), plan.media.shape[1]
    for columns in (c for c in (1, 2, 3, 4, 5, 6, 7, 8) if width % c == 0 and width // c <= WARP):
        for rows in (r for r in range(1, MOST_PATCH + 1) if height % r == 0):
            window = (rows + seen.up + seen.down) * (columns + seen.left + seen.right)
            registers = len(plan.program.held) * window + media * rows * columns
            registers += plan.params.shape[1]
            far = rows < max(seen.up, seen.down) or columns < max(seen.left, seen.right)
            lanes, groups = width // columns, height // rows
            warp_rows = WARP // lanes
            if far or registers > MOST_WINDOW or rows * columns > 2 * MOST_PATCH:
                continue
            if -(-groups // warp_rows) * WARP > MOST_THREADS:
                continue
            slots = max(1, FEWEST_THREADS // WARP * warp_rows // groups) if channels else 1
            threads = -(-slots * groups // warp_rows) * WARP
            edges = 2 * len(seen.vertical) * slots * groups * (seen.up + seen.down) * width
            staged = staged_rows(plan, rows)
            stage = staged * threads * columns * channels
            pooled = slots * height * width if plan.probe.pool and channels else 0
            shared = stage + edges if is_kept(plan) else max(edges, stage, pooled)
            yield Layout("registers", rows, columns, (height, width), slots, threads, 4 * shared)


def staged_rows(plan: Plan, rows: int) -> int:
    """How many rows of its patch a thread moves through shared memory at once."""
    return rows if is_texture(plan) else 1


def is_kept(plan: Plan) -> bool:
    """Whether the texture as it came stays in shared memory, for the channels not held."""
    some = len(plan.program.held) < plan.shape[2]
    return is_texture(plan) and plan.probe == Probe() and some
