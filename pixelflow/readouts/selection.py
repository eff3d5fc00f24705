"""The choice among several penalties: on samples held out, or by exact leave-one-out errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pixelflow.readouts.arrays import Array, namespace, to_host, writeable
from pixelflow.readouts.base import affine, decided
from pixelflow.readouts.solvers import Decomposition, Eigendecomposition, Solver, ridge_path
from pixelflow.readouts.sums import Rows, joined, widened
from pixelflow.readouts.systems import DualEquations, NormalEquations, RotatedEquations, System
from pixelflow.readouts.targets import Targets

EVERY = 6  # of so many samples one is held out
MOST = 10_000  # samples held out
ONE_PASS = 4096  # equations up to which one pass over the samples serves all penalties
BATCH = 2048  # samples whose errors are computed at once
LEAST_LEFT = 1e-12  # 1 - leverage of a sample that no other one says anything about

# -- hold-out --------------------------------------------------------------------------------------


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
    """A random uint64 for each of these numbers (splitmix64), always the same for the same."""
    z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class HeldOut:
    """Samples held out of a stream."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self._priorities = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return sum(part.n_samples for part in self._parts)

    def rows(self) -> Rows:
        """All of them."""
        self._parts = [joined(self._parts)]
        return self._parts[0]

    def add(self, rows: Rows) -> None:
        """Hold copies of these, because their features' memory may be used for something else."""
        if rows.n_samples:
            self._parts.append(rows._replace(X=rows.X.copy()))

    def draw(self, rows: Rows, priorities: np.ndarray) -> Rows | None:
        """Hold the `MOST` of the smallest priorities so far; the others come back."""
        room = MOST - len(self)
        self.add(rows.part(0, room))
        self._priorities = np.concatenate([self._priorities, priorities[:room]])
        if len(priorities) <= room:
            return None
        rest, priorities = rows.part(room), priorities[room:]
        order = np.argsort(np.concatenate([self._priorities, priorities]), kind="stable")
        out, new = np.sort(order[MOST:]), np.sort(order[:MOST])
        slots, refused, taken = out[out < MOST], out[out >= MOST] - MOST, new[new >= MOST] - MOST
        held, entering = self.rows(), rest.take(taken)
        back = [held.take(slots), rest.take(refused)]
        if len(slots):
            held = Rows(*map(writeable, held))
            held.X[namespace(held.X).asarray(slots)] = entering.X
            width = max(held.targets.shape[1], entering.targets.shape[1])
            held = held._replace(targets=widened(held.targets, width))
            held.targets[slots] = widened(entering.targets, width)
            held.weights[slots] = entering.weights
            held.own_weights[slots] = entering.own_weights
            self._priorities[slots], self._parts = priorities[taken], [held]
        return joined(back)


def choose_by_holdout(
    system: System, alphas: Sequence[float], held: Rows, targets: Targets
) -> tuple[float, float]:
    """The best penalty on samples held out, the largest among equals, and its score.

    The score is the accuracy, or the negative squared error of a regression.
    """
    combine = targets.combine()
    columns = widened(held.targets, len(combine)) @ combine
    classes = targets.classes
    weights = held.own_weights if held.own_weights.any() else None
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


# -- leave-one-out, from the diagonal of the hat matrix --------------------------------------------


class Part(NamedTuple):
    """Samples as the equations have them: centred, scaled, times the roots of their weights."""

    features: Array  # (n, D)
    targets: Array  # (n, T)
    mean_leverage: Array  # (n,), what the intercept adds to the hat matrix's diagonal


def choose_by_loo(
    system: NormalEquations,
    alphas: Sequence[float],
    iter_again: Callable[[], Iterable[Rows]],
    combine: np.ndarray,
) -> tuple[float, float]:
    """The penalty of the smallest weighted squared error, the largest among equals, and its score.

    Parameters
    ----------
    system : NormalEquations
        Of all samples.
    iter_again : callable
        Goes over the samples once more. It is called once up to `ONE_PASS` features of alike
        scales, and for each penalty beyond.
    """
    return _choose(system, alphas, lambda: _parts(system, iter_again(), combine))


def choose_by_loo_in_memory(
    system: DualEquations | RotatedEquations, alphas: Sequence[float]
) -> tuple[float, float]:
    """The same of samples in memory that are fewer than their features."""
    mean = system.roots[:, 0] ** 2 / system.scaling.weight
    if isinstance(system, RotatedEquations):
        return _choose(system, alphas, lambda: [Part(system.rows, system.targets, mean)])
    eigen, errors = Eigendecomposition(system), []
    for alpha in alphas:
        kept = eigen.values / eigen.penalized_values(alpha)
        residual = system.rhs - eigen.vectors @ (eigen.rotated * kept[:, None])
        errors.append(_mean_error(residual, mean + eigen.vectors**2 @ kept))
    return _smallest(alphas, errors)


def _choose(
    system: System, alphas: Sequence[float], parts: Callable[[], Iterable[Part]]
) -> tuple[float, float]:
    solver, small = Solver(system, min(alphas)), system.size <= ONE_PASS
    together = [a for a in alphas if small and solver.decomposition_for_all(a) is not None]
    errors: dict[float, float] = {}
    eigen = solver.decomposition_for_all(together[0]) if together else None
    if eigen is not None:
        solutions = [eigen.solution(alpha) for alpha in together]
        errors.update(zip(together, _errors(eigen, solutions, together, parts()), strict=True))
    for alpha in (a for a in alphas if a not in errors):
        found = solver.solve(alpha) if small else solver.solve_by_factor(alpha)
        if found is None:
            raise ValueError(
                f"alpha = {alpha:g} is too small for leave-one-out: rounding is larger"
            )
        by, solution = found
        errors[alpha] = _errors(by, [solution], [alpha], parts())[0]
    return _smallest(alphas, [errors[alpha] for alpha in alphas])


def _parts(system: NormalEquations, rows: Iterable[Rows], combine: np.ndarray) -> Iterator[Part]:
    xp, scaling = system.xp, system.scaling
    for some in rows:
        for a in range(0, some.n_samples, BATCH):
            X, targets, weights, _ = some.part(a, a + BATCH)
            roots = xp.asarray(np.sqrt(weights))[:, None]
            aim = targets @ combine[: targets.shape[1]] - scaling.target_means
            mean = roots[:, 0] ** 2 / scaling.weight
            yield Part(scaling.apply(X) * roots, xp.asarray(aim) * roots, mean)


def _errors(
    by: Decomposition, solutions: list[Array], alphas: Sequence[float], parts: Iterable[Part]
) -> list[float]:
    """The mean squared leave-one-out error of each solution, in one pass over the samples."""
    n_samples, sums = 0, np.zeros(len(solutions))
    for Z, aim, mean in parts:
        for i, (solution, own) in enumerate(zip(solutions, by.leverages(Z, alphas), strict=True)):
            sums[i] += _mean_error(aim - Z @ solution, mean + own) * len(Z)
        n_samples += len(Z)
    return (sums / n_samples).tolist()


def _mean_error(residual: Array, leverages: Array) -> float:
    """The mean squared leave-one-out error, from the fit's errors (n, T) and leverages (n,)."""
    left = namespace(residual).maximum(1 - leverages, LEAST_LEFT)[:, None]
    return float(to_host(((residual / left) ** 2).mean()))


def _smallest(alphas: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    score, alpha = max((-error, alpha) for error, alpha in zip(errors, alphas, strict=True))
    return alpha, score
