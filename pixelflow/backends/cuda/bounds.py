"""How large the numbers of a rule can become: whether, once in range, they stay finite for good."""

from __future__ import annotations

import math

import numpy as np

from pixelflow.core.graph import OPERATIONS, Node, Program
from pixelflow.core.plan import Plan

LARGEST = float(np.finfo(np.float32).max)


def state_bound(program: Program) -> float:
    """The largest magnitude that a rule writes; infinite where a channel isn't clipped."""
    limits = [_clip_limits(program, i) for _, i in program.outputs]
    return max((max(map(abs, each)) if each else math.inf for each in limits), default=math.inf)


def stays_finite(plan: Plan) -> bool:
    """Whether no operation overflows, from any texture within `state_bound` on."""
    program, bound = plan.program, state_bound(plan.program)
    largest = dict(zip(program.params, np.abs(plan.params).max(0, initial=0), strict=True))
    media = np.abs(plan.media).max((0, 2, 3), initial=0)
    largest |= dict(zip(program.media, media, strict=True))
    sizes: list[float] = []
    for i, node in enumerate(program.nodes):
        sizes.append(_size(program, i, node, sizes, bound, largest))
    return max(sizes, default=0) < LARGEST / 2  # room for what rounding adds


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
    program: Program, i: int, node: Node, sizes: list[float], bound: float, largest: dict
) -> float:
    """The largest magnitude of a node's value."""
    op, *operands = node
    if op == "const":
        return abs(operands[0])
    if op in ("param", "medium"):
        return float(largest[operands[0]])
    if op == "read":
        return bound
    if op not in OPERATIONS or OPERATIONS[op][-1] != "f":
        return 0.0  # a condition or an integer
    inner = [sizes[j] for j in operands]
    if op == "float":
        return 2.0**32
    if op in ("add", "sub"):
        return inner[0] + inner[1]
    if op == "mul":
        return inner[0] * inner[1]
    if limits := _clip_limits(program, i):
        return max(map(abs, limits))
    if op in ("where", "minimum", "maximum", "clip", "clip_flush", "flush", "neg", "abs"):
        return max(inner)
    return math.inf  # a quotient, a logarithm
