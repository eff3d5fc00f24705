"""The samples of a stream that a penalty is chosen on, and the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.model import affine, decided
from pixelflow.readouts.path import ridge_path
from pixelflow.readouts.sums import Rows, joined

EVERY = 6  # of so many samples one is held out
MOST = 10_000  # samples held out
TRAIN, HELD, LATER = 0, 1, 2  # what a sample is for


def drawn(first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n samples of a stream are held out, the first of them being number `first`.

    One at random of every six, by a hash of its number alone, so that it doesn't matter in which
    chunks they come.

    Returns
    -------
    held : bool array (n,)
    priorities : uint64 array (n,)
        Where there are too many, those with the largest are trained on.
    """
    numbers = np.arange(first, first + n, dtype=np.uint64)
    group = numbers // EVERY
    z = (group + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)  # splitmix64
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    place = np.where(group == 0, 1, z % np.uint64(EVERY))  # two samples suffice for a choice
    return numbers % EVERY == place, z // np.uint64(EVERY)


class Held:
    """Samples held out of a stream, `MOST` of them at most unless the caller has named them."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._parts: list[Rows] = []
        self._priorities = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._priorities)

    def rows(self) -> Rows:
        """All of them."""
        self._parts = [joined(self._xp, self._parts)]
        return self._parts[0]

    def add(self, rows: Rows, priorities: np.ndarray) -> Rows | None:
        """Hold these; what there is no room for comes back, to be trained on."""
        if not len(rows.own):
            return None
        self._parts.append(rows._replace(X=rows.X.copy()))  # a chunk's memory may be used again
        self._priorities = np.concatenate([self._priorities, priorities])
        if len(self) <= MOST:
            return None
        order = np.argsort(self._priorities, kind="stable")
        kept, over = np.sort(order[:MOST]), np.sort(order[MOST:])
        everything = self.rows()
        self._parts = [everything.take(self._xp, kept)]
        self._priorities = self._priorities[kept]
        return everything.take(self._xp, over)


def choose(system: Any, alphas: Sequence[float], held: Rows, targets: Any) -> tuple[float, float]:
    """The best penalty on samples held out, the largest among equals, and its score.

    That is the accuracy, or the negative squared error of a regression.
    """
    combine = targets.combine()
    columns = np.pad(held.targets, ((0, 0), (0, len(combine) - held.targets.shape[1]))) @ combine
    classes = targets.classes
    weights = held.own if held.own.any() else None
    found = []
    for alpha, solution in ridge_path(system, alphas):
        coef, intercept = system.lift(solution)
        decision = affine(held.X, coef, intercept)
        if classes is None:
            good = -((decision - columns) ** 2)
        else:
            good = decided(decision, classes) == decided(columns, classes)
        score = np.average(good.reshape(len(good), -1), axis=0, weights=weights).mean()
        found.append((float(score), alpha))
    score, alpha = max(found)
    return alpha, score
