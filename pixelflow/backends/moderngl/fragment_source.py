"""Fragment shaders of a plan's encoder and of one step, from an atlas to the next."""

from __future__ import annotations

from pixelflow.backends.moderngl import fragment_convolution, glsl
from pixelflow.backends.moderngl.fragment import Shaders
from pixelflow.backends.moderngl.leaves import leaves, params_used, uses

VERTEX = """#version 330
void main() { gl_Position = vec4((gl_VertexID & 1) * 4 - 1, (gl_VertexID & 2) * 2 - 1, 0, 1); }
"""

# What a texel is called, by rows and columns away from the fragment's own, and atlas.
Names = dict[tuple[int, int, int], str]


def encode(shaders: Shaders) -> str:
    """The atlas at step 0."""
    encoded = shaders.plan.encoder.encoded_channels
    lines = [f"target{k} = vec4(0.0);" for k in range(shaders.layers)]
    for lane in range(shaders.lanes):
        lines.append(f"item = min(group * {shaders.lanes} + {lane}, samples - 1);")
        for channel in shaders.channels:
            layer, component = shaders.texel(channel, lane)
            if channel in encoded:
                value = f"encoded(item, member, cell, {channel})"
                lines.append(f"target{layer}.{component} = {value};")
    head, gather = glsl.header(shaders.version, shaders.exact), glsl.gather(shaders.latents)
    return f"""{head}{gather}{_targets(shaders)}uniform int samples;
void main() {{
{_place(shaders)}
    int item;
{glsl.indented(lines)}
}}
"""


def step(shaders: Shaders) -> str:
    """The next atlas of an atlas."""
    program = shaders.plan.program
    fetches, names = _fetches(shaders)
    lines = [*fetches, *fragment_convolution.lines(shaders)]
    for k in range(shaders.layers):
        own = names.get((0, 0, k), f"texelFetch(now{k}, at, 0)")
        lines.append(f"target{k} = {own};")
    outputs = [c for c, _ in program.outputs]
    lines += [f"float next{c};" for c in outputs]
    for lane in range(shaders.lanes):
        given = [_argument(shaders, i, lane, names) for i in leaves(program)]
        given += ["uint(cell)", _key(shaders), "done", *(f"next{c}" for c in outputs)]
        lines.append(f"rule({', '.join(given)});")
        for channel in outputs:
            layer, component = shaders.texel(channel, lane)
            lines.append(f"target{layer}.{component} = next{channel};")
    head = glsl.header(shaders.version, shaders.exact)
    states = "".join(f"uniform sampler2D now{k};\n" for k in range(shaders.layers))
    rule = glsl.rule_function(program, shaders.precise)
    return f"""{head}{_targets(shaders)}{states}{_uniforms(shaders)}{rule}
void main() {{
{_place(shaders)}
{glsl.indented(lines)}
}}
"""


def _place(shaders: Shaders) -> str:
    """Where a fragment of the atlas is: x, y and corner of its tile, sample and member."""
    height, width, _ = shaders.plan.shape
    members, largest = shaders.plan.members, shaders.largest
    lines = [
        "ivec2 at = ivec2(gl_FragCoord.xy);",
        f"ivec2 tile = ivec2({glsl.quotient('at.x', width, largest)}, "
        f"{glsl.quotient('at.y', height, largest)});",
        f"ivec2 corner = tile * ivec2({width}, {height});",
        "int x = at.x - corner.x, y = at.y - corner.y;",
        f"int cell = y * {width} + x;",
        "int number = (tile.y << tile_bits) + tile.x;",
        f"int group = number / {members};" if members > 1 else "int group = number;",
        f"int member = number - group * {members};" if members > 1 else "int member = 0;",
    ]
    return glsl.indented(lines)


def _targets(shaders: Shaders) -> str:
    outs = (f"layout(location = {k}) out vec4 target{k};\n" for k in range(shaders.layers))
    return "uniform int tile_bits;\n" + "".join(outs)


def _uniforms(shaders: Shaders) -> str:
    lines = ["uniform uint done;", "uniform sampler2D media;"]
    if shaders.as_uniforms:
        lines += [f"uniform float param{i};" for i in params_used(shaders.plan.program)]
    else:
        lines += ["uniform sampler2D params;"]
    lines += ["uniform uint key;" if shaders.plan.members == 1 else "uniform usampler2D keys;"]
    lines += [fragment_convolution.weights(shaders)]
    return "\n".join(lines) + "\n"


def _key(shaders: Shaders) -> str:
    if shaders.plan.members == 1:
        return "key"
    return glsl.table_lookup("keys", "member") if uses(shaders.plan.program, "key") else "0u"


def _argument(shaders: Shaders, node: int, lane: int, names: Names) -> str:
    """A leaf of the rule, for one of the samples in a texel."""
    height, width, _ = shaders.plan.shape
    program = shaders.plan.program
    op, *operands = program.nodes[node]
    if op == "convolve":
        return fragment_convolution.argument(shaders, node, lane)
    if op == "read":
        dy, dx, channel = operands
        layer, component = shaders.texel(channel, lane)
        return f"{names[dy, dx, layer]}.{component}"
    if op == "medium":
        plane = f"member * {len(program.media)} + {program.media.index(operands[0])}"
        return glsl.table_lookup("media", f"({plane}) * {height * width} + cell")
    number = operands[0]
    if shaders.as_uniforms:
        return f"param{number}"
    return glsl.table_lookup("params", f"member * {len(program.params)} + {number}")


def _fetches(shaders: Shaders) -> tuple[list[str], Names]:
    """Lines that fetch every texel that the rule reads, and what each is called."""
    height, width, _ = shaders.plan.shape
    boundary = shaders.plan.boundary
    reads = [node[1:] for node in shaders.plan.program.nodes if node[0] == "read"]
    lines: list[str] = []
    for axis, number, length in (("y", 0, height), ("x", 1, width)):
        for offset in sorted({read[number] for read in reads}):
            position = glsl.moved(axis, offset, length, boundary)
            lines.append(f"int {glsl.name(axis, offset)} = {position};")
    names: Names = {}
    for dy, dx, channel in reads:
        layer = shaders.texel(channel, 0)[0]
        if (dy, dx, layer) in names:
            continue
        name = names[dy, dx, layer] = f"{glsl.name('t', dy)}{glsl.name('_x', dx)}_{layer}"
        at_y, at_x = glsl.name("y", dy), glsl.name("x", dx)
        texel = f"texelFetch(now{layer}, corner + ivec2({at_x}, {at_y}), 0)"
        if boundary == "zero" and (dy or dx):
            texel = f"({at_x} | {at_y}) < 0 ? vec4(0.0) : {texel}"
        lines.append(f"vec4 {name} = {texel};")
    return lines, names
