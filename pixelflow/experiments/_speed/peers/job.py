"""What a peer is asked to do, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


class CannotRun(Exception):
    """The peer can't run here; the message says what is missing and what to install."""


@dataclass(frozen=True)
class Job:
    """So many steps of a rule with its parameters on textures (N, H, W, 4), on "cpu" or "cuda"."""

    rule: str
    params: dict[str, float] = field(repr=False)
    steps: int
    states: np.ndarray = field(repr=False)
    backend: str


@dataclass(frozen=True)
class Ready:
    """A peer with its textures in place.

    Attributes
    ----------
    renderer : str
        What it runs on.
    result : callable
        Runs once and returns so many of the resulting textures, in the host's memory.
    times : callable
        Runs n times and returns the times in seconds, without transfers.
    clear : callable
        Gives back, once nothing refers to the textures, the memory that its library keeps.
    """

    renderer: str
    result: Callable[[int], np.ndarray]
    times: Callable[[int], list[float]]
    clear: Callable[[], object] = lambda: None
