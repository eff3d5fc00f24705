"""Ridge regression for many penalties: one eigendecomposition, or a Cholesky factor for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.arrays import apart
from pixelflow.readouts.symmetric import factorize, mirror, restore, solve

EIGEN = 1024  # equations up to which one eigendecomposition serves all penalties
EIGEN_MOST = 8192  # up to which it serves where Cholesky can't
GOOD = 1e-9  # residual, relative to the right side, at which a solution is refined no further
ENOUGH = 1e-6  # at which it still counts as one


def ridge_path(system: Any, alphas: Sequence[float]) -> Iterator[tuple[float, Any]]:
    """Each penalty and its solution (n, T), in float64; the largest first.

    Systems of up to `EIGEN` equations are decomposed once, in float64; directions without
    variance get no weight, as least squares of the smallest norm has it. Larger ones get a
    Cholesky factor for each penalty, which takes far less time: in the system's `dtype`, refined
    to the float64 solution by its residuals; in float64 where that fails. Where that fails too, or
    for penalty 0, this penalty and all smaller ones go by eigenvectors or, beyond `EIGEN_MOST`
    equations, are left out, with a warning; the largest gives way to a larger one, which then is
    yielded.
    """
    order = sorted(alphas, reverse=True)
    if system.size <= EIGEN:
        yield from _by_eigenvectors(system, order)
        return
    factors = Factors(system)
    for i, alpha in enumerate(order):
        found = factors.solution(alpha) if alpha > 0 else None
        if found is None and alpha > 0 and factors.matrix.dtype == np.float32 and system.double:
            del factors  # before there is another
            factors = Factors(system, np.float64)
            found = factors.solution(alpha)
        if found is not None:
            yield alpha, found
        elif system.size <= EIGEN_MOST:
            yield from _by_eigenvectors(system, order[i:])
            return
        else:
            if i == 0:
                yield factors.solution_with_more(alpha)
            for lost in order[max(i, 1) :]:
                _warn(system, lost, "it is left out")
            return


class Factors:
    """Cholesky factors of a system with any penalty, one at a time in one matrix's memory.

    The system itself stays in the lower triangle, and its diagonal beside it.
    """

    def __init__(self, system: Any, dtype: Any = None) -> None:
        self.system = system
        xp, size, dtype = system.xp, system.size, dtype or system.dtype
        with apart(xp, size, dtype):
            self.matrix = xp.empty((size, size), dtype)
        system.fill(self.matrix)
        mirror(self.matrix)
        self.diagonal = self.matrix.diagonal().copy()

    def of(self, alpha: float) -> Any:
        """The factor in the upper triangle, until the next is asked for; None if there is none."""
        with np.errstate(over="ignore"):  # what is beyond float32 has no factor in it
            diagonal = self.diagonal + self.matrix.dtype.type(alpha)
        restore(self.matrix, diagonal)
        try:
            factorize(self.matrix)
        except np.linalg.LinAlgError:
            return None
        return self.matrix

    def solution(self, alpha: float) -> Any:
        """The solution for a penalty; None where rounding has made it impossible."""
        system, factor = self.system, self.of(alpha)
        xp = system.xp
        if factor is None:
            return None
        solution = xp.zeros(system.rhs.shape)
        residual, error, size = system.rhs, 1.0, float(xp.abs(system.rhs).max())
        if size == 0:
            return solution
        for _ in range(20):
            step = solve(factor, residual / (size * error)).astype(np.float64) * (size * error)
            further = solution + step
            left = system.rhs - system.product(further) - alpha * further
            now = float(xp.abs(left).max()) / size
            if not now < error:  # or NaN
                break
            slow = now > error / 2
            solution, residual, error = further, left, now
            if error < GOOD or slow:
                break
        return solution if error < ENOUGH else None

    def solution_with_more(self, alpha: float) -> tuple[float, Any]:
        """The next larger penalty that rounding leaves possible, and its solution."""
        largest = float(self.diagonal.max()) * self.system.rounding
        more, found = max(alpha, largest, float(np.finfo(self.matrix.dtype).tiny)), None
        while found is None and more < np.inf:
            more *= 4
            found = self.solution(more)
        if found is None:
            raise ValueError("the features are too large or too small to be solved for: scale them")
        _warn(self.system, alpha, f"{more:g} is used instead")
        return more, found


def decomposed(system: Any) -> tuple[Any, Any, float]:
    """Eigenvalues, eigenvectors and the eigenvalue up to which a direction has no variance."""
    matrix = system.xp.empty((system.size, system.size), np.float64)
    system.fill(matrix)
    values, vectors = system.xp.linalg.eigh(matrix, UPLO="U")
    rounding = max(len(values) * float(np.finfo(np.float64).eps), 8 * system.rounding)
    return values, vectors, max(float(values[-1]), 0.0) * rounding


def _by_eigenvectors(system: Any, alphas: Sequence[float]) -> Iterator[tuple[float, Any]]:
    xp = system.xp
    values, vectors, smallest = decomposed(system)
    rotated = vectors.T @ system.rhs
    for alpha in alphas:
        shrunk = xp.where(values > smallest, values + alpha, np.inf)[:, None]
        yield alpha, vectors @ (rotated / shrunk)


def _warn(system: Any, alpha: float, what: str) -> None:
    warnings.warn(
        f"alpha = {alpha:g} is lost in the rounding of {system.size} features: {what}",
        RuntimeWarning,
        stacklevel=3,
    )
