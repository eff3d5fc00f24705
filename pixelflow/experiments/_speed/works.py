"""The works of the experiment `speed`, and the contenders for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pixelflow.core import Probe, ReservoirConfig
from pixelflow.core.plan import Plan, compile_plan, compile_states
from pixelflow.tasks import mnist

OURS, FIELD = "pixelflow", "pixelflow-rc"
PEERS = ("jax", "torch.compile", "cupy", "cax", "cellpylib")
WITH_DEVICE = ("moderngl", "cuda")  # our backends that have memory of their own
STUDIES = {"by_n": "n", "by_grid": "side"}  # the field of `Work` that varies in each study
TITLES = {"diffusion_reaction": "Gray-Scott", "life_like": "Life"}
CHANNELS = 4
STATES, IMAGES = "states", "mnist_uint8"
INPUT_SUFFIXES = {STATES: ", states in and out", IMAGES: ", uint8 images in"}  # of a work's name

Rounds = Mapping[str, Mapping[str, int]]  # number of turns by system and backend


class Contender(NamedTuple):
    """A system and backend that is timed, and what the time includes.

    With `out` "device", inputs and features stay on the device. With "reused" and "fresh" they are
    in the host's memory, and the array of features exists before the call or is allocated by it.
    """

    system: str
    backend: str
    out: str

    @property
    def transfers(self) -> bool:
        """Whether the time includes transfers from and to the host's memory."""
        return self.out != "device"

    @property
    def label(self) -> str:
        """The name in the summary, such as "cuda_device", "field_cpu" or "jax_cuda"."""
        if self.system == OURS:
            return f"{self.backend}_{self.out}"
        system = "field" if self.system == FIELD else self.system.replace(".", "_")
        return f"{system}_{self.backend}"


@dataclass(frozen=True)
class Work:
    """A computation: `n` inputs, `steps` steps of a rule on a square grid.

    `inputs` are "random" numbers or "mnist" images, both float32 and encoded by `tile`;
    "mnist_uint8", images as on disk; or "states", textures. The features are the whole texture, or
    with `pool` its channels pooled to a grid of this size.
    """

    rule: str
    n: int
    side: int
    steps: int
    inputs: str
    pool: int | None = None

    @property
    def name(self) -> str:
        """The name in tables, such as "wave, 2000 x 32x32x4, 16 steps"."""
        title = TITLES.get(self.rule, self.rule)
        size = f"{self.n} x {self.side}x{self.side}x{CHANNELS}, {self.steps} steps"
        pooled = f", {self.pool}x{self.pool} pooled out" if self.pool else ""
        return f"{title}, {size}{INPUT_SUFFIXES.get(self.inputs, '')}{pooled}"

    @property
    def reservoir(self) -> dict[str, Any]:
        """Fields of the `ReservoirConfig` of either package; the encoder is not random."""
        return {
            "width": self.side,
            "height": self.side,
            "channels": CHANNELS,
            "steps": self.steps,
            "rule": self.rule,
            "input_encoding": "image" if self.inputs == IMAGES else "tile",
        }

    @property
    def config(self) -> ReservoirConfig:
        """Our config, with the probe."""
        return ReservoirConfig(**self.reservoir, probe=Probe(pool=self.pool))

    def draw(self, random: Mapping[str, int]) -> np.ndarray:
        """Make the inputs: (n, columns), normal or of MNIST; images (n, 28, 28); or states."""
        if self.inputs in ("mnist", IMAGES):
            pixels = mnist.load()[0][: self.n]
            if len(pixels) < self.n:
                raise ValueError(f"{self.name}: n must be at most {len(pixels)}, MNIST's images")
            if self.inputs == "mnist":
                return pixels
            return np.rint(pixels * 255).astype(np.uint8).reshape(-1, 28, 28)
        rng = np.random.default_rng(random["seed"])
        if self.inputs == STATES:
            return rng.random((self.n, self.side, self.side, CHANNELS), np.float32)
        return rng.standard_normal((self.n, random["columns"])).astype(np.float32)

    def plan(self, X: np.ndarray) -> Plan:
        """The plan that a backend executes for these inputs."""
        if self.inputs == STATES:
            return compile_states(self.config)
        return compile_plan(self.config, X.shape[1:])


def all_works(config: Mapping[str, Any]) -> list[tuple[Work, list[Contender], Rounds]]:
    """All works of the config's section `speed`: those of `works`, then those of the studies.

    Raises
    ------
    ValueError
        If the config has a work twice, because two rows would have the same name.
    """
    found = [
        (named_work(entry), contenders(entry["rounds"], entry["out"]), entry["rounds"])
        for entry in config["works"].values()
    ]
    for name in STUDIES:
        found += study(config[name])
    names = [work.name for work, *_ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"config of speed: works must differ, got {twice[0]!r} twice")
    return found


def named_work(entry: Mapping[str, Any]) -> Work:
    """The work of one entry of the config's `works`."""
    return Work(**{key: entry[key] for key in Work.__dataclass_fields__ if key in entry})


def study(entry: Mapping[str, Any]) -> Iterator[tuple[Work, list[Contender], Rounds]]:
    """Yield the works of a scaling study, each with the contenders that have time for its size.

    Backends with a device are timed on the device, all others in the host's memory.
    """
    for point in entry["points"]:
        work = Work(entry["rule"], point["n"], point["side"], entry["steps"], "random")
        most = entry["n_max"]
        rounds = {
            system: {b: k for b, k in backends.items() if work.n <= most.get(system, work.n)}
            for system, backends in entry["rounds"].items()
        }
        yield work, contenders(rounds, ["device"]), rounds


def contenders(rounds: Rounds, outs: list[str]) -> list[Contender]:
    """List the contenders: the field's package, the peers and our backends.

    Our backends are timed for each of `outs`; without a device, "reused" replaces "device".
    """
    found = [Contender(FIELD, backend, "fresh") for backend in rounds.get(FIELD, {})]
    for system in PEERS:
        found += [
            Contender(system, backend, "fresh" if backend == "cpu" else "device")
            for backend in rounds.get(system, {})
        ]
    for backend in rounds.get(OURS, {}):
        has = [out if backend in WITH_DEVICE or out != "device" else "reused" for out in outs]
        found += [Contender(OURS, backend, out) for out in dict.fromkeys(has)]
    return found
