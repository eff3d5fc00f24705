"""The processes of the peers, one for each system and backend."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np

import pixelflow
from pixelflow.experiments._speed.entrant import FEW, Entrant
from pixelflow.experiments._speed.process import NotMeasured, Process
from pixelflow.experiments._speed.works import Contender, Work

READY_S, TURN_S = 90.0, 60.0  # time limits for preparing a work, and for a turn
ENDS = 2  # crashes or hangs after which a peer is not started again
ROOT = str(Path(pixelflow.__file__).resolve().parents[1])


class Peers:
    """The running processes; one is started when it is first needed, and again after it ended."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], Process] = {}
        self._ended: Counter[tuple[str, str]] = Counter()

    def enter(
        self, contender: Contender, work: Work, random: dict[str, int], stack: ExitStack
    ) -> Entrant:
        """Prepare a peer and warm it up on the work; `stack` frees its memory.

        Raises
        ------
        NotMeasured
            If it can't run here.
        """
        process = self._process(contender)
        with tempfile.TemporaryDirectory(prefix="pixelflow-") as folder:
            path = Path(folder) / "features.npy"
            request = {"work": asdict(work), "random": random, "few": FEW, "features": str(path)}
            answer = process.ask(READY_S, do="get_ready", **request)
            features: np.ndarray = np.load(path)
        stack.callback(_leave, process)

        def turn() -> list[float]:
            return process.ask(TURN_S, do="turn")["seconds"]

        return Entrant(answer["renderer"], features, turn)

    def close(self) -> None:
        """Kill all processes."""
        for process in self._running.values():
            process.close()
        self._running.clear()

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _process(self, contender: Contender) -> Process:
        key = contender.system, contender.backend
        if key in self._running and not self._running[key].running:
            self._running.pop(key).close()
            self._ended[key] += 1
        if self._ended[key] >= ENDS:
            raise NotMeasured(f"given up: its process ended {ENDS} times, see the works before")
        if key not in self._running:
            command = [sys.executable, "-m", "pixelflow.experiments._speed.peers", *key]
            path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
            self._running[key] = Process(command, "Python", {"PYTHONPATH": path})
        return self._running[key]


def _leave(process: Process) -> None:
    """Free a process's memory; kill the process if it can't."""
    try:
        process.ask(TURN_S, do="leave")
    except NotMeasured:
        process.close()
