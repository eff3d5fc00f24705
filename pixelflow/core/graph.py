"""Expression graphs: what a rule computes for one cell, as data that every backend reads."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

Node = tuple[Any, ...]  # (operation, *operands); the operands are indices of earlier nodes

# Each operation: the kinds of its operands, then the kind of its result.
# f is float32, b a truth value, u a uint32 that wraps (only the noise hash uses it).
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
# Leaves and their kinds: (const, value), (uconst, value), (param, name), (medium, name),
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
# The NumPy functions that a rule may call, because the language has them.
UFUNCS = {f: op for op, f in NUMPY.items() if isinstance(f, np.ufunc) and op[0] != "u"}


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


def without_ones(program: Program, ones: Collection[str]) -> Program:
    """The program without multiplications by parameters that are 1: x * 1 is x, to the bit."""
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


def taps(first: int, k: int, channels: int) -> Iterator[tuple[int, int, int, int]]:
    """The terms of a convolution in order: parameter number, dy, dx and channel number."""
    reach = range(-(k // 2), k // 2 + 1)
    cells = ((dy, dx, channel) for dy in reach for dx in reach for channel in range(channels))
    for number, cell in enumerate(cells, first):
        yield number, *cell


@lru_cache(maxsize=256)
def expanded(program: Program) -> Program:
    """The program with each convolution written out as products and sums."""
    graph = Graph()
    number: list[int] = []
    for op, *operands in program.nodes:
        if op == "convolve":
            total: Any = None
            for weight, *cell in taps(*operands):
                product = graph.add("param", program.params[weight]) * graph.add("read", *cell)
                total = product if total is None else total + product
            number.append(total.index)
        else:
            inner = [number[i] for i in operands] if op in OPERATIONS else operands
            number.append(graph.add(op, *inner).index)
    outputs = {channel: number[i] for channel, i in program.outputs}
    return pruned(graph.nodes, outputs, program.params, program.media)


def _operator(op: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Symbol, other: Any) -> Any:
        return apply(op, other, self) if swapped else apply(op, self, other)

    return method


class Symbol:
    """A number or condition of one cell that is not known yet: what a traced rule works on."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph, self.index = graph, index

    def __bool__(self) -> bool:
        raise TypeError(
            "a rule has no Python branches: use where(condition, a, b); "
            "& | ~ in place of and, or, not; minimum and maximum of pixelflow.core"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's operators and functions, where the rule language has them."""
        if ufunc not in UFUNCS or method != "__call__" or kwargs:
            return self.__array_function__(ufunc)
        return apply(UFUNCS[ufunc], *inputs)

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(
            f"a rule can't call numpy.{function.__name__}: it may call "
            "clip where minimum maximum sqrt exp log tanh of pixelflow.core"
        )

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", swapped=True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", swapped=True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", swapped=True)
    __lt__, __le__ = _operator("lt"), _operator("le")
    __gt__, __ge__ = _operator("gt"), _operator("ge")
    __eq__, __ne__ = _operator("eq"), _operator("ne")  # pyright: ignore[reportAssignmentType]
    __and__, __or__ = _operator("and"), _operator("or")

    def __neg__(self) -> Symbol:
        return apply("neg", self)

    def __abs__(self) -> Symbol:
        return apply("abs", self)

    def __invert__(self) -> Symbol:
        return apply("not", self)


class Graph:
    """The nodes of a rule being traced; an expression that occurs twice is one node."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[str, int] = {}

    def add(self, *node: Any) -> Symbol:
        key = repr(node)  # tells -0.0 from 0.0
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, self._known[key])

    def kind(self, index: int) -> str:
        op = self.nodes[index][0]
        return LEAVES[op] if op in LEAVES else OPERATIONS[op][-1]

    def operand(self, value: Any, kind: str, op: str) -> int:
        """The node of one operand: a symbol of the right kind, or a number made a literal."""
        if isinstance(value, Symbol):
            if value.graph is not self:
                raise ValueError(f"{op} got a symbol kept from another call of a rule")
            if self.kind(value.index) != kind:
                names = {"f": "a number", "b": "a condition such as a < b", "u": "an integer"}
                got = names[self.kind(value.index)]
                hint = ": where(condition, 1, 0) makes it a number" if kind == "f" else ""
                raise TypeError(f"{op} expects {names[kind]}, got {got}{hint}")
            return value.index
        if kind == "b" or isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{op} in a rule expects symbols and numbers, got {value!r}")
        if kind == "u":
            return self.add("uconst", int(float(value))).index
        if type(value) in (np.float64, np.longdouble):
            raise TypeError(f"{op} in a rule computes in float32: give float(x), not {value!r}")
        literal = float(value)
        if not abs(literal) <= np.finfo(np.float32).max:
            raise ValueError(f"{op} in a rule got {value!r}, which float32 cannot hold")
        return self.add("const", float(np.float32(literal))).index


def apply(op: str, *args: Any) -> Any:
    """One operation: a new node when an argument is a symbol, else NumPy's result in float32."""
    graph = next((a.graph for a in args if isinstance(a, Symbol)), None)
    if graph is None:
        kinds = {"f": np.float32, "u": np.uint32}
        args = tuple(
            kinds[k](a) if k in kinds and not isinstance(a, np.ndarray) else a
            for k, a in zip(OPERATIONS[op], args, strict=False)
        )
        return NUMPY[op](*args)
    operands = [graph.operand(a, k, op) for a, k in zip(args, OPERATIONS[op], strict=False)]
    if op in BOUNDED and any(graph.nodes[i][0] not in ("const", "param") for i in operands[1:]):
        # Only against numbers known to be finite are NumPy's and C's minimum this one.
        return BOUNDED[op](*(Symbol(graph, i) for i in operands))
    return graph.add(op, *operands)


# What these mean where they have no operation of their own.
BOUNDED: dict[str, Callable[..., Any]] = {
    "minimum": lambda a, b: apply("where", b < a, b, a),
    "maximum": lambda a, b: apply("where", b > a, b, a),
    "clip": lambda x, low, high: apply("minimum", apply("maximum", x, low), high),
}
