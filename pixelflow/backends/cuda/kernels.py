"""The CUDA source of a plan: its constants, its rule's graph, and texture.cu between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pixelflow.backends.cuda.bounds import LARGEST, channel_bounds, sizes
from pixelflow.backends.emit import CUDA, declared
from pixelflow.core.encoders import PIXEL
from pixelflow.core.graph import OPERATIONS, SMALLEST, Program
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

TEMPLATE = (Path(__file__).parent / "texture.cu").read_text()
BOUNDARIES = ("periodic", "reflect", "zero")
MOST_WINDOW = 120  # registers for a patch and its surroundings
MOST_PATCH = 16  # cells of a patch
MANY_CELLS = 4096  # of a texture: from here on larger patches still make enough threads
FEW_OPERATIONS = 80  # on a cell, in all steps: below, memory is what limits
FEWEST_THREADS = 64  # of a block
TILE = (64, 128)  # rows and columns of a tile of a large texture
WARP, MOST_THREADS = 32, 1024
REGISTERS = 80, 128  # of a thread, for patches of up to MOST_PATCH cells and for larger ones


@dataclass(frozen=True)
class Layout:
    """How a texture, or a tile of one, is spread over the threads of a block.

    Attributes
    ----------
    kind : str
        "registers" or "shared": all in one launch. "tiles": a launch for several steps. "cells": a
        launch for each step.
    rows, columns : int
        Cells of a thread's patch.
    tile : tuple of int
        Rows and columns of what a block holds; the texture's own, but for "tiles".
    slots : int
        Textures of a block.
    threads : int
        Threads of a block.
    shared_bytes : int
        Shared memory of a block.
    """

    kind: str
    rows: int = 1
    columns: int = 1
    tile: tuple[int, int] = (1, 1)
    slots: int = 1
    threads: int = 256
    shared_bytes: int = 0


@dataclass(frozen=True)
class Reach:
    """How far a program reads, in each direction, and which channels it reads or writes."""

    up: int
    down: int
    left: int
    right: int
    held: tuple[int, ...]
    vertical: tuple[int, ...]  # channels of which other rows are read
    horizontal: tuple[int, ...]
    diagonal: tuple[int, ...]


@lru_cache(maxsize=256)
def reach(program: Program) -> Reach:
    """What a program reads beside its own cell."""
    reads = [node[1:] for node in program.nodes if node[0] == "read"]
    held = {c for _, _, c in reads} | {c for c, _ in program.outputs}
    return Reach(
        up=max((-dy for dy, _, _ in reads), default=0) if reads else 0,
        down=max((dy for dy, _, _ in reads), default=0),
        left=max((-dx for _, dx, _ in reads), default=0),
        right=max((dx for _, dx, _ in reads), default=0),
        held=tuple(sorted(held)),
        vertical=tuple(sorted({c for dy, _, c in reads if dy})),
        horizontal=tuple(sorted({c for _, dx, c in reads if dx})),
        diagonal=tuple(sorted({c for dy, dx, c in reads if dx and dy})),
    )


def layout(plan: Plan, shared_limit: int) -> Layout:
    """The fastest layout that a plan's texture fits, on a device of so much memory a block."""
    height, width, _ = plan.shape
    patches = list(_patches(plan, height, width, plan.shape[2]))
    if patches:
        operations = sum(node[0] in OPERATIONS for node in plan.program.nodes)
        few = plan.times[-1] * operations < FEW_OPERATIONS
        many = height * width >= MANY_CELLS
        most = MOST_PATCH // 2 if few else 2 * MOST_PATCH if many else MOST_PATCH
        return max(patches, key=lambda p: (min(p.rows * p.columns, most), p.columns % 4 == 0))
    seen, radius = reach(plan.program), plan.program.radius
    cells = (height + 2 * radius) * (width + 2 * radius)
    shared = 4 * (2 * len(seen.held) * cells + plan.params.shape[1])
    if shared <= shared_limit:
        strips = -(-height // 4) * width
        threads = min(256, -(-strips // WARP) * WARP)
        return Layout("shared", tile=(height, width), threads=threads, shared_bytes=shared)
    rows = TILE[0] if height > TILE[0] else height
    columns = TILE[1] if width > TILE[1] else width
    if width % 4 == 0 and radius <= 4:
        tiles = [p for p in _patches(plan, rows, columns, 0) if p.columns == 4]
        if tiles:
            best = max(tiles, key=lambda p: min(p.rows * p.columns, MOST_PATCH))
            return Layout(**{**best.__dict__, "kind": "tiles"})
    return Layout("cells", tile=(height, width))


def _patches(plan: Plan, height: int, width: int, channels: int) -> Iterator[Layout]:
    """Layouts in registers of a texture of that size, of which so many channels are written out."""
    seen, media = reach(plan.program), plan.media.shape[1]
    for columns in (c for c in (1, 2, 3, 4, 5, 6, 7, 8) if width % c == 0 and width // c <= WARP):
        for rows in (r for r in range(1, MOST_PATCH + 1) if height % r == 0):
            window = (rows + seen.up + seen.down) * (columns + seen.left + seen.right)
            registers = len(seen.held) * window + media * rows * columns
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
    return rows if is_identity(plan) else 1


def is_kept(plan: Plan) -> bool:
    """Whether the texture as it came stays in shared memory, for the channels not held."""
    held = reach(plan.program).held
    return is_identity(plan) and plan.probe == Probe() and len(held) < plan.shape[2]


def source(plan: Plan, chosen: Layout, value: type, exact: bool) -> str:
    """The module of a plan in a layout, for inputs of a type.

    Two plans with the same source differ in numbers alone: parameters, media, keys, index, steps.
    """
    seen = reach(plan.program)
    short = shortcuts(plan)
    constants = _constants(plan, chosen, seen, short, value)
    return "\n".join([constants, TEMPLATE, _rule(plan.program, seen, short)])


def _constants(plan: Plan, chosen: Layout, seen: Reach, short: Shortcuts, value: type) -> str:
    height, width, channels = plan.shape
    probe, program = plan.probe, plan.program
    read = range(channels) if probe.channels is None else probe.channels
    driven, written = driven_channels(plan), dict(program.outputs)
    registers = REGISTERS[chosen.rows * chosen.columns > MOST_PATCH]
    numbers = {
        "H": height,
        "W": width,
        "C": channels,
        "K": len(seen.held),
        "REACH": program.radius,
        "UP": seen.up,
        "DOWN": seen.down,
        "LEFT": seen.left,
        "RIGHT": seen.right,
        "VERTICALS": len(seen.vertical),
        "MEMBERS": plan.members,
        "PARAMETERS": plan.params.shape[1],
        "MEDIA": plan.media.shape[1],
        "BOUNDARY": BOUNDARIES.index(plan.boundary),
        "IDENTITY": int(is_identity(plan)),
        "PLAIN": int(probe == Probe()),
        "READ": len(read),
        "SIGNS": 1 + probe.rectify,
        "POOL": probe.pool or 0,
        "MEAN": int(probe.pool_op == "mean"),
        "ALIGNED": int(plan.feature_dim % 4 == 0 and height * width * channels % 4 == 0),
        "STAGED": staged_rows(plan, chosen.rows),
        "STAGED_IN": int(is_identity(plan) and value == np.float32),
        "KEPT": int(is_kept(plan) and value == np.float32),
        "SHORTCUTS": int(bool(short.bounds)),
        "P": chosen.columns,
        "R": chosen.rows,
        "BH": chosen.tile[0],
        "BW": chosen.tile[1],
        "TILED_Y": int(chosen.tile[0] < height),
        "TILED_X": int(chosen.tile[1] < width),
        "SLOTS": chosen.slots,
        "THREADS": chosen.threads,
        "BLOCKS": max(1, 65536 // registers // chosen.threads),
    }
    sections = {"registers": "REGISTERS", "shared": "SHARED", "tiles": "TILES", "cells": "CELLS"}
    lines = [f"#define {sections[chosen.kind]}"]
    if chosen.kind in ("tiles", "cells"):
        lines.append("#define PLANES")
    lines += ["namespace plan {", "enum { PERIODIC, REFLECT, ZERO };"]
    lines += [f"constexpr int {name} = {number};" for name, number in numbers.items()]
    lines += [
        f"using Value = {'unsigned char' if value == np.uint8 else 'float'};",
        f"constexpr float SMALLEST = {float(SMALLEST)!r}f, PIXEL = {float(PIXEL)!r}f;",
        _table("unit", [int(written.get(c) in short.units) for c in seen.held]),
        _table("bound", [f"{short.bounds.get(c, -1.0)!r}f" for c in seen.held], "float"),
        _table("held", seen.held),
        _table("held_as", _positions(seen.held, channels)),
        _table("written", [int(c in written) for c in seen.held]),
        _table("neighboured", [int(c in program.neighboured) for c in seen.held]),
        _table("vertical", [_position(seen.vertical, c) for c in seen.held]),
        _table("horizontal", [int(c in seen.horizontal) for c in seen.held]),
        _table("diagonal", [int(c in seen.diagonal) for c in seen.held]),
        _table("driven", _positions(driven, channels)),
        _table("read_channel", read),
        "}",
    ]
    return "\n".join(lines)


def _table(name: str, values: Iterable[object], kind: str = "int") -> str:
    """A function from 0, 1 ... to values, that the compiler sees through."""
    chosen = "".join(f"i == {i} ? {value} : " for i, value in enumerate(values))
    return f"__device__ constexpr {kind} {name}(int i) {{ return {chosen}-1; }}"


def _position(items: Sequence[int], item: int) -> int:
    return items.index(item) if item in items else -1


def _positions(items: Sequence[int], count: int) -> list[int]:
    return [_position(items, i) for i in range(count)]


def driven_channels(plan: Plan) -> tuple[int, ...]:
    """The channels into which the encoder writes."""
    driven = (plan.encoder.index >= 0).any(axis=(0, 1))
    return tuple(int(c) for c in np.flatnonzero(driven))


def is_identity(plan: Plan) -> bool:
    """Whether the latents are the texture itself."""
    index = plan.encoder.index
    return bool(np.array_equal(index.ravel(), np.arange(index.size)))


@dataclass(frozen=True)
class Shortcuts:
    """What computes the same bits in fewer operations once all numbers are in range.

    Attributes
    ----------
    bounds : dict of int to float
        In range are textures whose channels are no larger than this.
    units : tuple of int
        Nodes that clip to [0, 1] what is finite.
    scaled : dict of int to tuple
        Sums, as (scale, node, other node, sign of the other): the product with a power of two is
        exact, so that the sum is rounded once either way, if the product does not overflow.
    """

    bounds: dict[int, float]
    units: tuple[int, ...]
    scaled: dict[int, tuple[float, int, int, str]]


def shortcuts(plan: Plan) -> Shortcuts:
    """The shortcuts of a plan's rule; without any, nothing need be in range."""
    program, size = plan.program, sizes(plan)
    nodes = program.nodes
    units = tuple(
        i
        for _, i in program.outputs
        if nodes[i][0] == "clip_flush"
        and nodes[nodes[i][2]] == ("const", 1.0)
        and size[nodes[i][1]] < LARGEST
    )
    scaled = {i: s for i in range(len(nodes)) if (s := _scaled(program, i, size))}
    return Shortcuts(channel_bounds(program) if units or scaled else {}, units, scaled)


def _scaled(program: Program, i: int, size: list[float]) -> tuple[float, int, int, str] | None:
    op, *operands = program.nodes[i]
    for place, j in enumerate(operands if op in ("add", "sub") else ()):
        factor = _power_of_two(program, j)
        if factor is None or size[j] >= LARGEST:
            continue
        sign = "-" if op == "sub" and place == 0 else ""
        scale = -factor[0] if op == "sub" and place == 1 else factor[0]
        return scale, factor[1], operands[1 - place], sign
    return None


def _power_of_two(program: Program, i: int) -> tuple[float, int] | None:
    """The scale and the node of a multiplication by 2, 4, ..."""
    op, *operands = program.nodes[i]
    for place, j in enumerate(operands if op == "mul" else ()):
        kind, *value = program.nodes[j]
        if kind == "const" and value[0] >= 1 and math.frexp(value[0])[0] == 0.5:
            return value[0], operands[1 - place]
    return None


def _rule(program: Program, seen: Reach, short: Shortcuts) -> str:
    """The rule as a function of one cell."""
    texts = {i: f"at.unit(v{program.nodes[i][1]})" for i in short.units}
    for i, (scale, j, other, sign) in short.scaled.items():
        texts[i] = f"at.scaled({scale!r}f, v{j}, {sign}v{other})"
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "read":
            dy, dx, channel = operands
            texts[i] = f"at.read({seen.held.index(channel)}, {dy}, {dx})"
        elif op == "param":
            texts[i] = f"at.param({program.params.index(operands[0])})"
        elif op == "medium":
            texts[i] = f"at.medium({program.media.index(operands[0])})"
        elif op in ("step", "cell", "key"):
            texts[i] = f"at.{op}()"
    lines = declared(program, CUDA, texts)
    lines += [f"next[{seen.held.index(channel)}] = v{i};" for channel, i in program.outputs]
    body = "\n".join(f"    {line}" for line in lines)
    head = "__device__ __forceinline__ void rule(const Cell& at, float* next)"
    return f"template <class Cell>\n{head} {{\n{body}\n}}"
