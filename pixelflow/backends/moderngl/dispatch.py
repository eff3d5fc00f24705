"""The compute path, OpenGL 4.3: one dispatch takes every texture of a batch through all steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixelflow.backends.moderngl import convolution
from pixelflow.backends.moderngl.context import SHARED_MEMORY, SOFTWARE_PASSES, Device, Scratch
from pixelflow.backends.moderngl.latents import Latents
from pixelflow.backends.moderngl.workgroup import Workgroup
from pixelflow.backends.moderngl.workgroup_source import BUFFERS, source
from pixelflow.core.plan import Plan

if TYPE_CHECKING:
    import moderngl

CHUNK_BYTES = 256 * 2**20  # of features or latents
MOST_GROUPS = 65535  # of a dispatch, on every device


class Dispatch(Scratch):
    """All that one plan needs on a device, for batches up to a number of samples."""

    def __init__(self, device: Device, plan: Plan, inputs: np.ndarray, exact: bool) -> None:
        super().__init__(device)
        self.plan, self.latents = plan, Latents.of(plan, inputs)
        workgroup = workgroup_of(device, plan, inputs, exact)
        self.program = device.program(compute=source(workgroup))
        self.chunk = min(len(inputs), self._most(device))
        try:
            self.buffers = self._allocate()
            self.check()
        except BaseException:
            self.close()
            raise

    def _allocate(self) -> dict[str, moderngl.Buffer]:
        plan = self.plan
        return {
            "latents": self._reserve(self.chunk * self.latents.size * self.latents.itemsize),
            "sources": self._filled(plan.encoder.index.astype(np.int32)),
            "params": self._filled(plan.params),
            "media": self._filled(plan.media),
            "keys": self._filled(plan.keys),
            "weights": self._filled(convolution.weights(plan)),
            "features": self._reserve(4 * self.chunk * plan.feature_dim),
        }

    def _most(self, device: Device) -> int:
        """How many samples fit."""
        plan = self.plan
        each = max(4 * plan.feature_dim, self.latents.size * self.latents.itemsize)
        limit = min(CHUNK_BYTES, _largest_buffer(device))
        return max(1, min(MOST_GROUPS // plan.members, limit // each))

    def _reserve(self, n_bytes: int) -> moderngl.Buffer:
        return self.keep(self.context.buffer(reserve=max(4, -(-n_bytes // 4) * 4)))

    def _filled(self, numbers: np.ndarray) -> moderngl.Buffer:
        buffer = self._reserve(numbers.nbytes)
        if numbers.size:
            buffer.write(np.ascontiguousarray(numbers))
        return buffer

    def load(self, inputs: np.ndarray) -> None:
        """Upload a batch."""
        self.samples = len(inputs)
        self.buffers["latents"].write(self.latents.values(inputs))

    def run(self, times: tuple[int, ...] | None = None, first: int = 0) -> None:
        """From latents to features, all on the device; the first step has that number.

        They are read after other `times` than the plan's, as many, where these are given.
        """
        given = self.plan.times if times is None else times
        uniform = self.program["times"]
        uniform.value = given if uniform.array_length > 1 else given[-1]
        if "first" in self.program:  # else the rule asks for no number of steps
            self.program["first"].value = first
        for binding, name in enumerate(BUFFERS):
            self.buffers[name].bind_to_storage_buffer(binding)
        self.program.run(self.samples * self.plan.members)
        self.context.memory_barrier()

    def store(self, out: np.ndarray) -> None:
        """Fill `out` (n, M, S, features of a snapshot)."""
        self.check()
        features = self.buffers["features"]
        if out.flags.c_contiguous:
            features.read_into(out, size=out.nbytes)
        else:  # some of the members
            out[...] = np.frombuffer(features.read(out.nbytes), np.float32).reshape(out.shape)


def workgroup_of(device: Device, plan: Plan, inputs: np.ndarray, exact: bool) -> Workgroup:
    """How a plan would run in workgroups."""
    limits = device.limits
    return Workgroup(
        plan,
        exact,
        Latents.of(plan, inputs),
        limits[SHARED_MEMORY],
        limits.get("GL_MAX_COMPUTE_WORK_GROUP_INVOCATIONS", 1024),
    )


def fits(device: Device, plan: Plan, inputs: np.ndarray) -> bool:
    """Whether a plan can run in workgroups."""
    workgroup = workgroup_of(device, plan, inputs, exact=True)
    if not workgroup.fits or (device.software and workgroup.passes > SOFTWARE_PASSES):
        return False
    numbers = 4 * len(plan.times)  # an array of uniforms may take four for one
    uniforms = device.limits.get("GL_MAX_COMPUTE_UNIFORM_COMPONENTS", 512)  # the least there is
    return numbers <= uniforms and most_members(device, plan, inputs) > 0


def most_members(device: Device, plan: Plan, inputs: np.ndarray) -> int:
    """How many members of one sample fit at once; 0 where not even one does."""
    features = plan.feature_dim // plan.members
    latents = Latents.of(plan, inputs).length
    weights = 4 * convolution.n_texels(plan.program)
    numbers = max(features, latents, plan.media[0].size, plan.params[0].size, weights)
    return min(MOST_GROUPS, _largest_buffer(device) // (4 * numbers))


def _largest_buffer(device: Device) -> int:
    return device.limits["GL_MAX_SHADER_STORAGE_BLOCK_SIZE"]
