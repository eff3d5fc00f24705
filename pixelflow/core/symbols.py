"""Symbols: the numbers of one cell, not known yet, that write down what a rule does with them."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from pixelflow.checks import brief, float32
from pixelflow.core.graph import LEAVES, NUMPY, OPERATIONS, Node, Program, pruned, taps

# The NumPy functions that a rule may call, because the language has them.
UFUNCS = {f: op for op, f in NUMPY.items() if isinstance(f, np.ufunc) and op[0] != "u"}


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
    """The nodes of a rule being traced; an expression that occurs twice is one node.

    It has at most `most` of them, where that is given.
    """

    def __init__(self, most: int | None = None) -> None:
        self.nodes: list[Node] = []
        self._known: dict[str, int] = {}
        self._most = most

    def add(self, *node: Any) -> Symbol:
        key = repr(node)  # tells -0.0 from 0.0
        if key not in self._known:
            if len(self.nodes) == self._most:
                raise ValueError(f"its graph must have at most {self._most} nodes, got more")
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
            raise TypeError(f"{op} in a rule expects symbols and numbers, got {brief(value)}")
        if kind == "u":
            return self.add("uconst", int(float(value))).index
        if type(value) in (np.float64, np.longdouble):
            raise TypeError(f"{op} in a rule rounds numbers itself: give float(x), not {value!r}")
        return self.add("const", float32(f"a number that {op} in a rule is given", value)).index


def apply(op: str, *args: Any) -> Any:
    """One operation: a new node when an argument is a symbol, else NumPy's result.

    Numbers become float64 beside an array of float64, else float32.
    """
    graph = next((a.graph for a in args if isinstance(a, Symbol)), None)
    if graph is None:
        wide = any(isinstance(a, np.ndarray) and a.dtype == np.float64 for a in args)
        kinds = {"f": np.float64 if wide else np.float32, "u": np.uint32}
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


@lru_cache(maxsize=256)
def rounded(program: Program, dtype: np.dtype) -> Program:
    """The program with its literals rounded to a plan's dtype; equal ones become one node."""
    graph = Graph()
    number: list[int] = []
    for op, *operands in program.nodes:
        inner: list[Any] = [number[i] for i in operands] if op in OPERATIONS else operands
        if op == "const":
            inner = [float(np.asarray(operands[0], dtype))]
        number.append(graph.add(op, *inner).index)
    outputs = {channel: number[i] for channel, i in program.outputs}
    return pruned(graph.nodes, outputs, program.params, program.media)


@lru_cache(maxsize=256)
def expanded(program: Program) -> Program:
    """The program with each convolution written out as products and sums."""
    graph = Graph()
    number: list[int] = []
    for op, *operands in program.nodes:
        if op == "convolve":
            total: Any = None
            for weight, *cell in taps(*operands):
                product = graph.add("param", weight) * graph.add("read", *cell)
                total = product if total is None else total + product
            number.append(total.index)
        else:
            inner = [number[i] for i in operands] if op in OPERATIONS else operands
            number.append(graph.add(op, *inner).index)
    outputs = {channel: number[i] for channel, i in program.outputs}
    return pruned(graph.nodes, outputs, program.params, program.media)
