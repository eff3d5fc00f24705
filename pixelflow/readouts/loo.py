"""Exact leave-one-out errors of ridge regression, from the diagonal of the hat matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.normal import Kernel, Normal
from pixelflow.readouts.path import Eigenvectors, Factors, Solver
from pixelflow.readouts.rotated import Rotated
from pixelflow.readouts.sums import Rows

EIGEN = 4096  # equations up to which one pass over the samples serves all penalties
ONE = 1e-12  # what is left of a sample that no other one says anything about


class Part(NamedTuple):
    """Samples as the equations have them: centred, scaled, times the roots of their weights."""

    features: Any  # (n, D)
    targets: Any  # (n, T)
    hat: Any  # (n,) what the intercept adds to the hat matrix's diagonal


def leave_one_out(
    system: Normal, alphas: Sequence[float], rows: Callable[[], Iterable[Rows]], combine: np.ndarray
) -> tuple[float, float]:
    """The penalty of the smallest weighted squared error, the largest among equals, and its score.

    Parameters
    ----------
    system : Normal
        Of all samples.
    rows : callable
        Goes over the samples once more. It is called once up to `EIGEN` features of alike scales,
        and for each penalty beyond.
    """
    return _best(system, alphas, lambda: _parts(system, rows(), combine))


def leave_one_out_dual(system: Kernel | Rotated, alphas: Sequence[float]) -> tuple[float, float]:
    """The same of samples in memory that are fewer than their features."""
    mean = system.roots[:, 0] ** 2 / system.scaling.weight
    if isinstance(system, Rotated):
        return _best(system, alphas, lambda: [Part(system.rows, system.targets, mean)])
    xp, found, errors = system.xp, Eigenvectors(system), []
    for alpha in alphas:
        kept = found.values / found.shrunk(alpha)
        residual = system.rhs - found.vectors @ (found.rotated * kept[:, None])
        errors.append(_mean(xp, residual, mean + found.vectors**2 @ kept))
    return _smallest(alphas, errors)


def _best(
    system: Any, alphas: Sequence[float], parts: Callable[[], Iterable[Part]]
) -> tuple[float, float]:
    solver, small = Solver(system, min(alphas)), system.size <= EIGEN
    together = [a for a in alphas if small and solver.serving_all(a) is not None]
    errors: dict[float, float] = {}
    if together:
        by: Any = solver.serving_all(together[0])
        solutions = [by.solution(alpha) for alpha in together]
        errors.update(zip(together, _errors(by, solutions, together, parts()), strict=True))
    for alpha in (a for a in alphas if a not in errors):
        found = solver.at(alpha) if small else solver.by_factor(alpha)
        if found is None:
            raise ValueError(
                f"alpha = {alpha:g} is too small for leave-one-out: rounding is larger"
            )
        by, solution = found
        errors[alpha] = _errors(by, [solution], [alpha], parts())[0]
    return _smallest(alphas, [errors[alpha] for alpha in alphas])


def _parts(system: Normal, rows: Iterable[Rows], combine: np.ndarray) -> Iterator[Part]:
    xp, scaling = system.xp, system.scaling
    for some in rows:
        for a in range(0, len(some.own), 2048):
            X, targets, weights, _ = (values[a : a + 2048] for values in some)
            roots = xp.asarray(np.sqrt(weights))[:, None]
            aim = xp.asarray(targets @ combine[: targets.shape[1]] - scaling.targets) * roots
            yield Part(scaling.apply(X) * roots, aim, roots[:, 0] ** 2 / scaling.weight)


def _errors(
    by: Eigenvectors | Factors, solutions: list[Any], alphas: Sequence[float], parts: Iterable[Part]
) -> list[float]:
    """The mean squared error left out of each solution, in one pass over the samples."""
    n_samples, sums = 0, np.zeros(len(solutions))
    for Z, aim, mean in parts:
        for i, (solution, hat) in enumerate(zip(solutions, by.leverages(Z, alphas), strict=True)):
            sums[i] += _mean(by.system.xp, aim - Z @ solution, mean + hat) * len(Z)
        n_samples += len(Z)
    return (sums / n_samples).tolist()


def _mean(xp: Any, residual: Any, hat: Any) -> float:
    """The mean squared error left out, of errors of the fit and the hat matrix's diagonal."""
    return float(to_host(((residual / xp.maximum(1 - hat, ONE)[:, None]) ** 2).mean()))


def _smallest(alphas: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    score, alpha = max((-error, alpha) for error, alpha in zip(errors, alphas, strict=True))
    return alpha, score
