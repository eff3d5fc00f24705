"""What a layout is, and how far a rule reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from pixelflow.core.forms import Local
from pixelflow.core.graph import OPERATIONS, Program
from pixelflow.core.plan import Plan

WARP, MOST_THREADS = 32, 1024
MOST_BLOCKS = 65535  # along a grid's second and third axis
REGISTERS_OF_ALL = 65536  # of a multiprocessor
OTHER_REGISTERS = 24  # of a thread, about, beside those for cells and sums


@dataclass(frozen=True)
class Layout:
    """How a texture, or a tile of one, is spread over the threads of a block.

    Attributes
    ----------
    kind : str
        "registers", "shared" or "convolved": all in one launch. "tiles": a launch for several
        steps. "cells" or "convolved_tiles": a launch for each step.
    rows, columns : int
        Cells of a thread's patch.
    tile : tuple of int
        Rows and columns of what a block holds; the texture's own, but for tiles.
    slots : int
        Textures of a block.
    threads : int
        Threads of a block.
    shared_bytes : int
        Shared memory of a block.
    row_stride : int
        From one row of a patch to the next; 1 but for "shared".
    staged : int
        Rows of its patch that a thread moves between memory and registers at once; divides `rows`.
    kept : bool
        Whether the texture as it came stays in shared memory, for the channels not held.
    steps : int
        Steps of a launch; of "tiles" alone more than one.
    """

    kind: str
    rows: int = 1
    columns: int = 1
    tile: tuple[int, int] = (1, 1)
    slots: int = 1
    threads: int = 256
    shared_bytes: int = 0
    row_stride: int = 1
    staged: int = 1
    kept: bool = False
    steps: int = 1


@dataclass(frozen=True)
class Reach:
    """How far a program reads, in each direction and of which channels."""

    up: int
    down: int
    left: int
    right: int
    row_stride: int  # the greatest common divisor of the row offsets that are read
    vertical: tuple[int, ...]  # channels of which other rows are read
    horizontal: tuple[int, ...]
    diagonal: tuple[int, ...]


def is_local(plan: Plan) -> bool:
    """Whether kernels get the products of a local map, which they squash."""
    return isinstance(plan.encoder.form, Local)


def is_texture(plan: Plan) -> bool:
    """Whether the latent values are the texture, as it lies in memory."""
    return plan.encoder.identical and not is_local(plan)


@lru_cache(maxsize=256)
def operations(program: Program) -> int:
    """How many operations a cell's step has."""
    return sum(node[0] in OPERATIONS for node in program.nodes)


@lru_cache(maxsize=256)
def reach(program: Program) -> Reach:
    """What a program reads beside its own cell."""
    reads = program.reads
    rows, columns = [0, *(dy for dy, _, _ in reads)], [0, *(dx for _, dx, _ in reads)]
    return Reach(
        up=-min(rows),
        down=max(rows),
        left=-min(columns),
        right=max(columns),
        row_stride=gcd(*rows) or 1,
        vertical=tuple(sorted({c for dy, _, c in reads if dy})),
        horizontal=tuple(sorted({c for _, dx, c in reads if dx})),
        diagonal=tuple(sorted({c for dy, dx, c in reads if dx and dy})),
    )
