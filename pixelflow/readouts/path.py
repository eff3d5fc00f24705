"""Ridge regression for many penalties: one eigendecomposition, or a Cholesky factor for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.factor import factorize, solve

EIGEN = 1024  # equations up to which one eigendecomposition serves all penalties
EIGEN_MOST = 8192  # up to which it serves where Cholesky can't
GOOD = 1e-9  # residual, relative to the right side, at which a solution is refined no further
ENOUGH = 1e-6  # at which it still counts as one


def ridge_path(system: Any, alphas: Sequence[float]) -> Iterator[tuple[float, Any]]:
    """Each penalty and its solution (n, T), in float64.

    Systems of up to `EIGEN` equations are decomposed once, in float64; directions without
    variance get no weight, as least squares of the smallest norm has it. Larger ones get a
    Cholesky factor for each penalty, which takes far less time: in the precision of the
    products of features, refined to the float64 solution by its residuals; in float64 where that
    fails; by eigenvectors where that fails too, or for penalty 0. Beyond `EIGEN_MOST` equations
    such a penalty is left out, with a warning; the largest gives way to a larger one, which then
    is yielded.
    """
    if system.size <= EIGEN:
        yield from _by_eigenvectors(system, alphas)
        return
    matrix = system.xp.empty((system.size, system.size), system.dtype)
    for alpha in alphas:
        found = None if alpha == 0 else _by_cholesky(system, alpha, matrix)
        if found is None and alpha > 0 and matrix.dtype == np.float32 and system.double:
            del matrix
            matrix = system.xp.empty((system.size, system.size), np.float64)
            found = _by_cholesky(system, alpha, matrix)
        if found is None and system.size <= EIGEN_MOST:
            found = next(_by_eigenvectors(system, [alpha]))
        if found is None and alpha < max(alphas):
            _warn(system, alpha, "it is left out")
        else:
            yield _with_more(system, alpha, matrix) if found is None else found


def decomposed(system: Any) -> tuple[Any, Any, float]:
    """Eigenvalues, eigenvectors and the eigenvalue up to which a direction has no variance."""
    matrix = system.xp.empty((system.size, system.size), np.float64)
    system.fill(matrix)
    values, vectors = system.xp.linalg.eigh(matrix)
    double = system.dtype == np.float64
    rounding = len(values) * np.finfo(np.float64).eps if double else 1e-6
    return values, vectors, max(float(values[-1]), 0.0) * rounding


def _by_eigenvectors(system: Any, alphas: Sequence[float]) -> Iterator[tuple[float, Any]]:
    xp = system.xp
    values, vectors, smallest = decomposed(system)
    rotated = vectors.T @ system.rhs
    for alpha in alphas:
        shrunk = xp.where(values > smallest, values + alpha, np.inf)[:, None]
        yield alpha, vectors @ (rotated / shrunk)


def _by_cholesky(system: Any, alpha: float, matrix: Any) -> tuple[float, Any] | None:
    """The solution, unless rounding has made it impossible; the matrix is overwritten."""
    xp = system.xp
    if not penalized(system, alpha, matrix):
        return None
    solution = xp.zeros(system.rhs.shape)
    residual, error, size = system.rhs, 1.0, float(xp.abs(system.rhs).max())
    if size == 0:
        return alpha, solution
    for _ in range(20):
        step = solve(xp, matrix, residual / (size * error)).astype(np.float64) * (size * error)
        further = solution + step
        left = system.rhs - system.product(further) - alpha * further
        now = float(xp.abs(left).max()) / size
        if not now < error:  # or NaN
            break
        slow = now > error / 2
        solution, residual, error = further, left, now
        if error < GOOD or slow:
            break
    return (alpha, solution) if error < ENOUGH else None


def penalized(system: Any, alpha: float, matrix: Any) -> bool:
    """Write the Cholesky factor of the system with a penalty; whether there is one."""
    system.fill(matrix)
    matrix.reshape(-1)[:: system.size + 1] += alpha
    try:
        factorize(system.xp, matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _with_more(system: Any, alpha: float, matrix: Any) -> tuple[float, Any]:
    """The solution for the next larger penalty that rounding leaves possible."""
    system.fill(matrix)
    largest = float(matrix.reshape(-1)[:: system.size + 1].max())
    more = max(alpha, largest * float(np.finfo(matrix.dtype).eps))
    found = None
    while found is None and more < np.inf:
        more *= 4
        found = _by_cholesky(system, more, matrix)
    if found is None:
        raise ValueError("the features are too large or too small to be solved for: scale them")
    _warn(system, alpha, f"{more:g} is used instead")
    return found


def _warn(system: Any, alpha: float, what: str) -> None:
    warnings.warn(
        f"alpha = {alpha:g} is lost in the rounding of {system.size} features: {what}",
        RuntimeWarning,
        stacklevel=3,
    )
