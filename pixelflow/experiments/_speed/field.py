"""Timing of the field's package, pixelflow-rc, in an interpreter of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.experiments._speed.entrant import FEW, Entrant
from pixelflow.experiments._speed.process import NotMeasured, Process
from pixelflow.experiments._speed.works import Contender, Work

VARIABLE = "PIXELFLOW_RC_PYTHON"
SCRIPT = Path(__file__).with_name("field_timing.py")
LIMIT_S = 600.0  # of one call; its shader backend takes a minute for the largest work


class FieldReservoir:
    """A reservoir of the field's package and its inputs, in a process that is idle between runs.

    Parameters
    ----------
    config : mapping
        Fields of that package's `ReservoirConfig`.
    backend : str
        One of that package's backends: "cpu", "moderngl" or "cuda".
    inputs : path
        A .npy file of float32 inputs (N, D_in).
    few : int
        Number of inputs of the first call, whose features are returned.
    whole : bool
        Whether to warm up with all inputs, too.

    Attributes
    ----------
    renderer : str
        What it runs on.
    versions : dict of str to str
        The versions in its environment.
    features : float32 array (few, D)
        The features of the first `few` inputs.

    Raises
    ------
    NotMeasured
        If there is no such interpreter, a package is missing, or the process ends early.
    """

    def __init__(
        self, config: Mapping[str, Any], backend: str, inputs: Path, few: int, whole: bool
    ) -> None:
        python = os.environ.get(VARIABLE)
        if not python:
            raise NotMeasured(f"{VARIABLE} names no interpreter that has pixelflow-rc")
        self.process = Process([python, "-I", str(SCRIPT)], VARIABLE)
        try:
            with tempfile.TemporaryDirectory(prefix="pixelflow-") as folder:
                features = Path(folder) / "features.npy"
                answer = self.process.ask(
                    LIMIT_S,
                    config=dict(config),
                    backend=backend,
                    inputs=str(inputs),
                    features=str(features),
                    few=few,
                    whole=whole,
                )
                self.features: np.ndarray = np.load(features)
        except BaseException:
            self.close()
            raise
        self.renderer: str = answer["renderer"]
        self.versions: dict[str, str] = answer["versions"]

    def seconds(self) -> float:
        """The time of one more `transform` of all inputs."""
        return self.process.ask(LIMIT_S)["seconds"]

    def close(self) -> None:
        """End the process."""
        self.process.close()

    def __enter__(self) -> FieldReservoir:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def enter(
    contender: Contender, work: Work, X: np.ndarray, rounds: int, stack: ExitStack
) -> tuple[Entrant, dict[str, str]]:
    """Prepare the field's package for the work, with its versions; `stack` ends its process.

    Raises
    ------
    NotMeasured
        If it can't run here.
    """
    if work.config.input_encoding != "tile" or X.ndim != 2 or work.pool:
        raise NotMeasured("it neither pools nor takes textures or images")
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pixelflow-"))) / "X.npy"
    np.save(path, X)
    theirs = FieldReservoir(work.reservoir, contender.backend, path, FEW, whole=rounds > 1)
    stack.enter_context(theirs)
    entrant = Entrant(theirs.renderer, theirs.features, lambda: [theirs.seconds()])
    return entrant, theirs.versions
