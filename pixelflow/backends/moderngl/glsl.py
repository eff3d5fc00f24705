"""What every shader shares, as source: the rule, cells beyond the edge, the encoder's gather."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pixelflow.backends.emit import GLSL, GLSL_LOOSE, declared
from pixelflow.core.encoders import PIXEL
from pixelflow.core.graph import Program
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

ROW_BITS = 12  # tables of numbers are textures of 2**ROW_BITS columns, read by one index
FLOATS_COUNT = 2**22  # float32 divides whole numbers below this exactly enough


def touched(program: Program) -> tuple[int, ...]:
    """The channels that the rule reads or writes: the others stay as encoded."""
    reads = {node[3] for node in program.nodes if node[0] == "read"}
    return tuple(sorted(reads | {channel for channel, _ in program.outputs}))


def driven(plan: Plan) -> tuple[int, ...]:
    """The channels in which the encoder writes; the others start as 0."""
    index = plan.encoder.index
    return tuple(c for c in range(plan.shape[2]) if (index[..., c] >= 0).any())


def header(version: int, exact: bool) -> str:
    """`precise` came with version 400."""
    return f"#version {430 if version >= 430 else 400 if exact and version >= 400 else 330}\n"


@lru_cache(maxsize=256)
def rule_function(program: Program, exact: bool) -> str:
    """``void rule(read, parameter and medium leaves, cell, key, done, out next values)``.

    Its arguments stand in the order of `leaves`, its results in that of the program's outputs.
    """
    names = {i: f"r{i}" for i in leaves(program)}
    given = [f"float {name}" for name in names.values()]
    given += ["uint cell", "uint key", "uint done"]
    precision = "precise " if exact else ""
    given += [f"out {precision}float next{c}" for c, _ in program.outputs]
    counters = {i: n[0] for i, n in enumerate(program.nodes) if n[0] in ("cell", "key")}
    counters |= {i: "done" for i, n in enumerate(program.nodes) if n[0] == "step"}
    lines = declared(program, GLSL if exact else GLSL_LOOSE, {**names, **counters})
    lines += [f"next{c} = v{i};" for c, i in program.outputs]
    body = "\n".join(f"    {line}" for line in lines)
    return f"void rule({', '.join(given)}) {{\n{body}\n}}\n"


def leaves(program: Program) -> list[int]:
    """The nodes that a shader has to look up: reads, parameters and media."""
    looked_up = ("read", "param", "medium")
    return [i for i, node in enumerate(program.nodes) if node[0] in looked_up]


def uses(program: Program, leaf: str) -> bool:
    return any(node[0] == leaf for node in program.nodes)


def moved(axis: str, offset: int, length: int, boundary: str) -> str:
    """The position `offset` cells beside `axis`, inside the texture; negative where it is zero."""
    if boundary == "zero":
        if abs(offset) >= length:
            return "-1"
        return f"{axis} < {length - offset} ? {axis} + {offset} : -1" if offset > 0 else (
            f"{axis} + {offset}"
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


def gather(plan: Plan, as_bytes: bool, own: bool, length: int) -> str:
    """``float encoded(sample, member, cell, channel)``: the encoder's value in a table's texture.

    Parameters
    ----------
    as_bytes : bool
        The latents are uint8.
    own : bool
        Each member has its own.
    length : int
        How many of them an input has.
    """
    channels = plan.shape[2]
    kind, scale = ("usampler2D", f"* {float(PIXEL)!r}") if as_bytes else ("sampler2D", "")
    row = f"(item * {plan.members} + member)" if own else "item"
    latent = table_lookup("latents", f"{row} * {length} + source")
    return f"""
uniform {kind} latents;
uniform isampler2D sources;
float encoded(int item, int member, int cell, int channel) {{
    int source = {table_lookup("sources", f"cell * {channels} + channel")};
    return source < 0 ? 0.0 : float({latent}) {scale};
}}
"""


def feature_function(plan: Plan, value: str, given: str, block: int) -> str:
    """``float feature(number, ...)``: one feature of a member's snapshot, by the plan's probe."""
    height, width, channels = plan.shape
    probe = plan.probe
    types = "int item, int member, int lane, ivec2 corner"
    if probe == Probe():
        cells, width_of = height * width, f"{width}"
        return f"""
float feature(int number, {types}) {{
    if (number >= {block}) return 0.0;
    int cell = {quotient("number", channels, block + 4)}, channel = number - cell * {channels};
    int y = {quotient("cell", width, cells)}, x = cell - y * {width_of};
    return {value}(channel, x, y, {given});
}}
"""
    rows, columns = (probe.pool, probe.pool) if probe.pool else (height, width)
    read = tuple(range(channels)) if probe.channels is None else probe.channels
    signs = 1 + probe.rectify
    chosen = f"int[{len(read)}]({', '.join(map(str, read))})[image]"
    sign = f"image - image / {signs} * {signs}" if signs > 1 else "0"
    return f"""
float seen(int channel, int sign, int x, int y, {types}) {{
    float found = {value}(channel, x, y, {given});
    {_rectified(plan)}
}}
float feature(int number, {types}) {{
    if (number >= {block}) return 0.0;
    int image = {quotient("number", rows * columns, block + 4)};
    int cell = number - image * {rows * columns};
    int j = {quotient("cell", columns, rows * columns)}, i = cell - j * {columns};
    int sign = {sign};
    image = {quotient("image", signs, block)};
    int channel = {chosen};
{_pooled(plan, rows, columns, given)}
}}
"""


def _rectified(plan: Plan) -> str:
    if not plan.probe.rectify:
        return "return found;"
    level = repr(float(np.float32(plan.probe.level)))
    return f"""precise float above = (sign == 0 ? found : -found) - {level};
    return above <= 0.0 ? 0.0 : above;"""


def _pooled(plan: Plan, rows: int, columns: int, given: str) -> str:
    """The end of `feature`: cell (j, i) of the grid."""
    height, width, _ = plan.shape
    if not plan.probe.pool:
        return f"    return seen(channel, sign, i, j, {given});"
    mean = plan.probe.pool_op == "mean"
    start, joined = ("0.0", "total + found") if mean else (
        "uintBitsToFloat(0xff800000u)", "isnan(found) || found > total ? found : total"
    )
    end = "total / float((bottom - top) * (right - left))" if mean else "total"
    return f"""    int top = j * {height} / {rows}, bottom = ((j + 1) * {height} + {rows - 1}) / {rows};
    int left = i * {width} / {columns}, right = ((i + 1) * {width} + {columns - 1}) / {columns};
    float total = {start};
    for (int y = top; y < bottom; y++) {{
        for (int x = left; x < right; x++) {{
            float found = seen(channel, sign, x, y, {given});
            total = {joined};
        }}
    }}
    return {end};"""
