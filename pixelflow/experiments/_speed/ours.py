"""Timing of our own backends, on the device or with transfers from and to the host's memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import numpy as np

from pixelflow.backends import get_backend
from pixelflow.backends.registry import Prepared, PreparedOnDevice
from pixelflow.core.plan import Plan
from pixelflow.experiments._speed.entrant import FEW, Entrant
from pixelflow.experiments._speed.process import NotMeasured
from pixelflow.experiments._speed.works import STATES, Contender, Work
from pixelflow.reservoir import Reservoir
from pixelflow.timing import burst, seconds


def enter(
    contender: Contender, work: Work, X: np.ndarray, rounds: int, stack: ExitStack
) -> Entrant:
    """Prepare one of our backends and warm it up on the work; `stack` frees its memory.

    Raises
    ------
    NotMeasured
        If it can't run here.
    """
    try:
        backend = get_backend(contender.backend)
        renderer = backend.describe()
    except (ImportError, RuntimeError) as error:
        raise NotMeasured(str(error)) from error
    plan = work.plan(X)
    flat = X.reshape(len(X), -1)
    features = np.empty((len(flat[:FEW]), plan.feature_dim), np.float32)
    prepared = backend.prepare(plan, True, None)
    prepared.features(flat[:FEW], features)
    if contender.out == "device":
        turn = _on_device(cast(PreparedOnDevice, prepared), flat, stack)
    else:
        turn = _in_host(contender, prepared, plan, work, X, rounds)
    return Entrant(renderer, features, turn)


def _on_device(
    prepared: PreparedOnDevice, flat: np.ndarray, stack: ExitStack
) -> Callable[[], list[float]]:
    resident = prepared.resident(flat)
    stack.callback(resident.release)
    n = burst(resident.times(1)[0])
    return lambda: resident.times(n)


def _in_host(
    contender: Contender, prepared: Prepared, plan: Plan, work: Work, X: np.ndarray, rounds: int
) -> Callable[[], list[float]]:
    """Make the turn of one call: a user's call, or for states in a reused array the backend's."""
    reservoir = Reservoir(work.config, backend=contender.backend)
    call: Callable[[], Any]
    if contender.out == "fresh":
        run = reservoir.evolve if work.inputs == STATES else reservoir.transform
        call = lambda: run(X)  # noqa: E731
    else:
        out = np.full((len(X), plan.feature_dim), 0, np.float32)  # written, so pages are allocated
        flat = X.reshape(len(X), -1)
        if work.inputs == STATES:  # `evolve` has no parameter `out`
            call = partial(prepared.features, flat, out)
        else:
            call = lambda: reservoir.transform(X, out=out)  # noqa: E731
    if rounds > 1:
        call()
    return lambda: [seconds(call)]
