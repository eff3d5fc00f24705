"""Expression graphs: what a rule computes for one cell, as data that every backend reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Node = tuple[Any, ...]  # (operation, *operands); the operands are indices of earlier nodes

# Each operation: the kinds of its operands, then the kind of its result.
# f is a number of the plan's dtype, b a truth value, u a uint32 that wraps (only the noise hash
# uses it).
OPERATIONS = {
    **dict.fromkeys(("add", "sub", "mul", "div", "minimum", "maximum", "clip_flush"), "fff"),
    "clip": "ffff",
    **dict.fromkeys(("neg", "abs", "sqrt", "exp", "log", "tanh", "flush"), "ff"),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), "ffb"),
    **dict.fromkeys(("and", "or"), "bbb"),
    "not": "bb",
    "where": "bfff",
    **dict.fromkeys(("uadd", "umul", "uxor", "ushr"), "uuu"),
    "float": "uf",
}
# Leaves and their kinds: (const, value), (uconst, value), (param, number), (medium, name),
# (read, dy, dx, channel number), (step,) = steps done, (cell,) = y * W + x, (key,) = noise key,
# (convolve, first, k, channels) = a sum over k rows, k columns and the channels, in this order, of
# the parameters from number `first` on times the cells around.
LEAVES = {
    **dict.fromkeys(("const", "param", "medium", "read", "convolve"), "f"),
    **dict.fromkeys(("uconst", "step", "cell", "key"), "u"),
}
INEXACT = frozenset(("div", "sqrt", "exp", "log", "tanh"))  # rounded differently by some devices
SMALLEST = np.float32(1e-30)  # what a rule writes nearer to zero than this becomes +0

# What each operation means, on arrays: NumPy is the specification.
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "minimum": lambda a, b: np.where(b < a, b, a),
    "maximum": lambda a, b: np.where(b > a, b, a),
    "clip": lambda x, low, high: NUMPY["minimum"](NUMPY["maximum"](x, low), high),
    "clip_flush": lambda x, high: NUMPY["minimum"](np.where(x < SMALLEST, np.float32(0), x), high),
    "flush": lambda x: np.where(np.abs(x) < SMALLEST, np.float32(0), x),
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
    "uadd": np.add,
    "umul": np.multiply,
    "uxor": np.bitwise_xor,
    "ushr": np.right_shift,
    "float": np.float32,
}


@dataclass(frozen=True)
class Program:
    """One step of a rule as a graph: pure data, the same for every backend.

    Attributes
    ----------
    nodes : tuple of Node
        Operations and leaves, each after its operands.
    outputs : tuple of (int, int)
        Channel number and the node that it becomes, for every channel that the rule writes.
    params, media : tuple of str
        The names of its parameters and media, in the order in which a plan holds their values.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[int, int], ...]
    params: tuple[str, ...]
    media: tuple[str, ...]

    @cached_property
    def convolutions(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """The nodes that convolve, by their window's side and its channels: they read the same."""
        found: dict[tuple[int, int], tuple[int, ...]] = {}
        for i, (op, *operands) in enumerate(self.nodes):
            if op == "convolve":
                _, side, channels = operands
                found[side, channels] = (*found.get((side, channels), ()), i)
        return found

    @cached_property
    def reads(self) -> tuple[tuple[int, int, int], ...]:
        """Every (dy, dx, channel number) that it reads, sorted."""
        found = {node[1:] for node in self.nodes if node[0] == "read"}
        for op, *operands in self.nodes:
            if op == "convolve":
                found.update((dy, dx, channel) for _, dy, dx, channel in taps(*operands))
        return tuple(sorted(found))

    @cached_property
    def radius(self) -> int:
        """How many cells away the rule reads, in rows or columns, whichever is more."""
        return max((max(abs(dy), abs(dx)) for dy, dx, _ in self.reads), default=0)

    @cached_property
    def neighboured(self) -> tuple[int, ...]:
        """The channels of which it reads cells beside its own."""
        return tuple(sorted({channel for dy, dx, channel in self.reads if dy or dx}))

    @cached_property
    def held(self) -> tuple[int, ...]:
        """The channels that it reads or writes; all others keep their value."""
        reads = {channel for _, _, channel in self.reads}
        return tuple(sorted(reads | {channel for channel, _ in self.outputs}))

    @cached_property
    def exact(self) -> bool:
        """Whether every backend computes the same bits."""
        return not any(node[0] in INEXACT for node in self.nodes)

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """For each node: 0 is one number a step, 1 differs by cell, 2 by sample and cell."""
        ranks: list[int] = []
        for op, *operands in self.nodes:
            if op in OPERATIONS:
                ranks.append(max(ranks[i] for i in operands))
            else:
                ranks.append({"medium": 1, "cell": 1, "read": 2, "convolve": 2}.get(op, 0))
        return tuple(ranks)


def pruned(
    nodes: list[Node], outputs: dict[int, int], params: tuple[str, ...], media: tuple[str, ...]
) -> Program:
    """The program of the nodes that the outputs need, renumbered."""
    needed = set(outputs.values())
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed and nodes[index][0] in OPERATIONS:
            needed.update(nodes[index][1:])
    number = {old: new for new, old in enumerate(sorted(needed))}
    kept = []
    for old in number:
        op, *operands = nodes[old]
        kept.append((op, *(number[i] for i in operands)) if op in OPERATIONS else nodes[old])
    order = tuple((channel, number[node]) for channel, node in sorted(outputs.items()))
    return Program(tuple(kept), order, params, media)


def without_ones(program: Program, ones: Collection[int]) -> Program:
    """The program without multiplications by the parameters of these numbers, which are 1.

    x * 1 is x, to the bit.
    """
    same: list[int] = []
    nodes: list[Node] = []
    is_one = [n == ("const", 1.0) or (n[0] == "param" and n[1] in ones) for n in program.nodes]
    for i, (op, *operands) in enumerate(program.nodes):
        if op in OPERATIONS:
            operands = [same[j] for j in operands]
        nodes.append((op, *operands))
        factors = [j for j in operands if not is_one[j]] if op == "mul" else operands
        same.append(factors[0] if op == "mul" and len(factors) == 1 else i)
    outputs = {channel: same[i] for channel, i in program.outputs}
    return pruned(nodes, outputs, program.params, program.media)


def media_as_channels(program: Program, names: Sequence[str], channels: int) -> Program:
    """The program that reads these media in channels that it never writes, from `channels` on."""
    if not names:
        return program
    places = {name: channels + i for i, name in enumerate(names)}
    nodes = [
        ("read", 0, 0, places[node[1]]) if node[0] == "medium" and node[1] in places else node
        for node in program.nodes
    ]
    media = tuple(name for name in program.media if name not in places)
    return Program(tuple(nodes), program.outputs, program.params, media)


def taps(first: int, k: int, channels: int) -> Iterator[tuple[int, int, int, int]]:
    """The terms of a convolution in order: parameter number, dy, dx and channel number."""
    reach = range(-(k // 2), k // 2 + 1)
    cells = ((dy, dx, channel) for dy in reach for dx in reach for channel in range(channels))
    for number, cell in enumerate(cells, first):
        yield number, *cell
