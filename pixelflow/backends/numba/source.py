"""A rule's graph as a module for Numba: one loop over a sample's cells, all steps in cache."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path

from pixelflow.backends.emit import NUMBA, statements
from pixelflow.core.graph import OPERATIONS, SMALLEST, Program

LANES, TOGETHER = 16, 4  # cells at once for which compiled code makes so many sums
MADE_WITH = ("convolve", "probe", "select", "windows")  # files whose code emitted modules hold
MOST_UNROLLED = 16  # cells on a side of a halo: LLVM takes minutes for hundreds
VECTOR = LANES * TOGETHER  # of fewer sums it makes more at once, up to this for one

# Planes are padded by the rule's radius and flat, so that one loop without branches runs over
# a whole texture: its cells between two rows are computed too, and the next halo overwrites them.
# Planes lie a multiple of 4096 bytes and a bit apart: at exactly a multiple, a store to one and a
# load from the next look like the same address to the processor, and the load waits.
TEMPLATE = '''"""One rule for the numba backend, made by pixelflow {made_by} from its graph."""

import numpy as np
from numba import njit

from pixelflow.backends.numba.convolve import convolution, mixture
from pixelflow.backends.numba.probe import read
from pixelflow.backends.numba.select import select
from pixelflow.backends.numba.windows import see

f32, u32, u64 = np.float32, np.uint32, np.uint64  # an unsigned index has no sign to be checked
SMALLEST = f32({smallest!r})
WRITTEN = {written}  # which channels the rule writes
{convolvers}
mix = mixture({some}, {lanes})


@njit(nogil=True, error_model="numpy", fastmath={fastmath})
def step(a, b, sums, params, media, cells, key, done, height, width):
    pitch = width + {twice}
    first = {radius} * pitch + {radius}
    n = (height - 1) * pitch + width
{convolutions}
{uniform}
{views}
{loops}


@njit(nogil=True)
def halo(plane, height, width, rows, cols):
    high, wide, pitch = u64(height), u64(width), u64(width + {twice})
    zero = cols[0] < 0
{sources}
    at = u64({radius}) * pitch
    for y in range(height):
{columns}
        at += pitch
    at = u64(0)
    for x in range(width + {twice}):
{ends}
        at += u64(1)


@njit(nogil=True)
def load(latents, index, plane, height, width):
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        for x in range(width):
            source = index[y, x]
            plane[first + x] = latents[source] if source >= 0 else f32(0)


@njit(nogil=True)
def encode(seen, kernel, bias, low, high, root, sums, a, height, width):
    for c in range(0, {channels}, {some}):
        for block in range(len(seen)):
            mix(seen, kernel[c : c + {some}], sums, block)
        for j in range({some}):
            for y in range(height):
                first = (y + {radius}) * (width + {twice}) + {radius}
                for x in range(width):
                    value = sums[j, y * width + x] + bias[c + j]
                    value = min(max(value, low), high)
                    a[c + j, first + x] = np.sqrt(value) if root else value


@njit(nogil=True)
def store(a, out, height, width):
{planes}
    flat = out.reshape(height * width * {channels})
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        start = y * width * {channels}
        for x in range(width):
{interleave}


@njit(nogil=True)
def run(
    given, local, index, driven, params, media, cells, keys, rows, cols, times, probe, textures,
    features, start, stop,
):
    members, height, width = len(params), index.shape[1], index.shape[2]
    size = (height + {twice}) * (width + {twice}) + {beyond}
    size += ({spread} - size) % 1024
    planes = np.zeros((2, {channels}, size), f32)
    a, b = planes[0], planes[1]
    sums = np.zeros(({n_sums}, size), f32)
    line = np.empty(width, f32)
    window, contrast, kernel, bias, low, high, root = local
    seen, shown = np.empty((len(window), window.shape[1] * window.shape[2]), f32), -1
    for im in range(start, stop):
        i, m = im // members, im % members
        if len(kernel):
            if i != shown:
                see(given[i, 0], window, contrast, seen)
                shown = i
            encode(seen, kernel[m], bias[m], low, high, root, sums, a, height, width)
        else:
            latents = given[i, min(m, given.shape[1] - 1)]
            for c in range({channels}):
                if driven[c]:
                    load(latents, index[c], a[c], height, width)
                elif WRITTEN[c]:
                    a[c] = f32(0)
        for c in range({channels}):
            if driven[c] and not WRITTEN[c]:
                b[c] = a[c]
        snapshot = 0
        for done in range(times[-1] + 1):
            if done == times[snapshot]:
                if len(textures):
                    store(a, textures[i, m, snapshot], height, width)
                else:
                    read(a, {radius}, width, probe, line, features[i, m, snapshot])
                snapshot += 1
            if done < times[-1]:
{halos}
                step(a, b, sums, params[m], media[m], cells, keys[m], u32(done), height, width)
                a, b = b, a
'''


@lru_cache(maxsize=256)
def source(program: Program, channels: int, exact: bool) -> str:
    """The module that runs a rule on textures of that many channels."""
    leaves, views = _leaves(program)
    some = _together(channels)
    sums, convolvers, convolving = _convolving(program)
    leaves |= {i: f"s{i}[i]" for i in sums}
    views |= {i: f"sums[{row}]" for i, row in sums.items()}
    lines = statements(program, NUMBA, leaves)
    written = dict(program.outputs)
    ends = [f"o{c} = b[{c}, first : first + n]" for c in written]
    uniform = [line for line, rank in zip(lines, program.ranks, strict=True) if rank == 0]
    loops = []
    for outputs, nodes in _apart(program):
        loops += ["for i in range(n):", *(f"    {lines[i]}" for i in nodes)]
        loops += [f"    o{c}[i] = v{i}" for c, i in outputs]
    return TEMPLATE.format(
        smallest=float(SMALLEST),
        made_by=_made_by(),
        convolvers=_indented(convolvers, 0),
        convolutions=_indented(convolving, 4),
        n_sums=max(len(sums), some),
        some=some,
        lanes=encoded_at_once(channels),
        beyond=VECTOR,
        **_halo_lines(program.radius),
        spread=512 // channels // 16 * 16,
        written=tuple(c in written for c in range(channels)),
        radius=program.radius,
        twice=2 * program.radius,
        channels=channels,
        fastmath=False if exact else {"contract", "afn", "arcp", "nsz"},
        uniform=_indented(uniform, 4),
        views=_indented([*(f"{leaves[i][:-3]} = {view}" for i, view in views.items()), *ends], 4),
        loops=_indented(loops, 4),
        planes=_indented([f"p{c} = a[{c}]" for c in range(channels)], 4),
        interleave=_indented(
            [f"flat[start + {channels} * x + {c}] = p{c}[first + x]" for c in range(channels)], 12
        ),
        halos=_indented(
            [f"halo(a[{c}], height, width, rows, cols)" for c in program.neighboured], 16
        ),
    )


def _apart(program: Program) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """Outputs that have no operation in common, with the nodes of each that differ by cell.

    Each gets a loop of its own: one with the arrays of several would be too many for LLVM to make
    sure that none overlap, and stay scalar.
    """
    parts: list[tuple[list[tuple[int, int]], set[int]]] = []
    for output in program.outputs:
        needed, waiting = set(), [output[1]]
        while waiting:
            i = waiting.pop()
            if i not in needed and program.ranks[i] > 0:
                needed.add(i)
                op, *operands = program.nodes[i]
                waiting += operands if op in OPERATIONS else []
        outputs = [output]
        for part in list(parts):
            if any(program.nodes[i][0] in OPERATIONS for i in part[1] & needed):
                parts.remove(part)
                outputs, needed = [*part[0], *outputs], needed | part[1]
        parts.append((outputs, needed))
    return [(outputs, sorted(nodes)) for outputs, nodes in parts]


def _leaves(program: Program) -> tuple[dict[int, str], dict[int, str]]:
    """What the step calls each leaf, and the arrays from which those that differ by cell come."""
    reads = [i for i, node in enumerate(program.nodes) if node[0] == "read"]
    media = [i for i, node in enumerate(program.nodes) if node[0] == "medium"]
    leaves = {i: f"r{i}[i]" for i in [*reads, *media]}
    views = {i: _view(program.nodes[i]) for i in reads}
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "param":
            leaves[i] = f"params[{program.param_numbers[operands[0]]}]"
        elif op == "medium":
            views[i] = f"media[{program.media.index(operands[0])}, first : first + n]"
        elif op == "cell":
            leaves[i] = "cells[first + i]"
        elif op in ("step", "key"):
            leaves[i] = {"step": "done", "key": "key"}[op]
    return leaves, views


def _convolving(program: Program) -> tuple[dict[int, int], list[str], list[str]]:
    """Which row of `sums` each convolution fills, and the lines that make and call what does it.

    Cells are convolved in one run over a plane or row by row, whichever computes fewer.
    """
    windows: dict[tuple[int, int], list[int]] = {}
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "convolve":
            windows.setdefault((operands[1], operands[2]), []).append(i)
    parts = [
        (window, nodes[start : start + TOGETHER])
        for window, nodes in windows.items()
        for start in range(0, len(nodes), TOGETHER)
    ]
    rows: dict[int, int] = {}
    made, calls = [], []
    for j, (window, nodes) in enumerate(parts):
        lanes = _lanes(len(nodes))
        firsts = tuple(program.nodes[i][1] for i in nodes)
        made.append(f"convolve{j} = convolution({firsts}, *{window}, {lanes})")
        calls += [
            f"by_row = height * -(-width // {lanes}) < -(-n // {lanes})",
            "high, wide = (height, width) if by_row else (1, n)",
            f"some = sums[{len(rows)}:]",
            "for y in range(high):",
            f"    for at in range(y * pitch, y * pitch + wide, {lanes}):",
            f"        convolve{j}(a, params, some, first + at, at, pitch)",
        ]
        rows |= {i: len(rows) + k for k, i in enumerate(nodes)}
    return rows, made, calls


def encoded_at_once(channels: int) -> int:
    """Of how many cells a local map makes latent values at once, for so many channels."""
    return _lanes(_together(channels))


def _together(channels: int) -> int:
    """Of how many channels, all of which take as many turns."""
    return max(n for n in range(1, TOGETHER + 1) if channels % n == 0)


def _lanes(sums: int) -> int:
    return LANES * (TOGETHER // sums)


@cache
def _made_by() -> str:
    """What the compiled code of an emitted module holds of this package: its cache can't tell."""
    files = (Path(__file__).with_name(f"{name}.py") for name in MADE_WITH)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _halo_lines(radius: int) -> dict[str, str]:
    """The lines of `halo`: where each cell beyond an edge is, and where it comes from."""
    sources, columns, ends = ["pass"], ["pass"], ["pass"]
    if radius > MOST_UNROLLED:
        columns = [
            f"for j in range({2 * radius}):",
            f"    to = at + (u64(j) if j < {radius} else wide + u64(j))",
            f"    source = at + u64({radius} + max(cols[j], 0))",
            "    plane[to] = select(zero, f32(0), plane[source])",
        ]
        ends = [
            f"for j in range({2 * radius}):",
            f"    to = at + (u64(j) if j < {radius} else high + u64(j)) * pitch",
            f"    source = at + u64({radius} + max(rows[j], 0)) * pitch",
            "    plane[to] = select(zero, f32(0), plane[source])",
        ]
    for j in range(2 * radius if radius <= MOST_UNROLLED else 0):
        x = f"u64({j})" if j < radius else f"wide + u64({j})"
        y = f"u64({j})" if j < radius else f"(high + u64({j}))"
        sources += [f"c{j} = u64({radius} + max(cols[{j}], 0))"]
        sources += [f"r{j}, e{j} = u64({radius} + max(rows[{j}], 0)) * pitch, {y} * pitch"]
        columns += [f"plane[at + {x}] = select(zero, f32(0), plane[at + c{j}])"]
        ends += [f"plane[at + e{j}] = select(zero, f32(0), plane[at + r{j}])"]
    lines = {"sources": (sources, 4), "columns": (columns, 8), "ends": (ends, 8)}
    return {name: _indented(text, spaces) for name, (text, spaces) in lines.items()}


def _view(node: tuple) -> str:
    """The cells that a read sees, as a slice of a flat plane."""
    _, dy, dx, channel = node
    start = f"first + {dy} * pitch + {dx}"
    return f"a[{channel}, {start} : {start} + n]"


def _indented(lines: list[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
