"""Jobs for all GPUs of a machine: a process for each of several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

from pixelflow import available_backends

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DOES: list[Callable[..., Any]] = []  # what a process started here does with a job


def gpus() -> list[str]:
    """The GPUs that backend "cuda" may use, by the names that CUDA takes; none without it."""
    if "cuda" not in available_backends():
        return []
    count = import_module("cupy").cuda.runtime.getDeviceCount()
    named = os.environ.get(VISIBLE, "")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


def done(make: Callable[[], Callable[..., Any]], jobs: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """What `make()(*job)` gives for each job, in their order.

    On several GPUs so many run at once, each in a process of its own that sees one GPU alone;
    then `make`, jobs and what comes of them are pickled. Else they run here, one by one.
    """
    found = gpus()
    if min(len(found), len(jobs)) < 2:
        does = make()
        for job in jobs:
            yield does(*job)
        return
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    free = context.SimpleQueue()
    for name in found:
        free.put(name)
    with ProcessPoolExecutor(len(found), context, _begin, (free, make)) as pool:
        waiting = [pool.submit(_do, job) for job in jobs]
        try:
            for one in waiting:
                yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an error nothing more begins, nor stays


def _begin(free: Any, make: Callable[[], Callable[..., Any]]) -> None:
    os.environ[VISIBLE] = free.get()
    _DOES[:] = [make()]


def _do(job: tuple[Any, ...]) -> Any:
    return _DOES[0](*job)
