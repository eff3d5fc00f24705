"""Ridge regression for many penalties: one eigendecomposition, or a Cholesky factor for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from pixelflow.readouts.arrays import Array, namespace, outside_pool, to_host
from pixelflow.readouts.scales import alike, powers_of_two
from pixelflow.readouts.symmetric import factorize, forward, mirror, restore, solve
from pixelflow.readouts.systems import System

EIGEN = 1024  # equations up to which one eigendecomposition serves all penalties
EIGEN_MOST = 8192  # up to which it serves where Cholesky can't
GOOD = 1e-9  # residual, relative to the right side, at which a solution is refined no further
ENOUGH = 1e-6  # at which it still counts as one
LOST = 1e6  # times the rounding: how much of the targets' variation may be lost unsaid


def ridge_path(system: System, alphas: Sequence[float]) -> Iterator[tuple[float, Array]]:
    """Each penalty and its solution (n, T), in float64; the largest first.

    Systems of up to `EIGEN` equations are decomposed once, in float64. Directions without variance
    get no weight, as in the least squares of smallest norm. A decomposition loses features whose
    scale is small beside others. A Cholesky factor keeps scales apart, so it is tried for each
    penalty at which they are unlike (see `Solver`).

    Larger systems get a Cholesky factor for each penalty, because it takes far less time. It is
    computed in the system's `dtype`, and the solution refined to float64 by its residuals; in
    float64 where that fails. Where that fails too, or for penalty 0, this penalty and all smaller
    ones go as in small systems. Beyond `EIGEN_MOST` equations they are left out, with a warning,
    but the largest gives way to a larger one, which then is yielded.
    """
    order = sorted(alphas, reverse=True)
    return _decomposed(system, order) if system.size <= EIGEN else _factorized(system, order)


def _decomposed(system: System, order: Sequence[float]) -> Iterator[tuple[float, Array]]:
    """Penalties in that order and their solutions, of a small system."""
    solver = Solver(system, order[-1])
    for alpha in order:
        yield alpha, solver.solve(alpha)[1]


def _factorized(system: System, order: Sequence[float]) -> Iterator[tuple[float, Array]]:
    """Penalties in that order and their solutions, of a large system."""
    factors = CholeskyFactors(system, least=order[-1])
    for i, alpha in enumerate(order):
        found = factors.solution(alpha) if alpha > 0 else None
        if found is None and alpha > 0 and factors.matrix.dtype == np.float32 and system.double:
            del factors  # before there is another
            factors = CholeskyFactors(system, np.float64, order[-1])
            found = factors.solution(alpha)
        if found is not None:
            yield alpha, found
        elif system.size <= EIGEN_MOST:
            del factors
            solver = Solver(system, order[-1])
            for smaller in order[i:]:
                yield smaller, solver.solve(smaller)[1]
            return
        else:
            if i == 0:
                yield factors.solution_with_more(alpha)
            for lost in order[max(i, 1) :]:
                _warn(system, lost, "it is left out")
            return


class Decomposition(Protocol):
    """What serves a penalty: an eigendecomposition, or a Cholesky factor until the next one."""

    system: System

    def solution(self, alpha: float) -> Array | None:
        """The solution (n, T) for a penalty; None where rounding has made it impossible."""
        ...

    def leverages(self, rows: Array, alphas: Sequence[float]) -> Iterator[Array]:
        """What features (m, n) add to the hat matrix's diagonal (m,), for each penalty."""
        ...


