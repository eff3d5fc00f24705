"""Convolutions of a rule as shaders do them: up to four over the same cells, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pixelflow.core.graph import Program
from pixelflow.core.plan import Plan

MOST = 4  # convolutions that share what they read: a texel holds a weight of each


@dataclass(frozen=True)
class Convolution:
    """Up to four convolutions of a rule over the same cells.

    Attributes
    ----------
    k, channels : int
        The window's rows and columns, and how many channels it sees.
    nodes : tuple of int
        The rule's nodes that they are.
    first : int
        Where their weights start among a member's texels of weights.
    """

    k: int
    channels: int
    nodes: tuple[int, ...]
    first: int

    @property
    def texels(self) -> int:
        """How many texels of weights a member has: one for each cell of the window and channel."""
        return self.k * self.k * self.channels

    @property
    def passes(self) -> int:
        """How many passes of loops it takes."""
        return self.k * (self.k + 1)


@lru_cache(maxsize=256)
def convolutions(program: Program) -> tuple[Convolution, ...]:
    """A rule's convolutions, by window, as many at once as a texel has weights."""
    found: list[Convolution] = []
    for (k, channels), nodes in program.convolutions.items():
        for start in range(0, len(nodes), MOST):
            first = found[-1].first + found[-1].texels if found else 0
            found.append(Convolution(k, channels, nodes[start : start + MOST], first))
    return tuple(found)


def n_texels(program: Program) -> int:
    """How many texels of weights a member has."""
    return sum(each.texels for each in convolutions(program))


def passes(program: Program) -> int:
    """How many passes all loops of a step take."""
    return sum(each.passes for each in convolutions(program))


def statements(program: Program) -> int:
    """How many statements the loops' bodies have, for each cell that is computed at once."""
    return sum(each.channels * (1 + 2 * len(each.nodes)) for each in convolutions(program))


def weights(plan: Plan) -> np.ndarray:
    """Every member's weights as texels, float32 (M, texels, 4); 0 where a texel has fewer."""
    out = np.zeros((plan.members, n_texels(plan.program), MOST), np.float32)
    for each in convolutions(plan.program):
        for i, node in enumerate(each.nodes):
            start = plan.program.nodes[node][1]
            end = each.first + each.texels
            out[:, each.first : end, i] = plan.params[:, start : start + each.texels]
    return out
