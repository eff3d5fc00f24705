"""Fragment shaders of a plan, encoder and one step: textures are tiles of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pixelflow.backends.moderngl import convolution, fragment_convolution, glsl
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.core.plan import Plan

MOST_UNIFORMS = 64  # parameters; every device takes some hundreds
VERTEX = """#version 330
void main() { gl_Position = vec4((gl_VertexID & 1) * 4 - 1, (gl_VertexID & 2) * 2 - 1, 0, 1); }
"""


@dataclass(frozen=True)
class Shaders:
    """The sources of a plan's shaders, for latents of one form on a device of one version.

    Of the device they need to know the largest texture and the largest block of uniforms, too.
    A fragment computes `lanes` samples: with four, an atlas holds one of the touched channels of
    all four, so that what is fetched from beside a cell is all used. A tile is the same member of
    its samples; tiles lie sample by sample, members inside, in rows of ``1 << tile_bits`` tiles.
    """

    plan: Plan
    exact: bool
    version: int
    largest: int
    uniform_bytes: int
    lanes: int
    latents: Latents

    @cached_property
    def channels(self) -> tuple[int, ...]:
        return self.plan.program.held

    @property
    def layers(self) -> int:
        """Atlases that hold the channels."""
        return -(-len(self.channels) * self.lanes // 4)

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
        return self._rows_of(self.block)

    @property
    def row_block(self) -> int:
        """Values of a member's snapshot that is pooled along its rows alone."""
        grid = self.plan.probe.pool or 1
        return self.block // grid * self.plan.shape[0]

    @cached_property
    def row_rows(self) -> tuple[int, int]:
        """Rows and columns of texels that hold those."""
        return self._rows_of(self.row_block)

    def _rows_of(self, numbers: int) -> tuple[int, int]:
        texels = -(-numbers // 4)
        rows = -(-texels // self.largest)
        while texels % rows and rows < 64:  # no padding, where that is easily had
            rows += 1
        return rows, -(-texels // rows)

    @property
    def weights_as_uniforms(self) -> bool:
        """Whether weights are a block of uniforms, which is read faster, and not a table."""
        texels = self.plan.members * convolution.n_texels(self.plan.program)
        return 0 < 16 * texels <= self.uniform_bytes

    @property
    def as_uniforms(self) -> bool:
        """Whether parameters are uniforms and not a table."""
        few = len(glsl.params_used(self.plan.program)) <= MOST_UNIFORMS
        return self.plan.members == 1 and few

    def texel(self, channel: int, lane: int) -> tuple[int, str]:
        """Which atlas holds a touched channel of a sample, and which component of a texel."""
        slot = self.channels.index(channel) * self.lanes + lane
        return slot // 4, "xyzw"[slot % 4]

    def head(self) -> str:
        return glsl.header(self.version, self.exact) + glsl.TABLES

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
        driven = self.plan.encoder.driven
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
        return f"""{self.head()}{gather}{self._targets()}uniform int samples;
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
        lines = [*fetches, *fragment_convolution.lines(self)]
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
        return f"""{self.head()}{self._targets()}{states}{self._uniforms()}{rule}
void main() {{
{self._place()}
{body}
}}
"""

    def _uniforms(self) -> str:
        lines = ["uniform uint done;", "uniform sampler2D media;"]
        if self.as_uniforms:
            lines += [f"uniform float param{i};" for i in glsl.params_used(self.plan.program)]
        else:
            lines += ["uniform sampler2D params;"]
        lines += ["uniform uint key;" if self.plan.members == 1 else "uniform usampler2D keys;"]
        lines += [fragment_convolution.weights(self)]
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
        if op == "convolve":
            return fragment_convolution.argument(self, node, lane)
        if op == "read":
            dy, dx, channel = operands
            layer, component = self.texel(channel, lane)
            return f"{names[dy, dx, layer]}.{component}"
        if op == "medium":
            plane = f"member * {len(program.media)} + {program.media.index(operands[0])}"
            return glsl.table_lookup("media", f"({plane}) * {height * width} + cell")
        number = operands[0]
        if self.as_uniforms:
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
            layer = self.texel(channel, 0)[0]
            if (dy, dx, layer) in names:
                continue
            name = names[dy, dx, layer] = f"{glsl.name('t', dy)}{glsl.name('_x', dx)}_{layer}"
            at_y, at_x = glsl.name("y", dy), glsl.name("x", dx)
            texel = f"texelFetch(now{layer}, corner + ivec2({at_x}, {at_y}), 0)"
            if self.plan.boundary == "zero" and (dy or dx):
                texel = f"({at_x} | {at_y}) < 0 ? vec4(0.0) : {texel}"
            lines.append(f"vec4 {name} = {texel};")
        return lines, names
