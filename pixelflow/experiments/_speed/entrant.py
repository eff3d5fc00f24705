"""What takes part in a contest: warmed up, and ready for its turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FEW = 8  # inputs of a first call, which compiles, and whose features are compared


@dataclass
class Entrant:
    """One contender with its inputs.

    Attributes
    ----------
    renderer : str
        What it runs on.
    features : float32 array (FEW or fewer, D)
        Its features of the first inputs.
    turn : callable
        Runs it and returns its times in seconds.
    """

    renderer: str
    features: np.ndarray
    turn: Callable[[], list[float]]
