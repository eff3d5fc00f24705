"""A rule called with symbols becomes a program; what a rule may call stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from pixelflow.checks import brief, choice, integer
from pixelflow.core.graph import SMALLEST, Node, Program, pruned
from pixelflow.core.limits import MOST_NODES, MOST_REACH
from pixelflow.core.symbols import Graph, Symbol, apply

Shape = tuple[int, ...]


def where(condition, a, b):
    """`a` where the condition holds, else `b`, cell by cell."""
    return apply("where", condition, a, b)


def minimum(a, b):
    """The smaller of two: ``where(b < a, b, a)``."""
    return apply("minimum", a, b)


def maximum(a, b):
    """The larger of two: ``where(b > a, b, a)``."""
    return apply("maximum", a, b)


def clip(x, low, high):
    """`x` held between `low` and `high`."""
    return apply("clip", x, low, high)


def sqrt(x):
    """Square root; a rule that calls it declares a tolerance."""
    return apply("sqrt", x)


def exp(x):
    """Exponential; a rule that calls it declares a tolerance."""
    return apply("exp", x)


def log(x):
    """Natural logarithm; a rule that calls it declares a tolerance."""
    return apply("log", x)


def tanh(x):
    """Hyperbolic tangent; a rule that calls it declares a tolerance."""
    return apply("tanh", x)


def _mix(x):
    """A bijective 32-bit hash: xor-shift-multiply, the constants of C. Wellons' search (2018)."""
    x = apply("umul", apply("uxor", x, apply("ushr", x, 16)), 0x21F0AAAD)
    x = apply("umul", apply("uxor", x, apply("ushr", x, 15)), 0x735A2D97)
    return apply("uxor", x, apply("ushr", x, 15))


def noise(key, step, cell, draw=0):
    """Zero mean and unit deviation from a counter: nearly normal, the same on every device.

    The sum of four independent 16-bit uniforms (Irwin-Hall), taken from two hashes of the
    arguments. All integers below 2**24, so float32 holds the sum exactly.

    Parameters
    ----------
    key, step, cell, draw : uint32 symbols, arrays or numbers
        The member's key, the steps done, the cell's number y * W + x, and which of a rule's
        calls this is.
    """
    with np.errstate(over="ignore"):  # uint32 wraps
        stream = _mix(apply("uadd", apply("umul", draw, 0x9E3779B9), key))
        counter = _mix(apply("uadd", apply("umul", step, 0x9E3779B9), stream))
        first = _mix(apply("uxor", _mix(cell), counter))
        second = _mix(apply("uadd", first, 0x9E3779B9))
    halves = []
    for bits in (first, second):
        high = apply("ushr", bits, 16)
        halves += [high, apply("uxor", bits, apply("umul", high, 65536))]
    total = reduce(lambda a, b: apply("uadd", a, b), halves)
    deviation = np.sqrt((65536.0**2 - 1) / 3)
    return apply("mul", apply("sub", apply("float", total), 2 * 65535), float(1 / deviation))


class _Cell:
    """What a rule sees of the texture while it is traced: its first argument, ``at``."""

    def __init__(self, graph: Graph, channels: tuple[str, ...], media: tuple[str, ...]) -> None:
        self._graph, self._channels, self._media = graph, channels, media
        self._draws = 0

    def __call__(self, dy: int, dx: int, channel: str) -> Symbol:
        dy, dx = (
            integer(f"at()'s {name}", offset, -MOST_REACH, MOST_REACH)
            for name, offset in (("dy", dy), ("dx", dx))
        )
        number = self._channels.index(choice("channel of at()", channel, self._channels))
        return self._graph.add("read", dy, dx, number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = "at(dy, dx, channel), at.medium(name), at.convolve(w), at.step(), at.noise()"
        raise ValueError(f"the rule uses at.{name}; there are {known}")

    def medium(self, name: str) -> Symbol:
        return self._graph.add("medium", choice("medium", name, self._media))

    def convolve(self, weights: _Weights) -> Symbol:
        shape = weights.shape if isinstance(weights, _Weights) else ()
        if len(shape) != 3 or shape[0] != shape[1] or shape[0] % 2 == 0:
            raise ValueError(
                f"at.convolve() expects weights (k, k, channels) of the rule, k odd, got {shape}"
            )
        if shape[2] > len(self._channels):
            raise ValueError(
                f"at.convolve() got weights for {shape[2]} channels; the rule's are "
                f"{self._channels}"
            )
        return self._graph.add("convolve", weights.first, shape[0], shape[2])

    def step(self) -> Symbol:
        return apply("float", self._graph.add("step"))

    def noise(self) -> Symbol:
        key, step, cell = (self._graph.add(name) for name in ("key", "step", "cell"))
        self._draws += 1
        return noise(key, step, cell, self._draws - 1)


class _Weights:
    """A rule's drawn weights while it is traced: ``p.name[i]`` is a part or one number of them."""

    def __init__(self, graph: Graph, first: int, shape: Shape) -> None:
        self._graph, self.first, self.shape = graph, first, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, i: int) -> Any:
        i = integer("the index of weights", i)
        if not -len(self) <= i < len(self):
            raise IndexError(f"weights have {len(self)} parts, the rule asks for number {brief(i)}")
        inner = self.shape[1:]
        first = self.first + i % len(self) * prod(inner)
        if inner:
            return _Weights(self._graph, first, inner)
        return self._graph.add("param", first)


