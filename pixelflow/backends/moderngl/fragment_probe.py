"""The fragment shader of a probe: from an atlas to rows of features."""

from __future__ import annotations

from pixelflow.backends.moderngl import glsl
from pixelflow.backends.moderngl.fragment import Shaders
from pixelflow.core.probes import Probe

# Where a texture is: its sample and member, the lane of its texels and the corner of its tile.
TYPES = "int item, int member, int lane, ivec2 corner"
GIVEN = "item, member, lane, corner"


def probe(shaders: Shaders) -> str:
    """Features of one snapshot, four in a texel; a member of a sample has its own rows.

    Where the probe pools they are of the texture's rows, which `pool` makes features of: software
    silently ends the loops of a fragment that are long together.
    """
    pooled = shaders.plan.probe.pool
    rows, columns = shaders.row_rows if pooled else shaders.feature_rows
    members = shaders.plan.members
    states = "".join(f"uniform sampler2D now{k};\n" for k in range(shaders.layers))
    gather = glsl.gather(shaders.latents)
    return f"""{glsl.header(shaders.version, shaders.exact)}uniform int tile_bits;
{states}{gather}{_values(shaders)}out vec4 target;
{_features(shaders)}
void main() {{
{_place(shaders, rows, columns)}
    int item = {glsl.quotient("texture_number", members, shaders.largest)};
    int member = texture_number - item * {members};
    int group = {glsl.quotient("item", shaders.lanes, shaders.largest)};
    int lane = item - group * {shaders.lanes};
    int number = group * {members} + member;
    ivec2 tile = ivec2(number & ((1 << tile_bits) - 1), number >> tile_bits);
    ivec2 corner = tile * ivec2({shaders.plan.shape[1]}, {shaders.plan.shape[0]});
    target = features(first, item, member, lane, corner);
}}
"""


def pool(shaders: Shaders) -> str:
    """Features of one snapshot that is pooled along its rows, in the same form."""
    plan, grid = shaders.plan, shaders.plan.probe.pool or 1
    rows, columns = shaders.row_rows
    features = ", ".join(f"feature(4 * first + {k}, texture_number * {rows})" for k in range(4))
    lines = [
        f"if (number >= {shaders.block}) return 0.0;",
        *_cell(shaders.block, grid, grid),
        glsl.span(plan, "x"),
        *glsl.pooled_lines(plan, f"row((image * {plan.shape[0]} + y) * {grid} + i, top)", "y"),
        f"return {glsl.pooled(plan)};",
    ]
    return f"""{glsl.header(shaders.version, shaders.exact)}uniform sampler2D now0;
out vec4 target;
float row(int number, int top) {{
    int texel = number >> 2, down = {glsl.quotient("texel", columns, shaders.row_block)};
    return texelFetch(now0, ivec2(texel - down * {columns}, top + down), 0)[number & 3];
}}
float feature(int number, int top) {{
{glsl.indented(lines)}
}}
void main() {{
{_place(shaders, *shaders.feature_rows)}
    target = vec4({features});
}}
"""


def _place(shaders: Shaders, rows: int, columns: int) -> str:
    """Lines that say which texture a fragment is of, and which of its texels, ``first``."""
    lines = [
        "ivec2 at = ivec2(gl_FragCoord.xy);",
        f"int texture_number = {glsl.quotient('at.y', rows, shaders.largest)};",
        f"int first = (at.y - texture_number * {rows}) * {columns} + at.x;",
    ]
    return glsl.indented(lines)


def _cell(numbers: int, rows: int, columns: int) -> list[str]:
    """Lines that say which cell (j, i) of which image a number is."""
    return [
        f"int image = {glsl.quotient('number', rows * columns, numbers + 4)};",
        f"int cell = number - image * {rows * columns};",
        f"int j = {glsl.quotient('cell', columns, rows * columns)}, i = cell - j * {columns};",
    ]


