"""A rule's graph as NumPy calls whose operands and results are bound to memory once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelflow.backends.layout import cell_numbers, padded
from pixelflow.backends.planes import Texture
from pixelflow.core.graph import NUMPY, OPERATIONS, SMALLEST, Program
from pixelflow.core.plan import Plan
from pixelflow.core.symbols import expanded

DTYPES = {"b": np.dtype(np.bool_), "u": np.dtype(np.uint32)}  # "f" is the plan's
Instruction = tuple[Callable[..., object], tuple[np.ndarray, ...]]


def static_values(plan: Plan, member: int) -> dict[int, np.ndarray]:
    """The nodes whose value is known before the first step, the same for every sample."""
    program, (height, width, _) = expanded(plan.program), plan.shape
    media = padded(plan.media[member], program.radius)
    values: dict[int, Any] = {}
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "const":
            values[i] = plan.dtype.type(operands[0])
        elif op == "uconst":
            values[i] = np.uint32(operands[0])
        elif op == "param":
            values[i] = plan.params[member, operands[0]]
        elif op == "key":
            values[i] = plan.keys[member]
        elif op == "cell":
            values[i] = cell_numbers(height, width, program.radius)
        elif op == "medium":
            values[i] = media[program.media.index(operands[0])]
        elif op in OPERATIONS and all(j in values for j in operands):
            values[i] = NUMPY[op](*(values[j] for j in operands))
    return values


def _where(condition: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    if out is not b:
        np.copyto(out, b)
    np.copyto(out, a, where=condition)


def _convert(a: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, a, casting="unsafe")


def _minimum(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.minimum(a, b, out=out)


def _maximum(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.maximum(a, b, out=out)


def _clip(x: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
    np.clip(x, low, high, out=out)


def _flush(x: np.ndarray, out: np.ndarray) -> None:
    _zero_except(np.abs(x) >= SMALLEST, x, out)


def _clip_flush(x: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
    np.clip(x, 0, high, out=out)
    _zero_except(out >= SMALLEST, out, out)


def _zero_except(keep: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    if not keep.all():
        np.multiply(x, keep, out=out)
        np.add(out, 0, out=out)  # -0 becomes +0
    elif out is not x:
        np.copyto(out, x)


# What writes its result into the last operand, where that is not the specification's ufunc.
# A rule's minimum has a finite number on the right, where NumPy's is the same.
IN_PLACE = {
    **NUMPY,
    "minimum": _minimum,
    "maximum": _maximum,
    "clip": _clip,
    "clip_flush": _clip_flush,
    "flush": _flush,
    "where": _where,
    "float": _convert,
}


@dataclass
class _Buffers:
    """Scratch arrays, handed out again once their last reader has run."""

    shapes: dict[int, tuple[int, ...]]  # by rank
    dtypes: dict[str, np.dtype]  # by kind
    free: dict[tuple[int, str], list[np.ndarray]] = field(default_factory=dict)
    owner: dict[int, tuple[int, str]] = field(default_factory=dict)

    def take(self, rank: int, kind: str) -> np.ndarray:
        stock = self.free.setdefault((rank, kind), [])
        array = stock.pop() if stock else np.empty(self.shapes[rank], self.dtypes[kind])
        self.owner[id(array)] = (rank, kind)
        return array

    def give_back(self, arrays: Iterable[np.ndarray]) -> None:
        for array in arrays:
            if id(array) in self.owner:
                self.free[self.owner[id(array)]].append(array)


def instructions(
    plan: Plan, static: dict[int, np.ndarray], step: np.ndarray, now: Texture, after: Texture
) -> Iterator[Instruction]:
    """The calls that make `after` from `now`, every operand bound to its memory."""
    program = expanded(plan.program)
    nodes, outputs = program.nodes, dict(program.outputs)
    last = {j: i for i, (op, *operands) in enumerate(nodes) if op in OPERATIONS for j in operands}
    last |= dict.fromkeys(outputs.values(), len(nodes))
    target = _targets(program, last, static)
    shapes = {0: (), 1: (now.size,), 2: now.view(0, 0, 0).shape}
    buffers = _Buffers(shapes, {"f": plan.dtype, **DTYPES})
    goal = {channel: after.view(0, 0, channel) for channel in outputs}
    value = dict(static)
    for i, (op, *operands) in enumerate(nodes):
        if i in value:
            continue
        if op == "read":
            value[i] = now.view(*operands)
        elif op == "step":
            value[i] = step
        else:
            ending = {j for j in operands if last[j] == i}
            # where(c, a, b) puts b into its result before it reads a.
            late = {j for j in ending if op == "where" and j == operands[1]}
            buffers.give_back(value[j] for j in ending - late)
            if i in target:
                value[i] = goal[target[i]]
            else:
                value[i] = buffers.take(program.ranks[i], OPERATIONS[op][-1])
            buffers.give_back(value[j] for j in late)
            arguments = [value[j] for j in operands]
            if op in ("minimum", "maximum") and program.ranks[i] > 0:
                # Against one number, NumPy's loop is four times slower than against many.
                arguments[1] = np.full(now.size, arguments[1])
            yield IN_PLACE[op], (*arguments, value[i])
    for channel, i in outputs.items():
        if target.get(i) != channel:
            yield _convert, (value[i], goal[channel])


def _targets(
    program: Program, last: dict[int, int], static: dict[int, np.ndarray]
) -> dict[int, int]:
    """The nodes computed right in a channel of the next texture: outputs, and what ends in them."""
    target: dict[int, int] = {}

    def free(i: int) -> bool:
        op = program.nodes[i][0]
        is_plane = op in OPERATIONS and OPERATIONS[op][-1] == "f" and program.ranks[i] == 2
        return is_plane and i not in static and i not in target

    for channel, i in program.outputs:
        candidate: int | None = i if free(i) else None
        while candidate is not None:
            target[candidate] = channel
            op, *operands = program.nodes[candidate]
            inner = operands[2:] if op == "where" else operands
            user = candidate
            candidate = next((j for j in inner if last[j] == user and free(j)), None)
    return target