class _Parameters:
    """A rule's second argument, ``p``, while it is traced."""

    def __init__(
        self,
        graph: Graph,
        params: Sequence[str],
        sizes: Mapping[str, int],
        weights: Mapping[str, Shape],
    ) -> None:
        self._values: dict[str, Any] = {
            name: graph.add("param", i) for i, name in enumerate(params)
        }
        self._values |= sizes
        first = len(params)
        for name, shape in weights.items():
            self._values[name] = _Weights(graph, first, shape)
            first += prod(shape)

    def __getattr__(self, name: str) -> Any:
        if name not in self._values:
            declared = tuple(self._values)
            raise ValueError(f"the rule uses p.{name}; its declared parameters are {declared}")
        return self._values[name]


def parameter_names(params: Sequence[str], weights: Mapping[str, Shape]) -> tuple[str, ...]:
    """What a program calls its numbers: the parameters, then each of the weights."""
    drawn = [f"{name}[{i}]" for name, shape in weights.items() for i in range(prod(shape))]
    return (*params, *drawn)


def _flushed(graph: Graph, index: int) -> int:
    """The node with +0 for what is nearer to zero than `SMALLEST`, in the fewest operations."""
    op, *operands = graph.nodes[index]
    if op == "clip":
        low, high = (graph.nodes[i] for i in operands[1:])
        if low == ("const", 0.0) and high[0] == "const" and not _is_tiny(high[1]):
            return graph.add("clip_flush", operands[0], operands[2]).index
    return graph.add("flush", index).index


def _is_tiny(literal: float) -> bool:
    """Whether a literal may be below `SMALLEST` in size, whatever it is rounded to."""
    return min(abs(literal), abs(float(np.float32(literal)))) < float(SMALLEST)


def _extend_tiny(tiny: list[bool], nodes: Sequence[Node]) -> None:
    """Append, for each further node, whether it can be below `SMALLEST` in size and not +0.

    Nodes follow their operands, so that none is looked at twice.
    """
    for op, *operands in nodes[len(tiny) :]:
        if op == "const":
            tiny.append(_is_tiny(operands[0]) and repr(operands[0]) != "0.0")
        else:
            tiny.append(op != "where" or any(tiny[i] for i in operands[1:]))


def trace(
    fn: Callable[..., Any],
    channels: Iterable[str],
    params: Iterable[str],
    media: Iterable[str],
    sizes: Mapping[str, int] = MappingProxyType({}),
    weights: Mapping[str, Shape] = MappingProxyType({}),
) -> Program:
    """Call a rule's function once with symbols and return its graph."""
    channels, params, media = tuple(channels), tuple(params), tuple(media)
    graph = Graph(most=MOST_NODES)
    result = fn(_Cell(graph, channels, media), _Parameters(graph, params, sizes, weights))
    if not isinstance(result, dict) or not result or not set(result) <= set(channels):
        got = brief(list(result)) if isinstance(result, dict) else type(result).__name__
        raise ValueError(
            f"a rule returns a dict from some of its channels {channels} to their next values, "
            f"got {got}"
        )
    outputs: dict[int, int] = {}
    tiny: list[bool] = []
    for name, value in result.items():
        node = graph.operand(value, "f", f"the next {name!r}")
        _extend_tiny(tiny, graph.nodes)
        outputs[channels.index(name)] = _flushed(graph, node) if tiny[node] else node
    return pruned(graph.nodes, outputs, parameter_names(params, weights), media)