def _values(shaders: Shaders) -> str:
    """``float value(channel, x, y, ...)``: what a texture holds."""
    cases = (
        f"if (channel == {channel}) {_channel(shaders, channel)}"
        for channel in range(shaders.plan.shape[2])
        if channel in shaders.channels or channel in shaders.plan.encoder.encoded_channels
    )
    return f"""
float value(int channel, int x, int y, {TYPES}) {{
{glsl.indented(cases)}
    return 0.0;
}}
"""


def _channel(shaders: Shaders, channel: int) -> str:
    """The statement of `value` that returns a channel."""
    if channel not in shaders.channels:
        return f"return encoded(item, member, y * {shaders.plan.shape[1]} + x, {channel});"
    places = [shaders.texel(channel, k) for k in range(shaders.lanes)]
    picked = f"t.{places[-1][1]}"
    for k in reversed(range(shaders.lanes - 1)):
        picked = f"lane == {k} ? t.{places[k][1]} : {picked}"
    texel = f"texelFetch(now{places[0][0]}, corner + ivec2(x, y), 0)"
    return f"{{ vec4 t = {texel}; return {picked}; }}"


def _features(shaders: Shaders) -> str:
    """``vec4 features(first, ...)``: the features from 4 * first on."""
    height, width, channels = shaders.plan.shape
    if shaders.plan.probe == Probe() and channels == 4:
        parts = (f"value({c}, x, y, {GIVEN})" for c in range(4))
        y = glsl.quotient("first", width, height * width)
        function, lines = "", [f"int y = {y}, x = first - y * {width};"]
    else:
        parts = (f"feature(4 * first + {k}, {GIVEN})" for k in range(4))
        function, lines = _feature(shaders), []
    lines.append(f"return vec4({', '.join(parts)});")
    return f"{function}\nvec4 features(int first, {TYPES}) {{\n{glsl.indented(lines)}\n}}\n"


def _feature(shaders: Shaders) -> str:
    """``float feature(number, ...)``: one feature of a member's snapshot."""
    _, width, channels = shaders.plan.shape
    if shaders.plan.probe == Probe():
        lines = [
            f"if (number >= {shaders.block}) return 0.0;",
            f"int cell = {glsl.quotient('number', channels, shaders.block + 4)};",
            f"int channel = number - cell * {channels};",
            f"int y = {glsl.quotient('cell', width, shaders.block)}, x = cell - y * {width};",
            f"return value(channel, x, y, {GIVEN});",
        ]
        return f"float feature(int number, {TYPES}) {{\n{glsl.indented(lines)}\n}}\n"
    lines = _probed(shaders)
    value = f"value(channel, x, y, {GIVEN})"
    positive, negative = (glsl.signed(shaders.plan, value, sign) for sign in (0, 1))
    return f"""{glsl.rectified_function(shaders.plan, shaders.precise)}
float seen(int channel, int sign, int x, int y, {TYPES}) {{
    return {f"sign == 0 ? {positive} : {negative}" if shaders.plan.probe.rectify else value};
}}
float feature(int number, {TYPES}) {{
{glsl.indented(lines)}
}}
"""


def _probed(shaders: Shaders) -> list[str]:
    """The lines of `feature` where the probe is not the default one."""
    height, width, channels = shaders.plan.shape
    probe = shaders.plan.probe
    read = tuple(range(channels)) if probe.channels is None else probe.channels
    signs = 1 + probe.rectify
    numbers = shaders.row_block if probe.pool else shaders.block
    lines = [
        f"if (number >= {numbers}) return 0.0;",
        *_cell(numbers, height, probe.pool or width),
        f"int order = {glsl.quotient('image', signs, numbers)};",
        f"int sign = image - order * {signs};",
        f"int channel = int[{len(read)}]({', '.join(map(str, read))})[order];",
    ]
    if probe.pool:
        seen = f"seen(channel, sign, x, j, {GIVEN})"
        return [*lines, *glsl.pooled_lines(shaders.plan, seen, "x"), "return total;"]
    return [*lines, f"return seen(channel, sign, i, j, {GIVEN});"]
