"""NumPy, the reference: a rule's graph as ufuncs with preallocated results, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelflow.backends.layout import cell_numbers, halo_sources, n_threads, over_samples, padded
from pixelflow.core.graph import NUMPY, OPERATIONS, SMALLEST, Program
from pixelflow.core.plan import Plan

PLANE_BYTES = 2**20  # of one channel of a block: small for the cache, large for the interpreter
DTYPES = {"f": np.dtype(np.float32), "b": np.dtype(np.bool_), "u": np.dtype(np.uint32)}
Instruction = tuple[Callable[..., object], tuple[np.ndarray, ...]]


def describe() -> str:
    """What it runs on; NumPy is always there."""
    return f"NumPy {np.__version__} on {n_threads()} threads"


def trajectories(plan: Plan, latents: np.ndarray, out: np.ndarray, exact: bool) -> None:
    """See `pixelflow.backends.registry.Backend`; always exact."""
    height, width, _ = plan.shape
    plane = (height + 2 * plan.program.radius) * (width + 2 * plan.program.radius)
    block = max(1, PLANE_BYTES // (plane * DTYPES["f"].itemsize))
    for m in range(plan.members):
        seen, textures = latents[:, min(m, latents.shape[1] - 1)], out[:, m]
        over_samples(
            lambda start, stop, m=m, seen=seen, textures=textures: _run(
                plan, m, seen[start:stop], textures[start:stop]
            ),
            len(latents),
            block,
        )


def _run(plan: Plan, member: int, latents: np.ndarray, out: np.ndarray) -> None:
    """One block of samples through all steps."""
    with np.errstate(all="ignore"):  # cells between rows hold nothing that matters
        now, after = Texture(plan, len(latents)), Texture(plan, len(latents))
        _load(plan, latents, now, after)
        static = _static(plan, member)
        step = np.zeros((), np.uint32)
        forth = list(_instructions(plan, static, step, now, after))
        back = list(_instructions(plan, static, step, after, now))
        for done in range(plan.times[-1] + 1):
            if done in plan.times:
                out[:, plan.times.index(done)] = np.moveaxis(now.inside, 0, -1)
            if done == plan.times[-1]:
                return
            step[...] = done
            now.refresh_halo()
            for function, operands in forth:
                function(*operands)
            now, after, forth, back = after, now, back, forth


class Texture:
    """The channels of a block of samples as padded planes, each channel contiguous."""

    def __init__(self, plan: Plan, n: int) -> None:
        height, width, channels = plan.shape
        radius = self.radius = plan.program.radius
        self.pitch, self.size = width + 2 * radius, (height + 2 * radius) * (width + 2 * radius)
        self.margin = radius * self.pitch + radius  # so that a shifted view stays inside
        self.flat = np.zeros((channels, 2 * self.margin + n * self.size), np.float32)
        padded_shape = (channels, n, height + 2 * radius, self.pitch)
        middle = self.flat[:, self.margin : self.margin + n * self.size]
        self.planes = middle.reshape(padded_shape)
        self.inside = self.planes[:, :, radius : radius + height, radius : radius + width]
        self.rows = halo_sources(height, radius, plan.boundary)
        self.cols = halo_sources(width, radius, plan.boundary)
        reads = (node[1:] for node in plan.program.nodes if node[0] == "read")
        self.with_halo = sorted({c for dy, dx, c in reads if dy or dx})

    def view(self, dy: int, dx: int, channel: int) -> np.ndarray:
        """All cells of a channel, moved: element (i, k) is the neighbour of cell k of sample i."""
        n = self.planes.shape[1]
        start = self.margin + dy * self.pitch + dx
        return self.flat[channel, start : start + n * self.size].reshape(n, self.size)

    def refresh_halo(self) -> None:
        """Fill the cells beyond the edge of every channel whose neighbours are read."""
        radius = self.radius
        for channel in self.with_halo:
            planes, inside = self.planes[channel], self.inside[channel]
            for j, source in enumerate(self.cols):
                to = j if j < radius else inside.shape[2] + j
                planes[:, radius:-radius, to] = inside[:, :, source] if source >= 0 else 0
            for j, source in enumerate(self.rows):
                to = j if j < radius else inside.shape[1] + j
                planes[:, to] = planes[:, radius + source] if source >= 0 else 0


def _load(plan: Plan, latents: np.ndarray, now: Texture, after: Texture) -> None:
    """Spread the latent values over the texture; what no rule writes stands in both."""
    written = dict(plan.program.outputs)
    sources = np.pad(latents, ((0, 0), (0, 1)))  # index -1 takes the zero at the end
    for channel in range(plan.shape[2]):
        index = plan.encoder.index[..., channel]
        if (index >= 0).any():
            now.inside[channel] = sources[:, index]
            if channel not in written:
                after.inside[channel] = now.inside[channel]


def _static(plan: Plan, member: int) -> dict[int, np.ndarray]:
    """The nodes whose value is known before the first step, the same for every sample."""
    program, (height, width, _) = plan.program, plan.shape
    media = padded(plan.media[member], program.radius)
    values: dict[int, Any] = {}
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "const":
            values[i] = np.float32(operands[0])
        elif op == "uconst":
            values[i] = np.uint32(operands[0])
        elif op == "param":
            values[i] = plan.params[member, program.params.index(operands[0])]
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


def _saturate(x: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
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
    "saturate": _saturate,
    "flush": _flush,
    "where": _where,
    "float": _convert,
}


@dataclass
class _Buffers:
    """Scratch arrays, handed out again once their last reader has run."""

    shapes: dict[int, tuple[int, ...]]  # by rank
    free: dict[tuple[int, str], list[np.ndarray]] = field(default_factory=dict)
    owner: dict[int, tuple[int, str]] = field(default_factory=dict)

    def take(self, rank: int, kind: str) -> np.ndarray:
        stock = self.free.setdefault((rank, kind), [])
        array = stock.pop() if stock else np.empty(self.shapes[rank], DTYPES[kind])
        self.owner[id(array)] = (rank, kind)
        return array

    def give_back(self, arrays: Iterable[np.ndarray]) -> None:
        for array in arrays:
            if id(array) in self.owner:
                self.free[self.owner[id(array)]].append(array)


def _instructions(
    plan: Plan, static: dict[int, np.ndarray], step: np.ndarray, now: Texture, after: Texture
) -> Iterator[Instruction]:
    """The calls that make `after` from `now`, every operand bound to its memory."""
    program = plan.program
    nodes, outputs = _simplified(program, static)
    last = {j: i for i, (op, *operands) in nodes.items() if op in OPERATIONS for j in operands}
    last |= dict.fromkeys(outputs.values(), len(program.nodes))
    target = _targets(program, nodes, outputs, last, static)
    buffers = _Buffers({0: (), 1: (now.size,), 2: now.view(0, 0, 0).shape})
    goal = {channel: after.view(0, 0, channel) for channel in outputs}
    value = dict(static)
    for i, (op, *operands) in nodes.items():
        if i in value:
            continue
        if op == "read":
            value[i] = now.view(*operands)
        elif op == "step":
            value[i] = step
        else:
            ending = {j for j in operands if last[j] == i}
            late = {
                j for j in ending if op == "where" and j == operands[1]
            }  # read after b is written
            buffers.give_back(value[j] for j in ending - late)
            if i in target:
                value[i] = goal[target[i]]
            else:
                value[i] = buffers.take(program.ranks[i], OPERATIONS[op][-1])
            buffers.give_back(value[j] for j in late)
            arguments = [value[j] for j in operands]
            if op in ("minimum", "maximum"):  # NumPy's loop against one number is four times slower
                arguments[1] = np.full(now.size, arguments[1])
            yield IN_PLACE[op], (*arguments, value[i])
    for channel, i in outputs.items():
        if target.get(i) != channel:
            yield _convert, (value[i], goal[channel])


def _simplified(
    program: Program, static: dict[int, np.ndarray]
) -> tuple[dict[int, tuple], dict[int, int]]:
    """The program's nodes and outputs without multiplications by one, which change nothing."""
    same: dict[int, int] = {}
    nodes = {}
    for i, (op, *operands) in enumerate(program.nodes):
        same[i] = i
        if op in OPERATIONS:
            operands = [same[j] for j in operands]
            ones = [
                j for j in operands if j in static and np.ndim(static[j]) == 0 and static[j] == 1
            ]
            if op == "mul" and ones and i not in static:
                same[i] = operands[1] if ones[0] == operands[0] else operands[0]
                continue
        nodes[i] = (op, *operands)
    return nodes, {channel: same[i] for channel, i in program.outputs}


def _targets(
    program: Program,
    nodes: dict[int, tuple],
    outputs: dict[int, int],
    last: dict[int, int],
    static: dict[int, np.ndarray],
) -> dict[int, int]:
    """The nodes computed right in a channel of the next texture: outputs, and what ends in them."""
    target: dict[int, int] = {}

    def free(i: int) -> bool:
        return (
            nodes[i][0] in OPERATIONS
            and program.ranks[i] == 2
            and i not in static
            and i not in target
        )

    for channel, i in outputs.items():
        candidate: int | None = i if free(i) else None
        while candidate is not None:
            target[candidate] = channel
            op, *operands = nodes[candidate]
            inner = operands[2:] if op == "where" else operands
            user = candidate
            candidate = next(
                (
                    j
                    for j in inner
                    if last[j] == user and free(j) and OPERATIONS[nodes[j][0]][-1] == "f"
                ),
                None,
            )
    return target
