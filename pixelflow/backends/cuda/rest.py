"""The layout in which a block takes a texture through steps until it rests, and its source."""

from __future__ import annotations

from pixelflow.backends.cuda.shapes import Layout
from pixelflow.backends.cuda.tables import position, table
from pixelflow.core.graph import Program
from pixelflow.core.plan import Plan

THREADS = 256, 512  # of a block, for textures of up to MANY_CELLS cells and for larger ones
MANY_CELLS = 2048
MOST_CELLS = 2**16  # whose numbers fit the list's 16 bits
MOST_RADIUS = 31  # so that a shifted mask takes bits of two words
COUNTERS = 3 * 8 + 2 * 4  # bytes, at the beginning of the shared memory


def rest_layout(plan: Plan, shared_limit: int) -> Layout | None:
    """The layout, or None if a texture does not fit, or if the rule convolves or writes nothing.

    A margin shows a cell once at each side, so that a texture has at least as many as it reaches.
    """
    program, (height, width, _) = plan.program, plan.shape
    radius, cells = program.radius, height * width
    if program.convolutions or radius > min(MOST_RADIUS, height, width) or not program.outputs:
        return None
    plane = (height + 2 * radius) * (width + 2 * radius)
    planes = 2 * len(_copied(program)) + len(_fixed(program))
    masks, listed = (
        2 * height * -(-width // 32),
        -(-cells // 2),
    )  # words; two cells of a list in one
    size = COUNTERS + 4 * (planes * plane + plan.params.shape[1] + masks + listed)
    if cells > MOST_CELLS or size > shared_limit:
        return None
    threads = THREADS[cells > MANY_CELLS]
    return Layout("rest", tile=(height, width), threads=threads, shared_bytes=size)


def constants(program: Program) -> dict[str, int]:
    """What the template asks of a rule."""
    return {
        "COPIED": len(_copied(program)),
        "FIXED": len(_fixed(program)),
        "SKIPS": int(not any(op == "step" for op, *_ in program.nodes)),
    }


def tables(program: Program) -> list[str]:
    """For each held channel its place among those that lie in shared memory twice, and once."""
    copied, fixed = _copied(program), _fixed(program)
    return [
        table("copy_of", [position(copied, c) for c in program.held]),
        table("fixed_as", [position(fixed, c) for c in program.held]),
    ]


def may_change(program: Program) -> str:
    """The function that gives the cells that read a changed one, or have changed themselves."""
    copied = _copied(program)
    offsets = {(dy, dx) for dy, dx, channel in program.reads if channel in copied} | {(0, 0)}
    found = " | ".join(f"near_change<{dy}, {dx}>(changed, y, w)" for dy, dx in sorted(offsets))
    head = "__device__ __forceinline__ unsigned may_change(const unsigned* changed, int y, int w)"
    return f"{head} {{\n    return {found};\n}}"


def _copied(program: Program) -> tuple[int, ...]:
    """The channels that steps write."""
    return tuple(channel for channel, _ in program.outputs)


def _fixed(program: Program) -> tuple[int, ...]:
    """The channels that no step writes, of which cells beside the own one are read."""
    return tuple(c for c in program.neighboured if c not in _copied(program))
