"""Fragment shaders of a plan: encode, one step, probe; textures are tiles of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pixelflow.backends.moderngl import glsl
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

VERTEX = """#version 330
void main() { gl_Position = vec4((gl_VertexID & 1) * 4 - 1, (gl_VertexID & 2) * 2 - 1, 0, 1); }
"""

# Where a texture is: its sample and member, the lane of its texels and the corner of its tile.
TYPES = "int item, int member, int lane, ivec2 corner"
GIVEN = "item, member, lane, corner"


@dataclass(frozen=True)
class Shaders:
    """The sources of a plan's shaders, for latents of one form on a device of one version.

    A texel holds the touched channels of `lanes` samples where they are one or two; where they
    are more than four, several atlases hold them, four in each. A tile is the same member of its
    samples; tiles lie sample by sample, members inside, in rows of ``1 << tile_bits`` tiles.
    """

    plan: Plan
    exact: bool
    version: int
    largest: int
    latents: Latents

    @cached_property
    def channels(self) -> tuple[int, ...]:
        return glsl.touched(self.plan.program)

    @property
    def lanes(self) -> int:
        """Samples in a texel."""
        return {1: 4, 2: 2}.get(len(self.channels), 1)

    @property
    def layers(self) -> int:
        """Atlases that hold the channels."""
        return -(-len(self.channels) // 4)

    @cached_property
    def precise(self) -> bool:
        return self.exact and self.version >= 400

    @property
    def block(self) -> int:
        """Features of a member's snapshot."""
        return self.plan.feature_dim // (self.plan.members * len(self.plan.times))

    @cached_property
    def feature_rows(self) -> tuple[int, int]:
        """Rows and columns of texels that hold a member's snapshot, four features in each."""
        texels = -(-self.block // 4)
        rows = -(-texels // self.largest)
        while texels % rows and rows < 64:  # no padding, where that is easily had
            rows += 1
        return rows, -(-texels // rows)

    def texel(self, channel: int, lane: int = 0) -> tuple[int, str]:
        """Which atlas holds a touched channel, and which component of a texel."""
        slot = self.channels.index(channel)
        if self.lanes > 1:
            slot += lane * len(self.channels)
        return slot // 4, "xyzw"[slot % 4]

    def _head(self) -> str:
        return glsl.header(self.version, self.exact) + "precision highp int;\n" + glsl.TABLES

    def _place(self) -> str:
        """Where a fragment of the atlas is: x, y and corner of its tile, sample and member."""
        height, width, _ = self.plan.shape
        members = self.plan.members
        lines = [
            "ivec2 at = ivec2(gl_FragCoord.xy);",
            f"ivec2 tile = ivec2({glsl.quotient('at.x', width, self.largest)}, "
            f"{glsl.quotient('at.y', height, self.largest)});",
            f"ivec2 corner = tile * ivec2({width}, {height});",
            "int x = at.x - corner.x, y = at.y - corner.y;",
            f"int cell = y * {width} + x;",
            "int number = (tile.y << tile_bits) + tile.x;",
            f"int group = number / {members};" if members > 1 else "int group = number;",
            f"int member = number - group * {members};" if members > 1 else "int member = 0;",
        ]
        return "\n".join(f"    {line}" for line in lines)

    def _targets(self) -> str:
        outs = (f"layout(location = {k}) out vec4 target{k};\n" for k in range(self.layers))
        return "uniform int tile_bits;\n" + "".join(outs)

    def encode(self) -> str:
        """The atlas at step 0."""
        driven = glsl.driven(self.plan)
        lines = [f"target{k} = vec4(0.0);" for k in range(self.layers)]
        for lane in range(self.lanes):
            lines.append(f"item = min(group * {self.lanes} + {lane}, samples - 1);")
            for channel in self.channels:
                layer, component = self.texel(channel, lane)
                if channel in driven:
                    value = f"encoded(item, member, cell, {channel})"
                    lines.append(f"target{layer}.{component} = {value};")
        body = "\n".join(f"    {line}" for line in lines)
        gather = glsl.gather(self.latents)
        return f"""{self._head()}{gather}{self._targets()}uniform int samples;
void main() {{
{self._place()}
    int item;
{body}
}}
"""

    def step(self) -> str:
        """The next atlas of an atlas."""
        program = self.plan.program
        fetches, names = self._fetches()
        lines = list(fetches)
        for k in range(self.layers):
            own = names.get((0, 0, k), f"texelFetch(now{k}, at, 0)")
            lines.append(f"target{k} = {own};")
        outputs = [c for c, _ in program.outputs]
        lines += [f"float next{c};" for c in outputs]
        for lane in range(self.lanes):
            given = [self._argument(i, lane, names) for i in glsl.leaves(program)]
            given += ["uint(cell)", self._key(), "done", *(f"next{c}" for c in outputs)]
            lines.append(f"rule({', '.join(given)});")
            for channel in outputs:
                layer, component = self.texel(channel, lane)
                lines.append(f"target{layer}.{component} = next{channel};")
        body = "\n".join(f"    {line}" for line in lines)
        states = "".join(f"uniform sampler2D now{k};\n" for k in range(self.layers))
        rule = glsl.rule_function(program, self.precise)
        return f"""{self._head()}{self._targets()}{states}{self._uniforms()}{rule}
void main() {{
{self._place()}
{body}
}}
"""

    def _uniforms(self) -> str:
        names = self.plan.program.params
        lines = ["uniform uint done;", "uniform sampler2D media;"]
        if self.plan.members == 1:
            lines += [f"uniform float param{i};" for i in range(len(names))]
            lines += ["uniform uint key;"]
        else:
            lines += ["uniform sampler2D params;", "uniform usampler2D keys;"]
        return "\n".join(lines) + "\n"

    def _key(self) -> str:
        if self.plan.members == 1 or not glsl.uses(self.plan.program, "key"):
            return "key" if self.plan.members == 1 else "0u"
        return glsl.table_lookup("keys", "member")

    def _argument(self, node: int, lane: int, names: dict[tuple[int, int, int], str]) -> str:
        """A leaf of the rule, for one of the samples in a texel."""
        height, width, _ = self.plan.shape
        op, *operands = self.plan.program.nodes[node]
        program = self.plan.program
        if op == "read":
            dy, dx, channel = operands
            layer, component = self.texel(channel, lane)
            return f"{names[dy, dx, layer]}.{component}"
        if op == "medium":
            plane = f"member * {len(program.media)} + {program.media.index(operands[0])}"
            return glsl.table_lookup("media", f"({plane}) * {height * width} + cell")
        number = program.params.index(operands[0])
        if self.plan.members == 1:
            return f"param{number}"
        return glsl.table_lookup("params", f"member * {len(program.params)} + {number}")

    def _fetches(self) -> tuple[list[str], dict[tuple[int, int, int], str]]:
        """Lines that fetch every texel that the rule reads, and what each is called."""
        height, width, _ = self.plan.shape
        reads = [node[1:] for node in self.plan.program.nodes if node[0] == "read"]
        lines: list[str] = []
        for axis, number, length in (("y", 0, height), ("x", 1, width)):
            for offset in sorted({read[number] for read in reads}):
                position = glsl.moved(axis, offset, length, self.plan.boundary)
                lines.append(f"int {glsl.name(axis, offset)} = {position};")
        names: dict[tuple[int, int, int], str] = {}
        for dy, dx, channel in reads:
            layer = self.texel(channel)[0]
            if (dy, dx, layer) in names:
                continue
            name = names[dy, dx, layer] = f"{glsl.name('t', dy)}{glsl.name('_', dx)}_{layer}"
            at_y, at_x = glsl.name("y", dy), glsl.name("x", dx)
            texel = f"texelFetch(now{layer}, corner + ivec2({at_x}, {at_y}), 0)"
            if self.plan.boundary == "zero" and (dy or dx):
                texel = f"({at_x} | {at_y}) < 0 ? vec4(0.0) : {texel}"
            lines.append(f"vec4 {name} = {texel};")
        return lines, names

    def probe(self) -> str:
        """Features of one snapshot, four in a texel; a member of a sample has its own rows."""
        rows, columns = self.feature_rows
        members = self.plan.members
        states = "".join(f"uniform sampler2D now{k};\n" for k in range(self.layers))
        gather = glsl.gather(self.latents)
        return f"""{self._head()}uniform int tile_bits;
{states}{gather}{self._values()}out vec4 target;
{self._features()}
void main() {{
    ivec2 at = ivec2(gl_FragCoord.xy);
    int texture_number = {glsl.quotient("at.y", rows, self.largest)};
    int first = (at.y - texture_number * {rows}) * {columns} + at.x;
    int item = {glsl.quotient("texture_number", members, self.largest)};
    int member = texture_number - item * {members};
    int group = {glsl.quotient("item", self.lanes, self.largest)};
    int lane = item - group * {self.lanes};
    int number = group * {members} + member;
    ivec2 tile = ivec2(number & ((1 << tile_bits) - 1), number >> tile_bits);
    ivec2 corner = tile * ivec2({self.plan.shape[1]}, {self.plan.shape[0]});
    target = features(first, item, member, lane, corner);
}}
"""

    def _values(self) -> str:
        """``float value(channel, x, y, ...)``: what a texture holds."""
        cases = (
            f"if (channel == {channel}) {self._channel(channel)}"
            for channel in range(self.plan.shape[2])
            if channel in self.channels or channel in glsl.driven(self.plan)
        )
        return f"""
float value(int channel, int x, int y, {TYPES}) {{
{glsl.indented(cases)}
    return 0.0;
}}
"""

    def _channel(self, channel: int) -> str:
        """The statement of `value` that returns a channel."""
        if channel not in self.channels:
            return f"return encoded(item, member, y * {self.plan.shape[1]} + x, {channel});"
        places = [self.texel(channel, k) for k in range(self.lanes)]
        picked = f"t.{places[-1][1]}"
        for k in reversed(range(self.lanes - 1)):
            picked = f"lane == {k} ? t.{places[k][1]} : {picked}"
        texel = f"texelFetch(now{places[0][0]}, corner + ivec2(x, y), 0)"
        return f"{{ vec4 t = {texel}; return {picked}; }}"

    def _features(self) -> str:
        """``vec4 features(first, ...)``: the features from 4 * first on."""
        height, width, channels = self.plan.shape
        if self.plan.probe == Probe() and channels == 4:
            parts = (f"value({c}, x, y, {GIVEN})" for c in range(4))
            extra, lines = (
                "",
                [
                    f"int y = {glsl.quotient('first', width, height * width)};",
                    f"int x = first - y * {width};",
                ],
            )
        else:
            parts = (f"feature(4 * first + {k}, {GIVEN})" for k in range(4))
            extra, lines = self._feature(), []
        lines.append(f"return vec4({', '.join(parts)});")
        return f"{extra}\nvec4 features(int first, {TYPES}) {{\n{glsl.indented(lines)}\n}}\n"

    def _feature(self) -> str:
        """``float feature(number, ...)``: one feature of a member's snapshot."""
        _, width, channels = self.plan.shape
        lines = [f"if (number >= {self.block}) return 0.0;"]
        if self.plan.probe == Probe():
            lines += [
                f"int cell = {glsl.quotient('number', channels, self.block + 4)};",
                f"int channel = number - cell * {channels};",
                f"int y = {glsl.quotient('cell', width, self.block)}, x = cell - y * {width};",
                f"return value(channel, x, y, {GIVEN});",
            ]
            return f"float feature(int number, {TYPES}) {{\n{glsl.indented(lines)}\n}}\n"
        lines += self._probed()
        value = f"value(channel, x, y, {GIVEN})"
        sign = (
            f"sign == 0 ? {glsl.signed(self.plan, value, 0)} : {glsl.signed(self.plan, value, 1)}"
        )
        return f"""{glsl.rectified_function(self.plan, self.precise)}
float seen(int channel, int sign, int x, int y, {TYPES}) {{
    return {sign if self.plan.probe.rectify else value};
}}
float feature(int number, {TYPES}) {{
{glsl.indented(lines)}
}}
"""

    def _probed(self) -> list[str]:
        """The lines of `feature` where the probe is not the default one."""
        height, width, channels = self.plan.shape
        probe = self.plan.probe
        rows, columns = (probe.pool, probe.pool) if probe.pool else (height, width)
        read = tuple(range(channels)) if probe.channels is None else probe.channels
        signs = 1 + probe.rectify
        seen = f"seen(channel, sign, x, y, {GIVEN})"
        lines = [
            f"int image = {glsl.quotient('number', rows * columns, self.block + 4)};",
            f"int cell = number - image * {rows * columns};",
            f"int j = {glsl.quotient('cell', columns, rows * columns)}, i = cell - j * {columns};",
            f"int order = {glsl.quotient('image', signs, self.block)};",
            f"int sign = image - order * {signs};",
            f"int channel = int[{len(read)}]({', '.join(map(str, read))})[order];",
        ]
        if probe.pool:
            return lines + glsl.pooled_lines(self.plan, seen)
        return [*lines, f"return {seen.replace('x, y', 'i, j')};"]
