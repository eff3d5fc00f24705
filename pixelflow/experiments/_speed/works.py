"""What the experiment `speed` computes: the works of its config, and who takes part in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pixelflow.core import Probe, ReservoirConfig
from pixelflow.core.plan import Plan, compile_plan
from pixelflow.tasks import mnist

OURS, FIELD = "pixelflow", "pixelflow-rc"
PEERS = ("jax", "torch.compile", "cupy", "cax", "cellpylib")
WITH_DEVICE = ("moderngl", "cuda")  # our backends whose memory is not the host's
STUDIES = {"by_n": "n", "by_grid": "side"}  # and what varies in each
TITLES = {"diffusion_reaction": "Gray-Scott", "life_like": "Life"}
CHANNELS = 4
STATES, IMAGES = "states", "mnist_uint8"
TOLD = {STATES: ", states in and out", IMAGES: ", uint8 images in"}  # "tile" is not told

Rounds = Mapping[str, Mapping[str, int]]  # how often each backend of each system has its turn


class Contender(NamedTuple):
    """Who is timed, and between which memories.

    `out` is "device" (from inputs on the device to features there), or the host's memory at both
    ends with features in a "reused" array or in a "fresh" one.
    """

    system: str
    backend: str
    out: str

    @property
    def transfers(self) -> bool:
        """Whether inputs come from the host and features go there."""
        return self.out != "device"

    @property
    def label(self) -> str:
        """Its name in the summary: "cuda_device", "field_cpu", "jax_cuda"."""
        if self.system == OURS:
            return f"{self.backend}_{self.out}"
        system = "field" if self.system == FIELD else self.system.replace(".", "_")
        return f"{system}_{self.backend}"


@dataclass(frozen=True)
class Work:
    """`n` inputs through `steps` steps of a rule on a square grid.

    `inputs` are "random" numbers or those of "mnist", both float32 and tiled; "mnist_uint8",
    images as they are on disk; or "states", textures. With `pool` the features are the texture's
    channels pooled to that grid, else the texture.
    """

    rule: str
    n: int
    side: int
    steps: int
    inputs: str
    pool: int | None = None

    @property
    def name(self) -> str:
        """As tables have it: "wave, 2000 x 32x32x4, 16 steps"."""
        title = TITLES.get(self.rule, self.rule)
        size = f"{self.n} x {self.side}x{self.side}x{CHANNELS}, {self.steps} steps"
        pooled = f", {self.pool}x{self.pool} pooled out" if self.pool else ""
        return f"{title}, {size}{TOLD.get(self.inputs, '')}{pooled}"

    @property
    def reservoir(self) -> dict[str, Any]:
        """Fields of the `ReservoirConfig` of either package; the encoder draws nothing."""
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
        """Ours, with the probe."""
        return ReservoirConfig(**self.reservoir, probe=Probe(pool=self.pool))

    def draw(self, random: Mapping[str, int]) -> np.ndarray:
        """Inputs: (n, columns) normal or of MNIST, images (n, 28, 28), states (n, H, W, C)."""
        if self.inputs in ("mnist", IMAGES):
            pixels = mnist.load()[0][: self.n]
            if len(pixels) < self.n:
                raise ValueError(f"{self.name}: MNIST has {len(pixels)} training images")
            if self.inputs == "mnist":
                return pixels
            return np.rint(pixels * 255).astype(np.uint8).reshape(-1, 28, 28)
        rng = np.random.default_rng(random["seed"])
        if self.inputs == STATES:
            return rng.random((self.n, self.side, self.side, CHANNELS), np.float32)
        return rng.standard_normal((self.n, random["columns"])).astype(np.float32)

    def plan(self, X: np.ndarray) -> Plan:
        """What a backend executes for these inputs."""
        return compile_plan(self.config, None if self.inputs == STATES else X.shape[1:])


def all_works(config: Mapping[str, Any]) -> list[tuple[Work, list[Contender], Rounds]]:
    """Every work of the config's section `speed`: those of `works`, then those of the studies.

    Raises
    ------
    ValueError
        If the config names a work twice, which would make two rows of one name.
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
        raise ValueError(f"config of speed: the work {twice[0]!r} stands there twice")
    return found


def named_work(entry: Mapping[str, Any]) -> Work:
    """The work of one entry of the config's `works`."""
    return Work(**{key: entry[key] for key in Work.__dataclass_fields__ if key in entry})


def study(entry: Mapping[str, Any]) -> Iterator[tuple[Work, list[Contender], Rounds]]:
    """The works of a scaling study, each with those for whom it is not too large.

    What is on a device is timed there, all else in the host's memory.
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
    """Everyone who takes part: the field's package, the peers, ours.

    `outs` is what is timed of ours; a backend without a device has the host's memory only.
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
