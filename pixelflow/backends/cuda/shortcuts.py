"""What gives the same bits in fewer operations, once all numbers are in range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pixelflow.core.graph import OPERATIONS, Node, Program
from pixelflow.core.plan import Plan

LARGEST = float(np.finfo(np.float32).max) / 2  # leaves room for what rounding adds
ROOM = 2.0**20  # inputs up to here are in range from the first step on


def channel_bounds(program: Program) -> dict[int, float]:
    """The largest magnitude in range, of each channel that the rule clips between two literals."""
    limits = {channel: _clip_limits(program, i) for channel, i in program.outputs}
    return {channel: max(ROOM, *map(abs, each)) for channel, each in limits.items() if each}


def sizes(plan: Plan) -> list[float]:
    """The largest magnitude of each node; infinite where none is known.

    It holds for textures whose clipped channels are within `channel_bounds`.
    """
    program = plan.program
    media = np.abs(plan.media).max((0, 2, 3), initial=0)
    largest = dict(enumerate(np.abs(plan.params).max(0, initial=0)))
    largest |= dict(zip(program.media, media, strict=True))
    bounds = channel_bounds(program)
    found: list[float] = []
    for i, node in enumerate(program.nodes):
        found.append(_size(program, i, node, found, bounds, largest))
    return found


def _clip_limits(program: Program, i: int) -> tuple[float, float] | None:
    """Between which numbers a node is held, where it ends in a clip by two literals."""
    op, *operands = program.nodes[i]
    if op == "flush":
        return _clip_limits(program, operands[0])
    if op not in ("clip", "clip_flush"):
        return None  # what a leaf holds is no node
    limits = [program.nodes[j] for j in operands[1:]]
    if any(kind != "const" for kind, *_ in limits):
        return None
    return (0.0, limits[0][1]) if op == "clip_flush" else (limits[0][1], limits[1][1])


def _size(
    program: Program,
    i: int,
    node: Node,
    found: list[float],
    bounds: Mapping[int, float],
    largest: Mapping[int | str, float],  # by a parameter's number, a medium's name
) -> float:
    op, *operands = node
    if op == "const":
        return abs(operands[0])
    if op in ("param", "medium"):
        return float(largest[operands[0]])
    if op == "read":
        return bounds.get(operands[2], math.inf)
    if op == "convolve":
        return math.inf  # its sum is known no better than what it sums
    if op not in OPERATIONS or OPERATIONS[op][-1] != "f":
        return 0.0  # a condition or an integer
    if op == "float":
        return 2.0**32
    if limits := _clip_limits(program, i):
        return max(map(abs, limits))
    inner = [found[j] for j in operands]
    if op in ("add", "sub"):
        return inner[0] + inner[1]
    if op == "mul":
        return inner[0] * inner[1] if min(inner) > 0 else 0.0 if max(inner) < math.inf else math.inf
    if op in ("where", "minimum", "maximum", "clip", "clip_flush", "flush", "neg", "abs"):
        return max(inner)
    return math.inf  # a quotient, a logarithm


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
