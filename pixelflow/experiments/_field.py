"""The field's package, pixelflow-rc, run in an interpreter of its own for the timings."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

VARIABLE = "PIXELFLOW_RC_PYTHON"
SCRIPT = Path(__file__).with_name("_field_timing.py")


class NotMeasured(Exception):
    """The field's package can't be timed; the message says why."""


class FieldReservoir:
    """A reservoir of the field's package with its inputs, in a process that waits between runs.

    Parameters
    ----------
    config : mapping
        Fields of its `ReservoirConfig`.
    backend : str
        One of its backends: "cpu", "moderngl" or "cuda".
    inputs : path
        A .npy file of float32 inputs (N, D_in).
    few : int
        Inputs of a first call, whose features are kept.
    whole : bool
        Warm up with all inputs too.

    Attributes
    ----------
    renderer : str
        What it runs on.
    versions : dict of str to str
        What is installed in its environment.
    features : float32 array (few, D)
        Its features of the first `few` inputs.

    Raises
    ------
    NotMeasured
        If there is no such interpreter, it lacks something, or the process ends early.
    """

    def __init__(
        self, config: Mapping[str, Any], backend: str, inputs: Path, few: int, whole: bool
    ) -> None:
        self._log = tempfile.TemporaryFile("w+")
        self._process = self._start()
        try:
            with tempfile.TemporaryDirectory(prefix="pixelflow-") as folder:
                features = Path(folder) / "features.npy"
                answer = self._ask(
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
        return self._ask()["seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def __enter__(self) -> FieldReservoir:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[str]:
        python = os.environ.get(VARIABLE)
        if not python:
            raise NotMeasured(f"{VARIABLE} names no interpreter that has pixelflow-rc")
        try:
            return subprocess.Popen(
                [python, "-I", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        except OSError as error:
            raise NotMeasured(f"{VARIABLE} is {python}: {error.strerror}") from error

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            last = (self._log.read().strip() or "it printed nothing").splitlines()[-1]
            raise NotMeasured(f"its process ended with code {code}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise NotMeasured(answer["error"])
        return answer
