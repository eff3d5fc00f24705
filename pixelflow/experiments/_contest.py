"""What the experiment `speed` computes, and one work timed on every system and backend."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.backends import get_backend
from pixelflow.core import Reservoir, ReservoirConfig
from pixelflow.experiments._field import FieldReservoir, NotMeasured
from pixelflow.tasks import mnist
from pixelflow.timing import Timing, in_turn, seconds

OURS, FIELD = "pixelflow", "pixelflow-rc"
STUDIES = {"by_n": "n", "by_grid": "side"}  # and what varies in each
TITLES = {"diffusion_reaction": "Gray-Scott"}
CHANNELS = 4
FEW = 8  # inputs of the first call, which compiles and whose features are compared
logger = logging.getLogger(__name__)

Contender = tuple[str, str]  # system and backend
Rounds = Mapping[str, Mapping[str, int]]  # how often each backend of each system runs


@dataclass(frozen=True)
class Work:
    """`n` inputs, "random" or of "mnist", through `steps` steps of a rule on a square grid."""

    rule: str
    n: int
    side: int
    steps: int
    inputs: str

    @property
    def name(self) -> str:
        """As tables have it: "wave, 2000 x 32x32x4, 16 steps"."""
        title = TITLES.get(self.rule, self.rule)
        return f"{title}, {self.n} x {self.side}x{self.side}x{CHANNELS}, {self.steps} steps"

    @property
    def reservoir(self) -> dict[str, Any]:
        """Fields of the `ReservoirConfig` of either package; the encoder draws nothing."""
        return {
            "width": self.side,
            "height": self.side,
            "channels": CHANNELS,
            "steps": self.steps,
            "rule": self.rule,
            "input_encoding": "tile",
        }

    def draw(self, random: Mapping[str, int]) -> np.ndarray:
        """Float32 inputs (n, D_in): the first of MNIST's training images, or normal numbers."""
        if self.inputs == "mnist":
            return mnist.load()[0][: self.n]
        shape = self.n, random["columns"]
        return np.random.default_rng(random["seed"]).standard_normal(shape).astype(np.float32)


def all_works(config: Mapping[str, Any]) -> list[tuple[Work, Rounds]]:
    """Every work of the config's section `speed`, the published ones and those of the studies.

    Raises
    ------
    ValueError
        If the config names a work twice, which would make two rows of one name.
    """
    works = [(published_work(entry), entry["rounds"]) for entry in config["works"].values()]
    for name in STUDIES:
        works += study(config[name])
    names = [work.name for work, _ in works]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"config of speed: the work {twice[0]!r} stands there twice")
    return works


def published_work(entry: Mapping[str, Any]) -> Work:
    """The work of one entry of the config's `works`."""
    return Work(**{key: entry[key] for key in ("rule", "n", "side", "steps", "inputs")})


def study(entry: Mapping[str, Any]) -> Iterator[tuple[Work, Rounds]]:
    """The works of a scaling study; the field's package takes those of no more than so many."""
    for point in entry["points"]:
        work = Work(entry["rule"], point["n"], point["side"], entry["steps"], "random")
        systems = [s for s in entry["rounds"] if s == OURS or work.n <= entry["field_n_max"]]
        yield work, {system: entry["rounds"][system] for system in systems}


def contenders(rounds: Rounds) -> list[Contender]:
    """Every system and backend that takes part, the field's package first."""
    return [(system, backend) for system in (FIELD, OURS) for backend in rounds.get(system, {})]


@dataclass
class Contest:
    """One work, timed on every contender, and what came of it.

    Attributes
    ----------
    rows : list of dict
        One per contender, also of those that can't run.
    agreement : dict of str to float
        The largest difference of the field's features from ours, by its backend.
    versions : dict of str to str
        What is installed in the field's environment.
    """

    work: Work
    rounds: Rounds
    rows: list[dict[str, Any]] = field(default_factory=list)
    agreement: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    _timed: dict[Contender, Callable[[], float]] = field(default_factory=dict)
    _renderers: dict[Contender, str] = field(default_factory=dict)
    _missing: dict[Contender, str] = field(default_factory=dict)

    def run(self, X: np.ndarray) -> None:
        """Time the contenders in turn on inputs (n, D_in)."""
        with tempfile.TemporaryDirectory(prefix="pixelflow-") as folder, ExitStack() as stack:
            path = Path(folder) / "inputs.npy"
            np.save(path, X)
            for system, backend in contenders(self.rounds):
                if system == FIELD:
                    self._enter_field(backend, X, path, stack)
                else:
                    self._enter_ours(backend, X)
            rounds = {(s, b): self.rounds[s][b] for s, b in self._timed}
            timings = in_turn(self._timed, rounds)
        for contender in contenders(self.rounds):
            timing = None if contender in self._missing else timings[contender]
            ran = self._missing.get(contender) or self._renderers[contender]
            self._add_row(contender, timing, ran)

    def _enter_ours(self, backend: str, X: np.ndarray) -> None:
        try:
            renderer = get_backend(backend).describe()
        except (ImportError, RuntimeError) as error:
            self._missing[OURS, backend] = f"not measured: {error}"
            return
        reservoir = Reservoir(ReservoirConfig(**self.work.reservoir), backend=backend)
        reservoir.transform(X if self.rounds[OURS][backend] > 1 else X[:FEW])
        self._renderers[OURS, backend] = renderer
        self._timed[OURS, backend] = lambda: seconds(lambda: reservoir.transform(X))

    def _enter_field(self, backend: str, X: np.ndarray, path: Path, stack: ExitStack) -> None:
        contender, config = (FIELD, backend), self.work.reservoir
        whole = self.rounds[FIELD][backend] > 1
        try:
            theirs = stack.enter_context(FieldReservoir(config, backend, path, FEW, whole))
        except NotMeasured as error:
            self._missing[contender] = f"not measured: {error}"
            return
        ours = Reservoir(ReservoirConfig(**config), backend="cpu").transform(X[:FEW])
        self.agreement[backend] = float(np.abs(theirs.features - ours).max())
        self.versions = theirs.versions
        self._renderers[contender] = theirs.renderer

        def timed() -> float:
            try:
                return theirs.seconds()
            except NotMeasured as error:  # no room for all inputs, say
                self._missing[contender] = f"not measured: {error}"
                return math.nan

        self._timed[contender] = timed

    def _add_row(self, contender: Contender, timing: Timing | None, ran: str) -> None:
        times = timing._asdict() if timing else {**dict.fromkeys(Timing._fields), "n": 0}
        row = {"work": self.work.name, "system": contender[0], "backend": contender[1]}
        self.rows.append({**row, "renderer": ran, **times, "transfers": True})
        took = f"{timing.median_ms:.3f} ms, n = {timing.n}, " if timing else ""
        logger.info("%s, %s %s: %s%s", self.work.name, *contender, took, ran)
