"""Plain CuPy: rolls and elementwise arithmetic, one kernel each, in a Python loop."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.rules import pack_fields, stepper, unpack_fields


def prepare(job: Job) -> Ready:
    """Prepare the loop and warm it up; CannotRun without CuPy or a GPU."""
    try:
        import cupy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install cupy-cuda12x or cupy-cuda13x") from error
    if job.backend != "cuda":
        raise CannotRun("CuPy runs on a GPU only")
    step = stepper(cupy, job.rule, job.params)
    resident = cupy.asarray(job.states)

    def loop() -> Any:
        fields = unpack_fields(resident)
        for _ in range(job.steps):
            fields = step(fields)
        return pack_fields(cupy, fields, resident)

    def times(n: int) -> list[float]:
        marks = [cupy.cuda.Event() for _ in range(n + 1)]
        marks[0].record()
        for mark in marks[1:]:
            loop()
            mark.record()
        marks[-1].synchronize()
        return [cupy.cuda.get_elapsed_time(a, b) / 1e3 for a, b in pairwise(marks)]

    loop()
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return Ready(
        renderer=f"{name}, CuPy {cupy.__version__}",
        result=lambda few: cupy.asnumpy(loop()[:few]),
        times=times,
        clear=cupy.get_default_memory_pool().free_all_blocks,
    )
