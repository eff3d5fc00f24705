"""A rule's graph as a module for Numba: one loop over a sample's cells, all steps in cache."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path

from pixelflow.backends.emit import NUMBA, statements
from pixelflow.backends.numba.template import TEMPLATE
from pixelflow.core.graph import OPERATIONS, SMALLEST, Program

LANES, TOGETHER = 16, 4  # cells at once for which compiled code makes so many sums
MADE_WITH = ("convolve", "probe", "select", "windows")  # files whose code emitted modules hold
MOST_UNROLLED = 16  # cells on a side of a halo: LLVM takes minutes for hundreds
VECTOR = LANES * TOGETHER  # of fewer sums it makes more at once, up to this for one


@lru_cache(maxsize=256)
def source(program: Program, channels: int, exact: bool, dtype: str = "float32") -> str:
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
    halos = [f"halo(a[{c}], height, width, rows, cols)" for c in program.neighboured]
    return TEMPLATE.format(
        dtype=dtype,
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
        halos=_indented(halos, 16),
        driven_halos=_indented(halos, 20),
        checked_halos=_indented(halos, 12),
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
            leaves[i] = f"params[{operands[0]}]"
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
    parts = [
        (window, nodes[start : start + TOGETHER])
        for window, nodes in program.convolutions.items()
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
            "    plane[to] = select(zero, real(0), plane[source])",
        ]
        ends = [
            f"for j in range({2 * radius}):",
            f"    to = at + (u64(j) if j < {radius} else high + u64(j)) * pitch",
            f"    source = at + u64({radius} + max(rows[j], 0)) * pitch",
            "    plane[to] = select(zero, real(0), plane[source])",
        ]
    for j in range(2 * radius if radius <= MOST_UNROLLED else 0):
        x = f"u64({j})" if j < radius else f"wide + u64({j})"
        y = f"u64({j})" if j < radius else f"(high + u64({j}))"
        sources += [f"c{j} = u64({radius} + max(cols[{j}], 0))"]
        sources += [f"r{j}, e{j} = u64({radius} + max(rows[{j}], 0)) * pitch, {y} * pitch"]
        columns += [f"plane[at + {x}] = select(zero, real(0), plane[at + c{j}])"]
        ends += [f"plane[at + e{j}] = select(zero, real(0), plane[at + r{j}])"]
    lines = {"sources": (sources, 4), "columns": (columns, 8), "ends": (ends, 8)}
    return {name: _indented(text, spaces) for name, (text, spaces) in lines.items()}


def _view(node: tuple) -> str:
    """The cells that a read sees, as a slice of a flat plane."""
    _, dy, dx, channel = node
    start = f"first + {dy} * pitch + {dx}"
    return f"a[{channel}, {start} : {start} + n]"


def _indented(lines: list[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
