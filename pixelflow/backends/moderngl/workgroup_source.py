"""The compute shader of a plan: a workgroup takes one texture through all steps."""

from __future__ import annotations

from pixelflow.backends.moderngl import glsl, workgroup_convolution
from pixelflow.backends.moderngl.leaves import leaves, params_used, uses
from pixelflow.backends.moderngl.workgroup import Workgroup
from pixelflow.backends.moderngl.workgroup_probe import pool_functions, probe_lines
from pixelflow.core.encoders import PIXEL

BUFFERS = ("latents", "sources", "params", "media", "keys", "weights", "features")  # by binding

# What a cell's value is called, by row and column relative to the strip's first cell, and channel.
Names = dict[tuple[int, int, int], str]


def source(workgroup: Workgroup) -> str:
    """The shader."""
    plan = workgroup.plan
    rule = glsl.rule_function(plan.program, workgroup.exact)
    return f"""#version 430
layout(local_size_x = {workgroup.size}) in;
{_buffers(workgroup)}
uniform int times[{len(plan.times)}];
uniform uint first;
shared float plane[{workgroup.shared_numbers}];
{_gather(workgroup)}{pool_functions(workgroup)}{rule}
void main() {{
{glsl.indented(_start(workgroup), 4)}
    barrier();
    for (int done = 0; ; done++) {{
        if (done == times[snapshot]) {{
{glsl.indented(probe_lines(workgroup), 12)}
            snapshot++;
        }}
        if (done == times[{len(plan.times) - 1}]) break;
{glsl.indented(_step(workgroup), 8)}
        barrier();
    }}
}}
"""


def _buffers(workgroup: Workgroup) -> str:
    types = dict.fromkeys(BUFFERS, "float") | {"sources": "int", "keys": "uint"}
    types["latents"] = "uint" if workgroup.latents.as_bytes else "float"
    types["features"] = "vec4" if workgroup.whole_texels else "float"
    types["weights"] = "vec4"
    lines = []
    for binding, (name, kind) in enumerate(types.items()):
        access = "writeonly" if name == "features" else "readonly"
        lines.append(
            f"layout(std430, binding = {binding}) {access} restrict buffer of_{name} "
            f"{{ {kind} {name}[]; }};"
        )
    return "\n".join(lines)


def _gather(workgroup: Workgroup) -> str:
    """``float encoded(group, cell, channel)``: the encoder's value, from buffers."""
    plan, latents = workgroup.plan, workgroup.latents
    row = "group" if latents.own else f"(group / {plan.members})"
    at = f"{row} * {latents.length} + source"
    value = f"latents[{at}]"
    if latents.as_bytes:
        word = f"latents[({at}) >> 2] >> ((({at}) & 3) * 8)"
        value = f"float(({word}) & 255u) * {float(PIXEL)!r}"
    return f"""
float encoded(int group, int cell, int channel) {{
    int source = sources[cell * {plan.shape[2]} + channel];
    return source < 0 ? 0.0 : {value};
}}
"""


def _start(workgroup: Workgroup) -> list[str]:
    """Where an invocation is, what it looks up once, and its cells as encoded."""
    width, members = workgroup.plan.shape[1], workgroup.plan.members
    program, rows = workgroup.plan.program, workgroup.rows
    lines = [
        "int id = int(gl_LocalInvocationIndex), group = int(gl_WorkGroupID.x);",
        f"int member = group - group / {members} * {members};",
        f"bool here = id < {workgroup.strips};",
        f"int strip = min(id, {workgroup.strips - 1}), snapshot = 0, now = 0;",
        f"int y = strip / {width} * {rows}, x = strip - strip / {width} * {width};",
        f"int own = y * {width} + x;",
    ]
    lines.append(f"uint key = {'keys[member]' if uses(program, 'key') else '0u'};")
    lines += _offsets(workgroup)
    lines.append(f"int first_param = member * {len(program.params)};")
    if workgroup.params_in_registers:
        used = params_used(program)
        lines += (f"float param{i} = params[first_param + {i}];" for i in used)
    return lines + _cells_as_encoded(workgroup)


def _offsets(workgroup: Workgroup) -> list[str]:
    """Lines that say where the rows and columns are that are read from shared memory."""
    height, width, _ = workgroup.plan.shape
    boundary, rows = workgroup.plan.boundary, workgroup.rows
    reads = [
        (dy + k, dx)
        for dy, dx, _ in (node[1:] for node in workgroup.plan.program.nodes if node[0] == "read")
        for k in range(rows)
        if dx or not 0 <= dy + k < rows
    ]
    lines = []
    for row in sorted({row for row, _ in reads}):
        position = glsl.moved("y", row, height, boundary)
        lines += _offset(workgroup, glsl.name("row", row), position, width)
    for column in sorted({column for _, column in reads}):
        position = glsl.moved("x", column, width, boundary)
        lines += _offset(workgroup, glsl.name("column", column), position, 1)
    return lines


