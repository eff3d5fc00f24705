"""The backends by name, what each must offer, and the choice of one."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from pixelflow.core.plan import Plan

logger = logging.getLogger("pixelflow")

BACKENDS = ("numba", "cpu")  # "auto" takes the first that can run here


class Backend(Protocol):
    """What a backend module offers."""

    def describe(self) -> str:
        """What it runs on here; ImportError or RuntimeError, with the remedy, if it can't."""
        ...

    def trajectories(self, plan: Plan, latents: np.ndarray, out: np.ndarray, exact: bool) -> None:
        """Fill `out` (n, M, S, H, W, C) with every member's textures after ``plan.times`` steps.

        `latents` (n, M, L), or (n, 1, L) where all members see the same, are the encoder's
        values, which its index spreads over the texture. Both are C-contiguous.
        """
        ...


def get_backend(name: str) -> Backend:
    """The backend of that name, able to run; "auto" is the fastest that can.

    Raises
    ------
    ValueError
        If there is no such backend.
    ImportError, RuntimeError
        If it can't run here; the message says what is missing.
    """
    if name == "auto":
        return _load(_fastest())
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}; known are {['auto', *sorted(BACKENDS)]}")
    backend = _load(name)
    backend.describe()
    return backend


def available_backends() -> dict[str, str]:
    """The backends that can run here, fastest first, and what each runs on.

    Examples
    --------
    >>> from pixelflow import available_backends
    >>> "cpu" in available_backends()
    True
    """
    return {name: text for name in BACKENDS if (text := _probe(name)[0])}


def _load(name: str) -> Backend:
    return import_module(f"pixelflow.backends.{name}")  # pyright: ignore[reportReturnType]


@cache
def _probe(name: str) -> tuple[str, str]:
    """What a backend runs on and why it can't: one of the two is empty."""
    try:
        return _load(name).describe(), ""
    except (ImportError, RuntimeError) as error:
        return "", str(error)


@cache
def _fastest() -> str:
    chosen = next(name for name in BACKENDS if _probe(name)[0])
    passed = "".join(f"; {n} can't run: {_probe(n)[1]}" for n in BACKENDS if _probe(n)[1])
    logger.info("backend auto: %s (%s)%s", chosen, _probe(chosen)[0], passed)
    return chosen
