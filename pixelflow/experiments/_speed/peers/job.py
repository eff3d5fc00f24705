"""The job of a peer, and the peer when it is ready to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


class CannotRun(Exception):
    """Raised if the peer can't run here; the message says what is missing and what to install."""


@dataclass(frozen=True)
class Job:
    """Steps of a rule with its parameters on textures (N, H, W, 4), on "cpu" or "cuda"."""

    rule: str
    params: dict[str, float] = field(repr=False)
    steps: int
    states: np.ndarray = field(repr=False)
    backend: str


@dataclass(frozen=True)
class Ready:
    """A peer with its textures in memory.

    Attributes
    ----------
    renderer : str
        What it runs on.
    result : callable
        Runs once and returns the first textures, as many as asked, in the host's memory.
    times : callable
        Runs n times and returns the times in seconds, without transfers.
    clear : callable
        Frees the memory that the library caches, after the textures have been deleted.
    """

    renderer: str
    result: Callable[[int], np.ndarray]
    times: Callable[[int], list[float]]
    clear: Callable[[], object] = lambda: None