class Solver:
    """Solves a system in float64, penalty after penalty; decomposes it when that is first needed.

    Parameters
    ----------
    system : System
    least : float
        The smallest of the penalties.
    """

    def __init__(self, system: System, least: float) -> None:
        self.system, self._least = system, least
        self._eigen: Eigendecomposition | None = None
        self._factors: CholeskyFactors | None = None

    def decomposition_for_all(self, alpha: float) -> Eigendecomposition | None:
        """The decomposition that serves all penalties; None where it isn't precise for this."""
        if not alike(self.system.variances, alpha):
            return None
        self._eigen = self._eigen or Eigendecomposition(self.system)
        return None if self._eigen.loses(alpha) else self._eigen

    def solve_by_factor(self, alpha: float) -> tuple[Decomposition, Array] | None:
        """A Cholesky factor, until the next call, and its solution; None where it fails."""
        self._factors = self._factors or CholeskyFactors(self.system, np.float64, self._least)
        solution = self._factors.solution(alpha)
        return None if solution is None else (self._factors, solution)

    def solve(self, alpha: float) -> tuple[Decomposition, Array]:
        """What serves a penalty, until the next call, and its solution.

        The common decomposition, else a Cholesky factor, else a decomposition of the system with
        this penalty, scaled; with a warning where that loses something too.
        """
        eigen = self.decomposition_for_all(alpha)
        found = self.solve_by_factor(alpha) if eigen is None else None
        if found is not None:
            return found
        if eigen is None:
            eigen = Eigendecomposition(self.system, alpha)
            if eigen.loses(alpha):
                what = "what some features explain of y beside others"
                _warn(self.system, alpha, f"{what} is left out; standardize=True may keep it")
        return eigen, eigen.solution(alpha)


class Eigendecomposition:
    """Eigenvalues and vectors of a system: as it is, for all penalties, or scaled, for one."""

    def __init__(self, system: System, penalty: float | None = None) -> None:
        self.system, xp = system, system.xp
        self.powers: Array = None  # of two, that a scaled system's rows are multiplied by
        matrix, rhs = xp.empty((system.size, system.size), np.float64), system.rhs
        if penalty is None:
            system.fill(matrix)
        else:
            self.powers = powers_of_two(system.diagonal, penalty)
            system.fill(matrix, self.powers)
            rhs = self.powers[:, None] * rhs
            matrix.reshape(-1)[:: system.size + 1] += _penalties(self.powers, penalty)
        self.values, self.vectors = xp.linalg.eigh(matrix, UPLO="U")
        rounding = max(system.size * float(np.finfo(np.float64).eps), 8 * system.rounding)
        self.smallest = max(float(self.values[-1]), 0.0) * rounding
        self.rotated = self.vectors.T @ rhs

    def solution(self, alpha: float) -> Array:
        """The solution for a penalty, of the smallest norm."""
        solution = self.vectors @ (self.rotated / self.penalized_values(alpha)[:, None])
        if self.powers is None:
            return solution
        solution *= self.powers[:, None]
        none = self.vectors[:, : self._n_dropped()] * self.powers[:, None]
        if not none.size:
            return solution
        return solution - none @ self.system.xp.linalg.lstsq(none, solution, rcond=None)[0]

    def penalized_values(self, alpha: float) -> Array:
        """The eigenvalues (n,) plus a penalty; infinite where there is no variance."""
        with np.errstate(over="ignore"):
            values = self.values + alpha if self.powers is None else self.values
        return self.system.xp.where(self.values > self.smallest, values, np.inf)

    def leverages(self, rows: Array, alphas: Sequence[float]) -> Iterator[Array]:
        squares = ((rows if self.powers is None else rows * self.powers) @ self.vectors) ** 2
        for alpha in alphas:
            yield squares @ (1 / self.penalized_values(alpha))

    def loses(self, alpha: float) -> bool:
        """Whether directions that get no weight, because rounding hides them, explain some of y."""
        dropped, alpha = self._n_dropped(), alpha if self.powers is None else 0.0
        if not dropped or not self.smallest + alpha > 0:
            return False
        vectors = self.vectors[:, :dropped]
        if self.powers is not None:
            vectors = vectors * self.powers[:, None]
        gains = self.system.gains(vectors, self.smallest, alpha)
        with np.errstate(over="ignore"):  # what is infinite is more than what may be lost
            lost = to_host((self.rotated[:dropped] ** 2 * gains).sum(axis=0))
        return bool(np.any(lost > LOST * self.system.rounding * self.system.variation))

    def _n_dropped(self) -> int:
        return int((self.values <= self.smallest).sum())


