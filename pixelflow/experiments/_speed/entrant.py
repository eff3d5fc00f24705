"""A contender that is warmed up and ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FEW = 8  # inputs of the first call, which compiles; its features are compared


@dataclass
class Entrant:
    """One contender with its inputs.

    Attributes
    ----------
    renderer : str
        What it runs on.
    features : float32 array (FEW or fewer, D)
        The features of the first inputs.
    turn : callable
        Runs the contender and returns its times in seconds.
    """

    renderer: str
    features: np.ndarray
    turn: Callable[[], list[float]]
