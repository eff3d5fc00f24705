"""The fragment path: a batch's textures as tiles of an atlas, one draw a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixelflow.backends.moderngl import convolution
from pixelflow.backends.moderngl.context import SOFTWARE_PASSES, Device, Scratch
from pixelflow.backends.moderngl.fragment import Shaders
from pixelflow.backends.moderngl.fragment_probe import pool, probe
from pixelflow.backends.moderngl.fragment_source import VERTEX, encode, step
from pixelflow.backends.moderngl.glsl import ROW_BITS
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.leaves import params_used
from pixelflow.core.plan import Plan

if TYPE_CHECKING:
    import moderngl

    # Any is the program: see `Device.program`.
    Drawn = tuple[Any, moderngl.VertexArray]

CHUNK_BYTES = 256 * 2**20  # of an atlas' layers or of features
UNIFORM_BYTES = "GL_MAX_UNIFORM_BLOCK_SIZE"
CACHED_BYTES = 4 * 2**20  # of the layers, where software draws from the processor's cache


class Atlas(Scratch):
    """All that one plan needs on a device, for batches up to a number of samples."""

    def __init__(self, device: Device, plan: Plan, inputs: np.ndarray, exact: bool) -> None:
        super().__init__(device)
        self.plan = plan
        self.latents = Latents.of(plan, inputs)
        self.shaders = Shaders(
            plan,
            exact,
            device.version,
            device.largest,
            device.limits[UNIFORM_BYTES],
            _lanes(device, plan, inputs),
            self.latents,
        )
        self._refuse_what_does_not_fit()
        self.chunk = min(len(inputs), self._most())
        try:
            self._allocate()
            self._compile()
            self.check()
        except BaseException:
            self.close()
            raise

    def _refuse_what_does_not_fit(self) -> None:
        height, width, depth = self.plan.shape
        largest = self.device.largest
        if max(height, width) > largest:
            raise RuntimeError(
                f"a texture of {height} x {width} is larger than {self.device.renderer} holds, "
                f"{largest} x {largest}: take backend 'numba'"
            )
        held = largest << ROW_BITS
        numbers = max(self.plan.encoder.index.size, self.plan.media[0].size, self.latents.size)
        if numbers > held:
            raise RuntimeError(
                f"textures of {height} x {width} x {depth} take a table of {numbers} numbers, "
                f"{self.device.renderer} holds {held}: take backend 'numba'"
            )
        passes = 4 * (-(-max(height, width) // (self.plan.probe.pool or largest)) + 2)
        if self.device.software and passes > SOFTWARE_PASSES:
            raise RuntimeError(
                f"{self.device.renderer} can't pool {height} x {width} to so few cells: take "
                "backend 'numba'"
            )
        if self.device.software and convolution.passes(self.plan.program) > SOFTWARE_PASSES:
            raise RuntimeError(
                f"{self.device.renderer} can't sum over windows as large as the rule's: take "
                "backend 'numba'"
            )
        channels = 4 * _most_layers(self.device)
        if len(self.shaders.channels) > channels:
            raise RuntimeError(
                f"the rule reads and writes {len(self.shaders.channels)} channels, "
                f"{self.device.renderer} draws {channels}: take backend 'numba'"
            )

    def _most(self) -> int:
        """How many samples fit."""
        shaders, members, largest = self.shaders, self.plan.members, self.device.largest
        height, width, _ = self.plan.shape
        tile_bytes = height * width * 16 * shaders.layers
        layers_bytes = CACHED_BYTES if self.device.software else CHUNK_BYTES
        groups = min(shaders.most_tiles, layers_bytes // tile_bytes) // members
        by_features = min(
            largest // (members * shaders.most_rows),
            CHUNK_BYTES // (4 * max(self.plan.feature_dim, members * self._row_numbers)),
        )
        by_latents = (largest << ROW_BITS) // self.latents.size
        return max(1, min(max(1, groups) * shaders.lanes, by_features, by_latents))

    @property
    def _row_numbers(self) -> int:
        """Values of a member's snapshot on their way to being pooled."""
        return self.shaders.row_block if self.plan.probe.pool else 0

    def _allocate(self) -> None:
        plan, shaders, keep = self.plan, self.shaders, self.keep
        height, width, _ = plan.shape
        tiles = -(-self.chunk // shaders.lanes) * plan.members
        columns = 1
        while columns * width < (-(-tiles // columns)) * height and (
            2 * columns * width <= self.device.largest
        ):
            columns *= 2
        self.tile_bits = columns.bit_length() - 1
        size = (min(columns, tiles) * width, -(-tiles // columns) * height)
        context = self.context
        self.states, self.frames = [], []
        for _ in range(2):
            atlases = [keep(context.texture(size, 4, dtype="f4")) for _ in range(shaders.layers)]
            self.states.append(atlases)
            self.frames.append(keep(context.framebuffer(atlases)))
        rows, texels = shaders.feature_rows
        size = (texels, self.chunk * plan.members * rows)
        self.read = [keep(context.texture(size, 4, dtype="f4")) for _ in plan.times]
        self.read_frames = [keep(context.framebuffer([texture])) for texture in self.read]
        if plan.probe.pool:
            rows, texels = shaders.row_rows
            pooled = (texels, self.chunk * plan.members * rows)
            self.rows = keep(context.texture(pooled, 4, dtype="f4"))
            self.rows_frame = keep(context.framebuffer([self.rows]))
        self.back = keep(context.buffer(reserve=4 * 4 * size[0] * size[1]))
        numbers = np.empty(self.chunk * self.latents.size, "u1" if self.latents.as_bytes else "f4")
        self.uploaded = self._table(numbers)
        self.tables, self.weights = self._tables(), None
        if shaders.weights_as_uniforms:
            self.weights = keep(context.buffer(convolution.weights(plan)))

    def _tables(self) -> dict[str, moderngl.Texture]:
        """What shaders look up."""
        plan = self.plan
        tables = {
            "sources": self._table(plan.encoder.index.astype(np.int32)),
            "media": self._table(plan.media),
            "params": self._table(plan.params),
            "keys": self._table(plan.keys),
        }
        if not self.shaders.weights_as_uniforms:
            tables["weights"] = self._table(convolution.weights(plan), components=4)
        return tables

    def _table(self, numbers: np.ndarray, components: int = 1) -> moderngl.Texture:
        """Numbers as a texture of one or more components, to be read by `table_cell`."""
        columns, texels = 2**ROW_BITS, numbers.size // components
        size = (min(columns, max(1, texels)), max(1, -(-texels // columns)))
        dtype = {"f": "f4", "i": "i4", "u": f"u{numbers.itemsize}"}[numbers.dtype.kind]
        texture = self.keep(self.context.texture(size, components, dtype=dtype))
        texture.filter = (0x2600, 0x2600)  # nearest: whole numbers have no other
        write_table(texture, numbers)
        return texture

    def _compile(self) -> None:
        def made(fragment: str) -> Drawn:
            program = self.device.program(vertex_shader=VERTEX, fragment_shader=fragment)
            return program, self.keep(self.context.vertex_array(program, []))

        self.encode, self.step = made(encode(self.shaders)), made(step(self.shaders))
        self.probe = made(probe(self.shaders))
        self.pool = made(pool(self.shaders)) if self.plan.probe.pool else None

    def load(self, inputs: np.ndarray) -> None:
        """Upload a batch."""
        self.samples = len(inputs)
        write_table(self.uploaded, self.latents.values(inputs))

    def run(self, times: tuple[int, ...] | None = None, first: int = 0) -> None:
        """From latents to features, all on the device; the first step has that number.

        They are read after other `times` than the plan's, as many, where these are given.
        """
        now, after, times = 0, 1, self.plan.times if times is None else times
        self._set(self.encode[0], samples=self.samples)
        self._draw(self.encode, self.frames[now], [])
        self._set(self.probe[0])
        self._set(self.step[0], **self._of_one_member())
        if self.weights is not None:
            self.weights.bind_to_uniform_block(self.step[0]["of_weights"].binding)
        done_once = self.step[0].get("done", None)
        for done in range(times[-1] + 1):
            if done in times:
                target = self.read_frames[times.index(done)]
                self._read(target, self.states[now])
            if done < times[-1]:
                if done_once is not None:
                    done_once.value = first + done
                self._draw(self.step, self.frames[after], self.states[now])
                now, after = after, now

    def _read(self, target: moderngl.Framebuffer, states: list[moderngl.Texture]) -> None:
        """Draw the features of a snapshot."""
        if self.pool is None:
            self._draw(self.probe, target, states)
        else:
            self._draw(self.probe, self.rows_frame, states)
            self._draw(self.pool, target, [self.rows])

    def store(self, out: np.ndarray) -> None:
        """Fill `out` (n, M, S, features of a snapshot)."""
        self.check()
        rows, texels = self.shaders.feature_rows
        height = self.samples * self.plan.members * rows
        for k, frame in enumerate(self.read_frames):
            view = (0, 0, texels, height)
            frame.read_into(self.back, view, components=4, dtype="f4")
            size = 4 * rows * texels
            whole = out.flags.c_contiguous and len(self.read) == 1 and size == out.shape[-1]
            if whole:
                self.back.read_into(out, size=out.nbytes)
                continue
            got = np.frombuffer(self.back.read(size=16 * texels * height), np.float32)
            got = got.reshape(self.samples, self.plan.members, size)
            out[:, :, k] = got[..., : out.shape[-1]]

    def _of_one_member(self) -> dict[str, float]:
        plan = self.plan
        if plan.members > 1:
            return {}
        key: dict[str, float] = {"key": int(plan.keys[0])}
        if not self.shaders.as_uniforms:
            return key
        used = params_used(plan.program)
        return key | {f"param{i}": float(plan.params[0, i]) for i in used}

    def _set(self, program: Any, **uniforms: float) -> None:
        """Set what a program uses of these uniforms and of the tables' places."""
        uniforms["tile_bits"] = self.tile_bits
        for k in range(self.shaders.layers):
            uniforms[f"now{k}"] = k
        places = [*self.tables, "latents"]
        uniforms |= {name: self.shaders.layers + k for k, name in enumerate(places)}
        for name, value in uniforms.items():
            if name in program:
                program[name].value = value

    def _draw(
        self, drawn: Drawn, target: moderngl.Framebuffer, states: list[moderngl.Texture]
    ) -> None:
        _, triangle = drawn
        for k, texture in enumerate(states):
            texture.use(k)
        for k, texture in enumerate([*self.tables.values(), self.uploaded]):
            texture.use(self.shaders.layers + k)
        target.use()
        triangle.render(vertices=3)


def _lanes(device: Device, plan: Plan, inputs: np.ndarray) -> int:
    """How many samples a fragment computes."""
    lanes = min(4, 1 << (len(inputs) - 1).bit_length())
    while lanes > 1 and lanes * len(plan.program.held) > 4 * _most_layers(device):
        lanes //= 2
    return lanes


def _most_layers(device: Device) -> int:
    """Atlases that a draw can write, and read beside its other textures."""
    limits = device.limits
    return min(limits["GL_MAX_DRAW_BUFFERS"], limits["GL_MAX_TEXTURE_IMAGE_UNITS"] - 6)


def most_members(device: Device, plan: Plan, inputs: np.ndarray) -> int:
    """How many members of one sample fit at once, at least 1."""
    latents = Latents.of(plan, inputs)
    limits = device.largest, device.limits[UNIFORM_BYTES]
    shaders = Shaders(plan, True, device.version, *limits, 1, latents)
    numbers = max(plan.media[0].size, plan.params[0].size, latents.length)
    by_tables = (device.largest << ROW_BITS) // numbers
    by_features = device.largest // shaders.most_rows
    return max(1, min(shaders.most_tiles, by_features, by_tables))


def write_table(texture: moderngl.Texture, numbers: np.ndarray) -> None:
    """Fill the start of a table."""
    flat = numbers.reshape(-1, texture.components)
    columns = texture.size[0]
    rows, rest = divmod(len(flat), columns)
    if rows:
        texture.write(flat[: rows * columns], viewport=(0, 0, columns, rows))
    if rest:
        texture.write(flat[rows * columns :], viewport=(0, rows, rest, 1))
