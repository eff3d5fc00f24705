"""Finished jobs kept in a folder, so that a run that was cut short goes on where it ended.

They are pickles, which run code when read: the folder must be one that nobody else writes to.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import joblib

from pixelflow import checks
from pixelflow.results import provenance

FOLDER = "PIXELFLOW_KEEP"  # the environment variable that names it, for other processes too


def kept(work: Callable[..., Any], job: tuple[Any, ...], seen: str) -> Any:
    """`work(*job)`, or what came of it before: of the same job, data, code and machine.

    Parameters
    ----------
    work : callable
    job : tuple
    seen : str
        A hash of what else it depends on, as `digest` gives it.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return work(*job)
    remember = joblib.Memory(checks.path(FOLDER, folder), verbose=0).cache(_done, ignore=["work"])
    return remember(work, job, {"seen": seen, **_here()})


def digest(*data: Any) -> str:
    """A hash of arrays and the like; none where nothing is kept."""
    return str(joblib.hash(data)) if os.environ.get(FOLDER) else ""


@cache
def _here() -> dict[str, Any]:
    """The code and the machine: asked once, for it takes a look at every source and driver."""
    found = provenance({})
    return {key: found[key] for key in ("sources_sha256", "versions", "cpu", "gpu")}


def _done(work: Callable[..., Any], job: tuple[Any, ...], of: dict[str, Any]) -> Any:
    return work(*job)
