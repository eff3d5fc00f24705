"""What a layout is, and how far a rule reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pixelflow.core.graph import Program

WARP, MOST_THREADS = 32, 1024


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
    """How far a program reads, in each direction and of which channels."""

    up: int
    down: int
    left: int
    right: int
    vertical: tuple[int, ...]  # channels of which other rows are read
    horizontal: tuple[int, ...]
    diagonal: tuple[int, ...]


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
        vertical=tuple(sorted({c for dy, _, c in reads if dy})),
        horizontal=tuple(sorted({c for _, dx, c in reads if dx})),
        diagonal=tuple(sorted({c for dy, dx, c in reads if dx and dy})),
    )
