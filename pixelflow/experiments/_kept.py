"""A cache of finished jobs in a folder, so that an interrupted run does not repeat them.

Results are pickles, which can run code when they are read, so nobody else may write to the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import joblib

from pixelflow import checks
from pixelflow.results import provenance

Result = TypeVar("Result")
FOLDER_VARIABLE = "PIXELFLOW_KEEP"  # names the folder; child processes inherit it


def run_cached(work: Callable[..., Result], job: tuple[Any, ...], seen: str) -> Result:
    """Return `work(*job)`, from the cache if the same job, data, code and machine had it before.

    Parameters
    ----------
    work : callable
    job : tuple
    seen : str
        The `digest` of all data that the work uses besides the job.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return work(*job)
    remember: Any = joblib.Memory(checks.path(FOLDER_VARIABLE, folder), verbose=0).cache(
        _call, ignore=["work"]
    )
    return remember(work, job, {"seen": seen, **_environment()})


def digest(*data: Any) -> str:
    """A hash of arrays and other values; empty if there is no cache folder."""
    return str(joblib.hash(data)) if os.environ.get(FOLDER_VARIABLE) else ""


@cache
def _environment() -> dict[str, Any]:
    """The code and the machine; cached, because this reads all source files and asks the driver."""
    found = provenance({})
    return {key: found[key] for key in ("sources_sha256", "versions", "cpu", "gpu")}


def _call(work: Callable[..., Result], job: tuple[Any, ...], depends_on: dict[str, Any]) -> Result:
    return work(*job)
