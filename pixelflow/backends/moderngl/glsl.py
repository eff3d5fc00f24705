"""What every shader shares, as source: the rule, cells beyond the edge, the encoder's gather."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from pixelflow.backends.emit import GLSL, GLSL_LOOSE, declared
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.leaves import leaves
from pixelflow.core.encoders import PIXEL
from pixelflow.core.graph import Program
from pixelflow.core.plan import Plan

ROW_BITS = 12  # tables of numbers are textures of 2**ROW_BITS columns, read by one index
PART = 64  # values of a mean that are summed at once
FLOATS_COUNT = 2**22  # float32 divides whole numbers below this exactly enough
# What a sum starts as: -0 + x is x, to the bit, where 0 + x is +0 for an x of -0.
NEGATIVE_ZERO = "uintBitsToFloat(0x80000000u)"


def header(version: int, exact: bool) -> str:
    """The version's line and `table_cell`.

    `precise` came with 400: before it bits may differ between devices.
    """
    number = 430 if version >= 430 else 400 if exact and version >= 400 else 330
    return f"#version {number}\n{TABLES}"


@lru_cache(maxsize=256)
def rule_function(program: Program, exact: bool) -> str:
    """``void rule(what `leaves` has, cell, key, done, out next values)``.

    Its results stand in the order of the program's outputs.
    """
    names = {i: f"r{i}" for i in leaves(program)}
    given = [f"float {name}" for name in names.values()]
    given += ["uint cell", "uint key", "uint done"]
    given += [f"out float next{c}" for c, _ in program.outputs]
    counters = {i: n[0] for i, n in enumerate(program.nodes) if n[0] in ("cell", "key")}
    counters |= {i: "done" for i, n in enumerate(program.nodes) if n[0] == "step"}
    lines = declared(program, GLSL if exact else GLSL_LOOSE, {**names, **counters})
    lines += [f"next{c} = v{i};" for c, i in program.outputs]
    body = "\n".join(f"    {line}" for line in lines)
    return f"void rule({', '.join(given)}) {{\n{body}\n}}\n"


def moved(axis: str, offset: int, length: int, boundary: str) -> str:
    """The position `offset` cells beside `axis`, inside the texture; negative where it is zero."""
    if boundary == "zero":
        if abs(offset) >= length:
            return "-1"
        return (
            f"{axis} < {length - offset} ? {axis} + {offset} : -1"
            if offset > 0
            else (f"{axis} + {offset}")
        )
    period = length if boundary == "periodic" else 2 * length
    offset = (offset + period // 2) % period - period // 2
    if offset == 0:
        return axis
    inside = f"{axis} + {offset}"
    if boundary == "periodic":
        if length & (length - 1) == 0:
            return f"({inside}) & {length - 1}"
        over, back = (f">= {length - offset}", -length) if offset > 0 else (f"< {-offset}", length)
        return f"{axis} {over} ? {axis} + {offset + back} : {inside}"
    if offset > 0:
        return f"{axis} >= {length - offset} ? {2 * length - 1 - offset} - {axis} : {inside}"
    return f"{axis} < {-offset} ? {-offset - 1} - {axis} : {inside}"


def walk(axis: str, reach: int, length: int, boundary: str) -> tuple[str, str, str]:
    """How ``to_y`` or ``to_x`` goes along an axis: its first value, the next one, and the position
    that it stands for, which is outside the texture only where the boundary is zero.

    It starts `reach` cells before the axis' own variable. One step at a time needs no modulo,
    however much larger than the texture the window is.
    """
    to = f"to_{axis}"
    if boundary == "zero":
        return f"{axis} - {reach}", f"{to} + 1", to
    period = length if boundary == "periodic" else 2 * length
    first = moved(axis, -reach, period, "periodic")
    following = f"{to} == {period - 1} ? 0 : {to} + 1"
    return first, following, to if boundary == "periodic" else f"min({to}, {period - 1} - {to})"


def quotient(number: str, divisor: int, limit: int) -> str:
    """number / divisor for 0 <= number < limit, without a division where that is exact."""
    if divisor == 1:
        return number
    if divisor & (divisor - 1) == 0:
        return f"({number} >> {divisor.bit_length() - 1})"
    if limit <= FLOATS_COUNT:
        return f"int((float({number}) + 0.5) * {1 / divisor!r})"
    return f"({number} / {divisor})"


def table_lookup(sampler: str, index: str) -> str:
    """A number of a table."""
    return f"texelFetch({sampler}, table_cell({index}), 0).x"


TABLES = f"""
ivec2 table_cell(int i) {{ return ivec2(i & {2**ROW_BITS - 1}, i >> {ROW_BITS}); }}
"""


def gather(latents: Latents) -> str:
    """``float encoded(item, member, cell, channel)``: the encoder's value, from tables."""
    plan = latents.plan
    kind, scale = ("usampler2D", f"* {float(PIXEL)!r}") if latents.as_bytes else ("sampler2D", "")
    row = f"(item * {plan.members} + member)" if latents.own else "item"
    latent = table_lookup("latents", f"{row} * {latents.length} + source")
    return f"""
uniform {kind} latents;
uniform isampler2D sources;
float encoded(int item, int member, int cell, int channel) {{
    int source = {table_lookup("sources", f"cell * {plan.shape[2]} + channel")};
    return source < 0 ? 0.0 : float({latent}) {scale};
}}
"""


