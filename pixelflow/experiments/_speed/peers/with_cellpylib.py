"""cellpylib: Conway's Life with a Python call for each cell, so only for small works."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.timing import seconds


def prepare(job: Job) -> Ready:
    """Prepare `evolve2d`, texture by texture; CannotRun without cellpylib or for other rules."""
    try:
        import cellpylib  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install cellpylib") from error
    if (job.rule, job.backend) != ("life_like", "cpu"):
        raise CannotRun(f"it has Life on the processor, not {job.rule} on {job.backend}")
    alive = (job.states[..., 0] >= job.params["threshold"]).astype(np.int32)

    def run() -> np.ndarray:
        after = job.states.copy()
        for state, grid in zip(after, alive, strict=True):
            rule = cellpylib.game_of_life_rule
            history = cellpylib.evolve2d(grid[None], job.steps + 1, rule, neighbourhood="Moore")
            state[..., 0] = history[-1]
        return after

    return Ready(
        renderer=f"cellpylib {version('cellpylib')}, NumPy {np.__version__} on 1 thread",
        result=lambda few: run()[:few],
        times=lambda n: [seconds(run) for _ in range(n)],
    )
