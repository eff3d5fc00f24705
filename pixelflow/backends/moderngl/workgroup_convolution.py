"""The convolutions of a rule in a compute shader: a weight is looked up once for a whole strip."""

from __future__ import annotations

from pixelflow.backends.moderngl.convolution import Convolution, convolutions, n_texels
from pixelflow.backends.moderngl.glsl import NEGATIVE_ZERO, walk
from pixelflow.backends.moderngl.workgroup import Workgroup


def lines(workgroup: Workgroup) -> list[str]:
    """Lines that declare ``sumI_k`` for every convolution, node I, and row k of the strip."""
    every = convolutions(workgroup.plan.program)
    return [line for each in every for line in _loop(workgroup, each)]


def _loop(workgroup: Workgroup, each: Convolution) -> list[str]:
    """One pass for each row and column of the window; the strip's rows go down together."""
    height, width, _ = workgroup.plan.shape
    boundary, rows = workgroup.plan.boundary, range(workgroup.rows)
    first_y, next_y, y = walk("y", each.k // 2, height, boundary)
    first_x, next_x, x = walk("x", each.k // 2, width, boundary)
    row, column = f"{y} * {width}" if y == "to_y" else f"({y}) * {width}", x
    if boundary == "zero":  # together below 0, where one is
        row = f"uint({y}) < {height}u ? {row} : {-workgroup.cells}"
        column = f"uint({x}) < {width}u ? {x} : {-workgroup.cells}"
    sums = (f"sum{node}_{k}" for node in each.nodes for k in rows)
    start = f"member * {n_texels(workgroup.plan.program)} + {each.first}"
    return [
        *(f"{_exact(workgroup)}float {name} = {NEGATIVE_ZERO};" for name in sums),
        "{",
        f"    int texel = {start}, top = {first_y};",
        f"    for (int dy = 0; dy < {each.k}; dy++) {{",
        f"        int to_y = top, to_x = {first_x};",
        *(f"        int row{k} = {row}; to_y = {next_y};" for k in rows),
        f"        for (int dx = 0; dx < {each.k}; dx++) {{",
        f"            int column = {column};",
        *(f"            {line}" for line in _cells(workgroup, each)),
        f"            to_x = {next_x};",
        "        }",
        f"        top = {next_y.replace('to_y', 'top')};",
        "    }",
        "}",
    ]


def _cells(workgroup: Workgroup, each: Convolution) -> list[str]:
    """What one cell of each row's window adds."""
    added = []
    for channel in range(each.channels):
        added.append(f"vec4 w{channel} = weights[texel++];")
        for k in range(workgroup.rows):
            seen = f"seen{channel}_{k}"
            added.append(f"float {seen} = {_value(workgroup, channel, k)};")
            for i, node in enumerate(each.nodes):
                product = f"p{channel}_{node}_{k}"
                weight = f"w{channel}.{'xyzw'[i]}"
                added.append(f"{_exact(workgroup)}float {product} = {seen} * {weight};")
                added.append(f"sum{node}_{k} += {product};")
    return added


def _value(workgroup: Workgroup, channel: int, row: int) -> str:
    if channel not in workgroup.planes:  # a window of one cell
        return f"now{channel}_{row}"
    start = workgroup.planes.index(channel) * workgroup.cells
    value = f"plane[now + {start} + row{row} + column]"
    if workgroup.plan.boundary == "zero":
        return f"row{row} + column < 0 ? 0.0 : {value}"
    return value


def _exact(workgroup: Workgroup) -> str:
    return "precise " if workgroup.exact else ""