def rectified_function(plan: Plan, precise: bool) -> str:
    """``float rectified(x)``: what is above the probe's threshold."""
    if not plan.probe.rectify:
        return ""
    level = float(np.float32(plan.probe.level))
    return f"""
float rectified(float x) {{
    {"precise " if precise else ""}float above = x - {level!r};
    return above <= 0.0 ? 0.0 : above;
}}
"""


def signed(plan: Plan, value: str, sign: int) -> str:
    """A value as the probe reads it, or with sign 1 its negative."""
    return f"rectified({'-' * sign}({value}))" if plan.probe.rectify else value


def pooled_lines(plan: Plan, value: str, axes: str = "yx") -> list[str]:
    """Lines that pool ``value`` at (x, y) into ``total``, over cell (j, i) of the probe's grid.

    Along one axis alone, where another shader pools along the other. A mean is summed in parts,
    for a long sum in float32 loses digits.
    """
    declared = [span(plan, axis) for axis in axes]
    loops = [f"for (int {axis} = first_{axis}; {axis} < end_{axis}; {axis}++) {{" for axis in axes]
    if plan.probe.pool_op == "mean":
        start = ["float total = 0.0, part = 0.0;", "int parts = 0;"]
        joined = [
            f"part += {value};",
            f"if ((++parts & {PART - 1}) == 0) {{ total += part; part = 0.0; }}",
        ]
        end = ["total += part;"]
    else:
        start, end = ["float total = uintBitsToFloat(0xff800000u);"], []
        joined = [
            f"float found = {value};",
            "total = isnan(found) || found > total ? found : total;",
        ]
    return [*declared, *start, *loops, *(f"    {line}" for line in joined), "}" * len(loops), *end]


def pooled(plan: Plan) -> str:
    """What a cell of the grid is, whose ``total`` is known."""
    if plan.probe.pool_op == "max":
        return "total"
    return "total / float((end_y - first_y) * (end_x - first_x))"


def span(plan: Plan, axis: str) -> str:
    """The line that says which rows or columns cell (j, i) of the grid covers."""
    cell, length = {"y": ("j", plan.shape[0]), "x": ("i", plan.shape[1])}[axis]
    grid = plan.probe.pool or 1
    first, end = f"{cell} * {length} / {grid}", f"(({cell} + 1) * {length} + {grid - 1}) / {grid}"
    return f"int first_{axis} = {first}, end_{axis} = {end};"


def name(axis: str, offset: int) -> str:
    """A variable of the cells that many rows or columns away."""
    return f"{axis}_{'m' if offset < 0 else ''}{abs(offset)}"


def indented(lines: Iterable[str], spaces: int = 4) -> str:
    return "\n".join(" " * spaces + line for line in lines)