def _offset(workgroup: Workgroup, name: str, position: str, pitch: int) -> list[str]:
    lines = [f"int {name} = {position};"]
    if workgroup.plan.boundary == "zero":
        lines.append(f"{name} = {name} < 0 ? {-workgroup.cells} : {name} * {pitch};")
    elif pitch > 1:
        lines.append(f"{name} *= {pitch};")
    return lines


def _cells_as_encoded(workgroup: Workgroup) -> list[str]:
    program, encoded = workgroup.plan.program, workgroup.plan.encoder.encoded_channels
    width = workgroup.plan.shape[1]
    lines = []
    for k in range(workgroup.rows):
        for q, name in enumerate(program.media):
            if ("medium", name) in program.nodes:
                place = f"(member * {len(program.media)} + {q}) * {workgroup.cells} + own"
                lines.append(f"float medium{q}_{k} = media[{place} + {k * width}];")
        for c in workgroup.channels:
            value = f"encoded(group, own + {k * width}, {c})" if c in encoded else "0.0"
            lines.append(f"float now{c}_{k} = {value};")
    return lines + _shared_stores(workgroup)


def _shared_stores(workgroup: Workgroup) -> list[str]:
    """Lines that show the strip's cells to the other invocations."""
    width = workgroup.plan.shape[1]
    stores = [
        f"plane[now + {i * workgroup.cells + k * width} + own] = now{c}_{k};"
        for i, c in enumerate(workgroup.planes)
        for k in range(workgroup.rows)
    ]
    return ["if (here) {", *(f"    {store}" for store in stores), "}"] if stores else []


def _step(workgroup: Workgroup) -> list[str]:
    program, width = workgroup.plan.program, workgroup.plan.shape[1]
    outputs = [c for c, _ in program.outputs]
    names, lines = _reads(workgroup)
    lines += workgroup_convolution.lines(workgroup)
    for k in range(workgroup.rows):
        lines.append("float " + ", ".join(f"next{c}_{k}" for c in outputs) + ";")
        given = [_argument(workgroup, i, k, names) for i in leaves(program)]
        given += [f"uint(own + {k * width})", "key", "first + uint(done)"]
        given += [f"next{c}_{k}" for c in outputs]
        lines.append(f"rule({', '.join(given)});")
    if workgroup.buffers == 1 and workgroup.planes:
        lines.append("barrier();")  # all have read
    elif workgroup.planes:
        lines.append(f"now = {len(workgroup.planes) * workgroup.cells} - now;")
    lines += [f"now{c}_{k} = next{c}_{k};" for k in range(workgroup.rows) for c in outputs]
    return lines + _shared_stores(workgroup)


def _argument(workgroup: Workgroup, node: int, row: int, names: Names) -> str:
    """A leaf of the rule, for one row of the strip."""
    program = workgroup.plan.program
    op, *operands = program.nodes[node]
    if op == "convolve":
        return f"sum{node}_{row}"
    if op == "read":
        dy, dx, channel = operands
        return names[dy + row, dx, channel]
    if op == "medium":
        return f"medium{program.media.index(operands[0])}_{row}"
    number = operands[0]
    return f"param{number}" if workgroup.params_in_registers else f"params[first_param + {number}]"


def _reads(workgroup: Workgroup) -> tuple[Names, list[str]]:
    """What each cell around the strip is called, and lines that look it up."""
    names: Names = {}
    lines = []
    for dy, dx, channel in (n[1:] for n in workgroup.plan.program.nodes if n[0] == "read"):
        for row in range(dy, dy + workgroup.rows):
            if (row, dx, channel) in names:
                continue
            if dx == 0 and 0 <= row < workgroup.rows:
                names[row, dx, channel] = f"now{channel}_{row}"
                continue
            name = names[row, dx, channel] = f"{glsl.name('t', row)}{glsl.name('_x', dx)}_{channel}"
            at = f"{glsl.name('row', row)} + {glsl.name('column', dx)}"
            start = workgroup.planes.index(channel) * workgroup.cells
            value = f"plane[now + {start} + {at}]"
            if workgroup.plan.boundary == "zero":
                value = f"{at} < 0 ? 0.0 : {value}"
            lines.append(f"float {name} = {value};")
    return names, lines
