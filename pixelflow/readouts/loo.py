"""Exact leave-one-out errors of ridge regression, from the diagonal of the hat matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.normal import Kernel, Normal
from pixelflow.readouts.path import Factors, decomposed
from pixelflow.readouts.sums import Rows
from pixelflow.readouts.symmetric import forward

EIGEN = 4096  # equations up to which one pass over the samples serves all penalties
ONE = 1e-12  # what is left of a sample that no other one says anything about


def leave_one_out(
    system: Normal, alphas: Sequence[float], rows: Callable[[], Iterable[Rows]], combine: np.ndarray
) -> tuple[float, float]:
    """The penalty of the smallest weighted squared error, the largest among equals, and its score.

    Parameters
    ----------
    system : Normal
        Of all samples.
    rows : callable
        Goes over the samples once more. It is called once up to `EIGEN` features, and for each
        penalty beyond.
    """
    if system.size <= EIGEN:
        return _best(alphas, _by_eigenvectors(system, alphas, rows, combine))
    errors, factors = [], Factors(system, np.float64)
    for alpha in alphas:
        solution = factors.solution(alpha)
        if solution is None:
            raise ValueError(
                f"alpha = {alpha:g} is too small for leave-one-out: rounding is larger"
            )
        hats = partial(_by_factor, factors.matrix)
        errors += _errors(system, [solution], hats, rows(), combine)
    return _best(alphas, errors)


def _by_factor(factor: Any, Z: Any) -> list[Any]:
    """What the features Z (n, D) add to the hat matrix's diagonal, by a Cholesky factor."""
    rows = Z.copy()
    forward(factor, rows)
    return [(rows**2).sum(axis=1)]


def _by_eigenvectors(
    system: Normal, alphas: Sequence[float], rows: Callable[[], Iterable[Rows]], combine: np.ndarray
) -> list[float]:
    """The mean squared error left out for each penalty, in one pass over the samples."""
    values, vectors, smallest = decomposed(system)
    rotated = vectors.T @ system.rhs
    shrunk = [system.xp.where(values > smallest, values + a, np.inf) for a in alphas]
    solutions = [vectors @ (rotated / s[:, None]) for s in shrunk]

    def hats(Z: Any) -> Iterable[Any]:
        squares = (Z @ vectors) ** 2
        return (squares @ (1 / s) for s in shrunk)

    return _errors(system, solutions, hats, rows(), combine)


def leave_one_out_dual(system: Kernel, alphas: Sequence[float]) -> tuple[float, float]:
    """The same of samples in memory that are fewer than their features."""
    xp = system.xp
    values, vectors, smallest = decomposed(system)
    rotated = vectors.T @ system.rhs
    mean = system.roots[:, 0] ** 2 / system.scaling.weight
    errors = []
    for alpha in alphas:
        kept = xp.where(
            values > smallest, values / xp.where(values > smallest, values + alpha, 1), 0
        )
        residual = system.rhs - vectors @ (rotated * kept[:, None])
        errors.append(_mean(xp, residual, mean + vectors**2 @ kept))
    return _best(alphas, errors)


def _errors(
    system: Normal, solutions: list[Any], hats: Any, rows: Iterable[Rows], combine: np.ndarray
) -> list[float]:
    """The mean squared error of each solution in one pass over the samples."""
    xp, n_samples, sums = system.xp, 0, np.zeros(len(solutions))
    scaling = system.scaling
    for part in rows:
        for a in range(0, len(part.own), 2048):
            X, targets, weights, _ = (values[a : a + 2048] for values in part)
            roots = xp.asarray(np.sqrt(weights))[:, None]
            Z = scaling.apply(X) * roots
            aim = xp.asarray(targets @ combine[: targets.shape[1]] - scaling.targets) * roots
            mean = roots[:, 0] ** 2 / scaling.weight
            for i, (solution, hat) in enumerate(zip(solutions, hats(Z), strict=True)):
                sums[i] += _mean(xp, aim - Z @ solution, mean + hat) * len(weights)
            n_samples += len(weights)
    return (sums / n_samples).tolist()


def _mean(xp: Any, residual: Any, hat: Any) -> float:
    """The mean squared error left out, of errors of the fit and the hat matrix's diagonal."""
    return float(to_host(((residual / xp.maximum(1 - hat, ONE)[:, None]) ** 2).mean()))


def _best(alphas: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    score, alpha = max((-error, alpha) for error, alpha in zip(errors, alphas, strict=True))
    return alpha, score
