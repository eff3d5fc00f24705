"""Running jobs on all GPUs of a machine, with one process for each GPU."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any, TypeVar

from pixelflow import available_backends

Result = TypeVar("Result")
VISIBLE = "CUDA_VISIBLE_DEVICES"
_WORKER: list[Callable[..., Any]] = []  # the function that a child process applies to its jobs


def gpus() -> list[str]:
    """CUDA's names of the GPUs that backend "cuda" may use; empty if the backend can't run."""
    if "cuda" not in available_backends():
        return []
    count = import_module("cupy").cuda.runtime.getDeviceCount()
    named = os.environ.get(VISIBLE, "")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


def map_jobs(
    make: Callable[[], Callable[..., Result]], jobs: Sequence[tuple[Any, ...]]
) -> Iterator[Result]:
    """Yield `make()(*job)` for each job, in the order of the jobs.

    With several GPUs, each GPU has a process that sees only this GPU, and jobs run in parallel;
    `make`, the jobs and their results are pickled then. Otherwise jobs run in this process, one by
    one.
    """
    found = gpus()
    if min(len(found), len(jobs)) < 2:
        work = make()
        for job in jobs:
            yield work(*job)
        return
    context = multiprocessing.get_context("spawn")  # because CUDA can't be used after a fork
    free = context.SimpleQueue()
    for name in found:
        free.put(name)
    with ProcessPoolExecutor(len(found), context, _start_worker, (free, make)) as pool:
        waiting = [pool.submit(_run_job, job) for job in jobs]
        try:
            for one in waiting:
                yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an error no further job starts


def _start_worker(free: Any, make: Callable[[], Callable[..., Any]]) -> None:
    os.environ[VISIBLE] = free.get()
    _WORKER[:] = [make()]


def _run_job(job: tuple[Any, ...]) -> Any:
    return _WORKER[0](*job)
