"""How large a rule's numbers can be, once every channel that it clips is within its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pixelflow.core.graph import OPERATIONS, Node, Program
from pixelflow.core.plan import Plan

LARGEST = float(np.finfo(np.float32).max) / 2  # leaves room for what rounding adds


def channel_bounds(program: Program) -> dict[int, float]:
    """The largest magnitude of each channel that the rule clips between two literals."""
    limits = {channel: _clip_limits(program, i) for channel, i in program.outputs}
    return {channel: max(map(abs, each)) for channel, each in limits.items() if each}


def sizes(plan: Plan) -> list[float]:
    """The largest magnitude of each node; infinite where none is known.

    It holds for textures whose clipped channels are within `channel_bounds`.
    """
    program = plan.program
    largest = dict(zip(program.params, np.abs(plan.params).max(0, initial=0), strict=True))
    media = np.abs(plan.media).max((0, 2, 3), initial=0)
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
    limits = [program.nodes[j] for j in operands[1:]]
    if op == "clip_flush" and limits[0][0] == "const":
        return 0.0, limits[0][1]
    if op == "clip" and limits[0][0] == limits[1][0] == "const":
        return limits[0][1], limits[1][1]
    return None


def _size(
    program: Program,
    i: int,
    node: Node,
    found: list[float],
    bounds: Mapping[int, float],
    largest: Mapping[str, float],
) -> float:
    op, *operands = node
    if op == "const":
        return abs(operands[0])
    if op in ("param", "medium"):
        return float(largest[operands[0]])
    if op == "read":
        return bounds.get(operands[2], math.inf)
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
