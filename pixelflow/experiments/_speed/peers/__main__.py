"""A peer's process: `python -m pixelflow.experiments._speed.peers SYSTEM BACKEND`.

Each line of its input is a request in JSON, and is answered with a line. "get_ready" prepares a
work; the answer is the hardware that it runs on, and a file of its first textures. "turn" runs it;
the answer is its times. "leave" frees memory. The process ends when its input ends. One process
serves all works, so it imports its libraries once.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pixelflow.core import Probe, get_rule
from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.works import STATES, Work
from pixelflow.reservoir import Reservoir
from pixelflow.timing import burst

MODULES = {
    "jax": "with_jax",
    "torch.compile": "with_torch",
    "cupy": "with_cupy",
    "cax": "with_cax",
    "cellpylib": "with_cellpylib",
}


def textures(work: Work, random: dict[str, int]) -> np.ndarray:
    """The work's initial textures (n, H, W, C), made by our encoder."""
    X = work.draw(random)
    if work.inputs == STATES:
        return X
    start = Reservoir(replace(work.config, steps=0, probe=Probe()), backend="numba")
    return start.transform(X).reshape(len(X), *work.plan(X).shape)


def job(work: Work, random: dict[str, int], backend: str) -> Job:
    """The job for a work: its rule with the default parameters."""
    params = dict(get_rule(work.rule).params)
    return Job(work.rule, params, work.steps, textures(work, random), backend)


class Server:
    """Answers requests for one peer."""

    def __init__(self, system: str, backend: str) -> None:
        self.backend = backend
        self.module = importlib.import_module(f"{__package__}.{MODULES[system]}")
        self.ready: Ready | None = None
        self.n_calls = 1

    def get_ready(
        self, work: dict[str, Any], random: dict[str, int], few: int, features: str
    ) -> dict[str, Any]:
        """Prepare a work and save its first features to a file."""
        self.leave()  # frees the memory of the work before
        ready = self.ready = self.module.prepare(job(Work(**work), random, self.backend))
        first = ready.result(few)
        np.save(features, first.reshape(len(first), -1))
        self.n_calls = burst(min(ready.times(1)))
        return {"renderer": ready.renderer}

    def turn(self) -> dict[str, Any]:
        """Run one turn and return its times."""
        if self.ready is None:
            raise CannotRun("it was not got ready")
        return {"seconds": self.ready.times(self.n_calls)}

    def leave(self) -> dict[str, Any]:
        """Free the memory of the current work."""
        clear = self.ready.clear if self.ready else None
        self.ready = None
        gc.collect()
        if clear:
            clear()
        return {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request; any error is an answer, too."""
        calls: dict[str, Callable[..., dict[str, Any]]] = {
            "get_ready": self.get_ready,
            "turn": self.turn,
            "leave": self.leave,
        }
        try:
            return calls[request.pop("do")](**request)
        except CannotRun as error:
            return {"error": str(error)}
        except Exception as error:  # any error is an answer
            first = (str(error).strip() or "no message").splitlines()[0]
            return {"error": f"{type(error).__name__}: {first}"}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # else the output of a library would be read as an answer
    server = Server(*sys.argv[1:])
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
