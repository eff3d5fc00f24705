"""The compute shader of a plan: a workgroup takes one texture through all steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pixelflow.backends.moderngl import convolution, glsl, workgroup_convolution
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.workgroup_probe import pool_functions, pool_passes, probe_lines
from pixelflow.core.encoders import PIXEL
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

INVOCATIONS = 256  # of a workgroup, where that gives each few enough rows
MOST_ROWS = 8  # of a strip: more don't fit into registers
MOST_NODES = 2000  # of all rows of a strip: what a compiler takes in well under two seconds
MOST_PARAMS = 32  # kept in registers
BUFFERS = ("latents", "sources", "params", "media", "keys", "weights", "features")  # by binding


@dataclass(frozen=True)
class Workgroup:
    """How a texture is spread over invocations: each has a strip, some rows of one column.

    A strip's own cells stay in registers; what other invocations read lies in shared memory, in
    two buffers by turns, or where only one fits, with a second barrier.
    """

    plan: Plan
    exact: bool
    latents: Latents
    shared: int
    most: int

    @property
    def cells(self) -> int:
        return self.plan.shape[0] * self.plan.shape[1]

    @cached_property
    def rows(self) -> int:
        """Rows of a strip; 0 where a texture has too many strips for a workgroup."""
        height, width, _ = self.plan.shape
        nodes = len(self.plan.program.nodes) + convolution.statements(self.plan.program)
        possible = [
            k
            for k in range(1, MOST_ROWS + 1)
            if height % k == 0 and height // k * width <= self.most and k * nodes <= MOST_NODES
        ]
        few = [k for k in possible if height // k * width <= INVOCATIONS]
        return min(few, default=max(possible, default=0))

    @property
    def strips(self) -> int:
        return self.cells // self.rows

    @property
    def size(self) -> int:
        """Invocations: one for each strip, in whole warps."""
        return -(-self.strips // 32) * 32

    @cached_property
    def planes(self) -> tuple[int, ...]:
        """The channels in shared memory."""
        return self.plan.program.neighboured

    @cached_property
    def buffers(self) -> int:
        """How often they are held: 0 where they don't fit once."""
        return next((n for n in (2, 1) if 4 * self._values(n) <= self.shared), 0)

    def _values(self, buffers: int) -> int:
        """Numbers in shared memory: at the end a plane for pooling, where none is free."""
        spare = bool(self.plan.probe.pool) and (buffers == 1 or not self.planes)
        return max(1, (buffers * len(self.planes) + spare) * self.cells)

    @property
    def fits(self) -> bool:
        return self.rows > 0 and self.buffers > 0

    @property
    def passes(self) -> int:
        """How many passes an invocation makes at most, of all loops."""
        step = 1 + convolution.passes(self.plan.program)
        return self.plan.times[-1] * step + 2 + len(self.plan.times) * pool_passes(self)

    @property
    def block(self) -> int:
        """Features of a member's snapshot."""
        return self.plan.feature_dim // (self.plan.members * len(self.plan.times))

    @property
    def whole_texels(self) -> bool:
        """Whether features are stored four at once."""
        return self.plan.probe == Probe() and self.plan.shape[2] == 4

    @cached_property
    def channels(self) -> tuple[int, ...]:
        return self.plan.program.held

    def source(self) -> str:
        """The shader."""
        return f"""#version 430
layout(local_size_x = {self.size}) in;
{self._buffers()}
uniform int times[{len(self.plan.times)}];
uniform uint first;
shared float plane[{self._values(self.buffers)}];
{self._gather()}{pool_functions(self)}{glsl.rule_function(self.plan.program, self.exact)}
void main() {{
{glsl.indented(self._start(), 4)}
    barrier();
    for (int done = 0; ; done++) {{
        if (done == times[snapshot]) {{
{glsl.indented(probe_lines(self), 12)}
            snapshot++;
        }}
        if (done == times[{len(self.plan.times) - 1}]) break;
{glsl.indented(self._step(), 8)}
        barrier();
    }}
}}
"""

    def _buffers(self) -> str:
        types = dict.fromkeys(BUFFERS, "float") | {"sources": "int", "keys": "uint"}
        types["latents"] = "uint" if self.latents.as_bytes else "float"
        types["features"] = "vec4" if self.whole_texels else "float"
        types["weights"] = "vec4"
        lines = []
        for binding, (name, kind) in enumerate(types.items()):
            access = "writeonly" if name == "features" else "readonly"
            lines.append(
                f"layout(std430, binding = {binding}) {access} restrict buffer of_{name} "
                f"{{ {kind} {name}[]; }};"
            )
        return "\n".join(lines)

    def _gather(self) -> str:
        row = "group" if self.latents.own else f"(group / {self.plan.members})"
        at = f"{row} * {self.latents.length} + source"
        value = f"latents[{at}]"
        if self.latents.as_bytes:
            word = f"latents[({at}) >> 2] >> ((({at}) & 3) * 8)"
            value = f"float(({word}) & 255u) * {float(PIXEL)!r}"
        return f"""
float encoded(int group, int cell, int channel) {{
    int source = sources[cell * {self.plan.shape[2]} + channel];
    return source < 0 ? 0.0 : {value};
}}
"""

    def _start(self) -> list[str]:
        """Where an invocation is, what it looks up once, and its cells as encoded."""
        height, width, _ = self.plan.shape
        program = self.plan.program
        lines = [
            "int id = int(gl_LocalInvocationIndex), group = int(gl_WorkGroupID.x);",
            f"int member = group - group / {self.plan.members} * {self.plan.members};",
            f"bool here = id < {self.strips};",
            f"int strip = min(id, {self.strips - 1}), snapshot = 0, now = 0;",
            f"int y = strip / {width} * {self.rows}, x = strip - strip / {width} * {width};",
            f"int own = y * {width} + x;",
        ]
        lines.append(f"uint key = {'keys[member]' if glsl.uses(program, 'key') else '0u'};")
        reads = [node[1:] for node in program.nodes if node[0] == "read"]
        shared_reads = [
            (dy + k, dx)
            for dy, dx, _ in reads
            for k in range(self.rows)
            if dx or not 0 <= dy + k < self.rows
        ]
        for row in sorted({j for j, _ in shared_reads}):
            position = glsl.moved("y", row, height, self.plan.boundary)
            lines += self._offset(glsl.name("row", row), position, width)
        for column in sorted({dx for _, dx in shared_reads}):
            position = glsl.moved("x", column, width, self.plan.boundary)
            lines += self._offset(glsl.name("column", column), position, 1)
        lines.append(f"int first_param = member * {len(program.params)};")
        if self._few_params:
            used = glsl.params_used(program)
            lines += (f"float param{i} = params[first_param + {i}];" for i in used)
        lines += self._cells_as_encoded()
        return lines

    def _offset(self, name: str, position: str, pitch: int) -> list[str]:
        lines = [f"int {name} = {position};"]
        if self.plan.boundary == "zero":
            lines.append(f"{name} = {name} < 0 ? {-self.cells} : {name} * {pitch};")
        elif pitch > 1:
            lines.append(f"{name} *= {pitch};")
        return lines

    def _cells_as_encoded(self) -> list[str]:
        program, driven = self.plan.program, self.plan.encoder.driven
        width = self.plan.shape[1]
        lines = []
        for k in range(self.rows):
            for q, name in enumerate(program.media):
                if ("medium", name) in program.nodes:
                    place = f"(member * {len(program.media)} + {q}) * {self.cells} + own"
                    lines.append(f"float medium{q}_{k} = media[{place} + {k * width}];")
            for c in self.channels:
                value = f"encoded(group, own + {k * width}, {c})" if c in driven else "0.0"
                lines.append(f"float now{c}_{k} = {value};")
        return lines + self._shared_stores()

    def _shared_stores(self) -> list[str]:
        """Lines that show the strip's cells to the other invocations."""
        width = self.plan.shape[1]
        stores = [
            f"plane[now + {i * self.cells + k * width} + own] = now{c}_{k};"
            for i, c in enumerate(self.planes)
            for k in range(self.rows)
        ]
        return ["if (here) {", *(f"    {store}" for store in stores), "}"] if stores else []

    def _step(self) -> list[str]:
        program = self.plan.program
        outputs = [c for c, _ in program.outputs]
        width = self.plan.shape[1]
        names, lines = self._reads()
        lines += workgroup_convolution.lines(self)
        for k in range(self.rows):
            lines.append("float " + ", ".join(f"next{c}_{k}" for c in outputs) + ";")
            given = [self._argument(i, k, names) for i in glsl.leaves(program)]
            given += [f"uint(own + {k * width})", "key", "first + uint(done)"]
            given += [f"next{c}_{k}" for c in outputs]
            lines.append(f"rule({', '.join(given)});")
        if self.buffers == 1 and self.planes:
            lines.append("barrier();")  # all have read
        elif self.planes:
            lines.append(f"now = {len(self.planes) * self.cells} - now;")
        lines += [f"now{c}_{k} = next{c}_{k};" for k in range(self.rows) for c in outputs]
        return lines + self._shared_stores()

    def _argument(self, node: int, row: int, names: dict[tuple[int, int, int], str]) -> str:
        """A leaf of the rule, for one row of the strip."""
        program = self.plan.program
        op, *operands = program.nodes[node]
        if op == "convolve":
            return f"sum{node}_{row}"
        if op == "read":
            dy, dx, channel = operands
            return names[dy + row, dx, channel]
        if op == "medium":
            return f"medium{program.media.index(operands[0])}_{row}"
        number = operands[0]
        return f"param{number}" if self._few_params else f"params[first_param + {number}]"

    @property
    def _few_params(self) -> bool:
        return len(glsl.params_used(self.plan.program)) <= MOST_PARAMS

    def _reads(self) -> tuple[dict[tuple[int, int, int], str], list[str]]:
        """What each cell around the strip is called, and lines that look it up."""
        names: dict[tuple[int, int, int], str] = {}
        lines = []
        for dy, dx, channel in (n[1:] for n in self.plan.program.nodes if n[0] == "read"):
            for row in range(dy, dy + self.rows):
                if (row, dx, channel) in names:
                    continue
                if dx == 0 and 0 <= row < self.rows:
                    names[row, dx, channel] = f"now{channel}_{row}"
                    continue
                name = names[row, dx, channel] = (
                    f"{glsl.name('t', row)}{glsl.name('_x', dx)}_{channel}"
                )
                at = f"{glsl.name('row', row)} + {glsl.name('column', dx)}"
                start = self.planes.index(channel) * self.cells
                value = f"plane[now + {start} + {at}]"
                if self.plan.boundary == "zero":
                    value = f"{at} < 0 ? 0.0 : {value}"
                lines.append(f"float {name} = {value};")
        return names, lines