class CholeskyFactors:
    """Cholesky factors of a system with any penalty, one at a time in one matrix's memory.

    The system itself, scaled by powers of two, stays in the lower triangle, and its diagonal
    beside it.
    """

    def __init__(self, system: System, dtype: DTypeLike | None = None, least: float = 0.0) -> None:
        self.system = system
        xp, size, dtype = system.xp, system.size, dtype or system.dtype
        self.powers = powers_of_two(system.diagonal, least)
        with outside_pool(xp, size, dtype):
            self.matrix = xp.empty((size, size), dtype)
        system.fill(self.matrix, self.powers)
        mirror(self.matrix)
        self.diagonal = self.matrix.diagonal().copy()

    def factor(self, alpha: float) -> Array | None:
        """The factor in the upper triangle, until the next call; None if there is none."""
        dtype = self.matrix.dtype
        with np.errstate(over="ignore"):  # what is beyond float32 has no factor in it
            diagonal = self.diagonal + _penalties(self.powers, alpha).astype(dtype)
        restore(self.matrix, diagonal)
        try:
            factorize(self.matrix)
        except np.linalg.LinAlgError:
            return None
        if dtype == np.float64:
            least = float((self.matrix.diagonal() ** 2 / diagonal).min())
            if not least > len(diagonal) * float(np.finfo(dtype).eps):
                return None  # rounding has made a number of what is none
        return self.matrix

    def solution(self, alpha: float) -> Array | None:
        system, factor = self.system, self.factor(alpha)
        xp = system.xp
        if factor is None:
            return None
        scale, penalties = self.powers[:, None], _penalties(self.powers, alpha)[:, None]
        rhs = system.rhs * scale
        solution = xp.zeros(rhs.shape)
        residual, error, size = rhs, 1.0, float(xp.abs(rhs).max())
        if size == 0:
            return solution
        for _ in range(20):
            step = solve(factor, residual / (size * error)).astype(np.float64) * (size * error)
            further = solution + step
            left = rhs - scale * system.product(scale * further) - penalties * further
            now = float(xp.abs(left).max()) / size
            if not now < error:  # or NaN
                break
            slow = now > error / 2
            solution, residual, error = further, left, now
            if error < GOOD or slow:
                break
        return solution * scale if error < ENOUGH else None

    def leverages(self, rows: Array, alphas: Sequence[float]) -> Iterator[Array]:
        """For the penalty last factorised with, whatever `alphas` are."""
        scaled = rows * self.powers
        forward(self.matrix, scaled)
        yield (scaled**2).sum(axis=1)

    def solution_with_more(self, alpha: float) -> tuple[float, Array]:
        """The next larger penalty that rounding leaves possible, and its solution."""
        largest = float(self.system.diagonal.max()) * self.system.rounding
        more, found = max(alpha, largest, float(np.finfo(self.matrix.dtype).tiny)), None
        while found is None and more < np.inf:
            more *= 4
            found = self.solution(more)
        if found is None:
            raise ValueError("the features are too large or too small to be solved for: scale them")
        _warn(self.system, alpha, f"{more:g} is used instead")
        return more, found


def _penalties(scales: Array, alpha: float) -> Array:
    """What a penalty adds to the diagonal of a scaled system; 1 where there is no variance."""
    return namespace(scales).where(scales > 0, alpha * scales**2, 1.0)


def _warn(system: System, alpha: float, what: str) -> None:
    warnings.warn(
        f"alpha = {alpha:g} is lost in the rounding of {system.size} features: {what}",
        RuntimeWarning,
        stacklevel=3,
    )
