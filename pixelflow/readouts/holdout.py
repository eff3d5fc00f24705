"""The samples of a stream that a penalty is chosen on, and the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.arrays import namespace, writeable
from pixelflow.readouts.model import affine, decided
from pixelflow.readouts.path import ridge_path
from pixelflow.readouts.sums import Rows, joined, widened

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
    z = hashed(group)
    place = np.where(group == 0, 1, z % np.uint64(EVERY))  # two samples suffice for a choice
    return numbers % EVERY == place, z // np.uint64(EVERY)


def hashed(numbers: np.ndarray) -> np.ndarray:
    """A uint64 at random for each of these (splitmix64), always the same for the same."""
    z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Held:
    """Samples held out of a stream."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self._priorities = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return sum(len(part.own) for part in self._parts)

    def rows(self) -> Rows:
        """All of them."""
        self._parts = [joined(namespace(self._parts[0].X), self._parts)]
        return self._parts[0]

    def add(self, rows: Rows) -> None:
        """Hold these, whose features' memory may be used for something else afterwards."""
        if len(rows.own):
            self._parts.append(rows._replace(X=rows.X.copy()))

    def draw(self, rows: Rows, priorities: np.ndarray) -> Rows | None:
        """Hold the `MOST` of the smallest priorities so far; the others come back."""
        room = MOST - len(self)
        self.add(Rows(*(values[:room] for values in rows)))
        self._priorities = np.concatenate([self._priorities, priorities[:room]])
        if len(priorities) <= room:
            return None
        rest, priorities = Rows(*(values[room:] for values in rows)), priorities[room:]
        xp = namespace(rest.X)
        order = np.argsort(np.concatenate([self._priorities, priorities]), kind="stable")
        out, new = np.sort(order[MOST:]), np.sort(order[:MOST])
        slots, refused, taken = out[out < MOST], out[out >= MOST] - MOST, new[new >= MOST] - MOST
        held, entering = self.rows(), rest.take(xp, taken)
        back = [held.take(xp, slots), rest.take(xp, refused)]
        if len(slots):
            held = Rows(*map(writeable, held))
            held.X[xp.asarray(slots)] = entering.X
            width = max(held.targets.shape[1], entering.targets.shape[1])
            held = held._replace(targets=widened(held.targets, width))
            held.targets[slots] = widened(entering.targets, width)
            held.weights[slots], held.own[slots] = entering.weights, entering.own
            self._priorities[slots], self._parts = priorities[taken], [held]
        return joined(xp, back)


def choose(system: Any, alphas: Sequence[float], held: Rows, targets: Any) -> tuple[float, float]:
    """The best penalty on samples held out, the largest among equals, and its score.

    That is the accuracy, or the negative squared error of a regression.
    """
    combine = targets.combine()
    columns = widened(held.targets, len(combine)) @ combine
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
