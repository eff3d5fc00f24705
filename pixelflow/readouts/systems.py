"""The systems of equations that ridge regression solves, for any penalty."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

import numpy as np
from scipy.linalg import qr

from pixelflow.readouts.arrays import Array, double_factors_fit, factor_dtype, namespace, to_host
from pixelflow.readouts.sums import Moments, Rows, Sums, weighted_moments
from pixelflow.readouts.symmetric import mirror, product, tiles


class System(Protocol):
    """A symmetric system of n equations for the coefficients, whose matrix is without penalty."""

    xp: ModuleType  # NumPy or CuPy, whose its arrays are
    size: int  # n
    rhs: Array  # (n, T), the right side
    diagonal: Array  # (n,) of the matrix, 0 where nothing but rounding is left
    rounding: float  # to which the matrix is known, relatively
    dtype: np.dtype  # what a Cholesky factor is tried in first
    double: bool  # whether it is tried in float64 then
    variances: Array  # of the features, times the samples' weight
    variation: np.ndarray  # (T,), the targets' sum of squares about their means

    def fill(self, matrix: Array, powers: Array | None = None) -> None:
        """Write the matrix, or its upper triangle, into another one (n, n).

        Its rows and columns are multiplied by powers of two (n,), if these are given.
        """
        ...

    def product(self, x: Array) -> Array:
        """The matrix times x (n, T)."""
        ...

    def gains(self, vectors: Array, smallest: float, alpha: float) -> Any:
        """What squares of the right side along these vectors (n, m) are to be multiplied with.

        That gives what these directions explain, at least, of the targets' `variation`, where their
        eigenvalues are below `smallest`.
        """
        ...

    def lift(self, solution: Array) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (T, D) and intercepts (T,) of a solution (n, T), on the host."""
        ...


class Scaling:
    """Where features are centred and what they are multiplied with, and the targets' means.

    All of it is relative to `shift`.
    """

    def __init__(
        self, moments: Moments, shift: Array, combine: np.ndarray, standardize: bool
    ) -> None:
        xp, smallest = namespace(shift), np.finfo(shift.dtype).tiny / np.finfo(shift.dtype).eps
        if not moments.weight > smallest:
            raise ValueError(
                "sample_weight and class_weight must not leave all samples without weight: "
                f"the sum is {moments.weight:.3g}"
            )
        self.shift = shift.astype(np.float64)
        self.weight = moments.weight
        self.mean = moments.first / moments.weight
        self.target_means = (moments.targets @ combine) / moments.weight
        # of labels one column is 1 and the others 0, so that no products of columns are missing
        squares = moments.squares @ combine**2
        rounding = float(np.finfo(np.float64).eps) * squares
        self.variation = np.maximum(squares - moments.weight * self.target_means**2, rounding)
        self.scale = xp.ones(len(self.mean))
        if standardize:
            own_mean = moments.own_first / moments.own_weight
            squares = moments.own_squares / moments.own_weight
            variance = xp.maximum(squares - own_mean**2, 0)
            noise = 8 * float(np.finfo(shift.dtype).eps) * squares + _steps(self.shift + own_mean)
            self.scale = xp.where(variance > noise, 1 / xp.sqrt(xp.maximum(variance, 1e-300)), 1.0)

    def apply(self, rows: Array) -> Array:
        """Features (n, D) centred and scaled, a copy in float64."""
        return ((rows.astype(np.float64) - self.shift) - self.mean) * self.scale

    def lift(self, coef: Array) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (T, D) and intercepts (T,) for features as they came, on the host."""
        coef = coef * self.scale[:, None]
        return to_host(coef.T), self.target_means - to_host((self.shift + self.mean) @ coef)


def _steps(mean: Array) -> Array:
    """The variance that float64's rounding alone may leave around a mean."""
    return (8 * float(np.finfo(np.float64).eps) * mean) ** 2


class NormalEquations:
    """The equations (D, D) of summed features, which are centred and perhaps standardised.

    Parameters
    ----------
    sums : Sums
    combine : float array (K, T)
        What makes T targets of the K columns that were summed.
    held : Rows or None
        Samples that the sums don't have, to be counted too.
    """

    def __init__(self, sums: Sums, combine: np.ndarray, held: Rows | None = None) -> None:
        sums.flush()
        xp = self.xp = sums.xp
        mirror(sums.gram)
        self.size, self._gram, self._extra = sums.size, sums.gram, None
        self.dtype = factor_dtype(xp, sums.size, sums.feature_dtype)
        self.rounding = float(np.finfo(sums.dtype).eps)
        moments, shift = sums.moments, sums.shift
        if held is not None:
            if shift is None:
                shift = held.origin().astype(sums.dtype)
            extra = held.X.astype(sums.dtype) - shift
            moments = moments.plus(weighted_moments(held._replace(X=extra), sums.standardize))
            self._extra = xp.ascontiguousarray(extra.T)  # so that tiles of it need no copies
        combine = combine[: len(moments.targets)]  # the last labels may all be held out
        self.scaling = Scaling(moments, shift, combine, sums.standardize)
        self.variation = self.scaling.variation
        means = xp.asarray(self.scaling.target_means)
        centred = moments.cross @ xp.asarray(combine)
        centred -= self.scaling.weight * self.scaling.mean[:, None] * means
        self.rhs = centred * self.scaling.scale[:, None]
        self.double = sums.gram.dtype == np.float64 and double_factors_fit(xp, sums.size)
        self.diagonal = self.variances = self._diagonal()

    def _diagonal(self) -> Array:
        squares = self._gram.diagonal().astype(np.float64)
        if self._extra is not None:
            for a, b in tiles(self.size):
                squares[a:b] += (self._extra[a:b] ** 2).sum(axis=1)
        left = squares - self.scaling.weight * self.scaling.mean**2
        return self.xp.where(left > 8 * self.rounding * squares, left, 0) * self.scaling.scale**2

    def gains(self, vectors: Array, smallest: float, alpha: float) -> float:
        return 1 / (smallest + alpha)

    def fill(self, matrix: Array, powers: Array | None = None) -> None:
        mean, scale, weight = self.scaling.mean, self.scaling.scale, self.scaling.weight
        scale = scale if powers is None else scale * powers
        for a, b in tiles(self.size):
            tile = self._gram[a:b, a:].astype(np.float64)
            if self._extra is not None:
                tile += self._extra[a:b] @ self._extra[a:].T
            tile -= (weight * mean[a:b, None]) * mean[a:]
            tile *= scale[a:b, None]
            tile *= scale[a:]
            matrix[a:b, a:] = tile

    def product(self, x: Array) -> Array:
        scaled = x * self.scaling.scale[:, None]
        found = product(self._gram, scaled)
        if self._extra is not None:
            seen = sum(self._extra[a:b].T @ scaled[a:b] for a, b in tiles(self.size))
            for a, b in tiles(self.size):
                found[a:b] += self._extra[a:b] @ seen
        mean = self.scaling.mean[:, None]
        found -= self.scaling.weight * mean * (mean.T @ scaled)
        return found * self.scaling.scale[:, None]

    def lift(self, solution: Array) -> tuple[np.ndarray, np.ndarray]:
        return self.scaling.lift(solution)


class DualEquations:
    """The equations (N, N) of N samples in memory, for fewer samples than features."""

    double, rounding, dtype = True, float(np.finfo(np.float64).eps), np.dtype(np.float64)

    def __init__(self, rows: Rows, combine: np.ndarray, standardize: bool) -> None:
        xp = self.xp = namespace(rows.X)
        self.size = rows.n_samples
        shift = rows.origin().astype(np.float64)
        moments = weighted_moments(rows._replace(X=rows.X.astype(np.float64) - shift), standardize)
        self.scaling = Scaling(moments, shift, combine, standardize)
        self.roots = xp.asarray(np.sqrt(rows.weights))[:, None]
        self.rows = self.scaling.apply(rows.X) * self.roots
        targets = rows.targets @ combine - self.scaling.target_means
        self.rhs = xp.asarray(targets) * self.roots
        self._matrix = self.rows @ self.rows.T
        self.diagonal = self._matrix.diagonal()
        self.variances = xp.einsum("nd,nd->d", self.rows, self.rows)
        self.variation = self.scaling.variation

    def gains(self, vectors: Array, smallest: float, alpha: float) -> Array:
        lengths = (vectors**2).sum(axis=0)  # 1, but of a scaled system
        variances = ((self.rows.T @ vectors) ** 2).sum(axis=0)
        counted = variances > smallest * self.size * self.rounding
        shares = variances / self.xp.where(counted, variances + alpha, 1)
        return self.xp.where(counted, shares / lengths, 0)[:, None]

    def fill(self, matrix: Array, powers: Array | None = None) -> None:
        _copy_scaled(self._matrix, matrix, powers)

    def product(self, x: Array) -> Array:
        return self._matrix @ x

    def lift(self, solution: Array) -> tuple[np.ndarray, np.ndarray]:
        return self.scaling.lift(self.rows.T @ solution)


class RotatedEquations:
    """The equations (N, N) of N samples in memory, whose features are rotated to N coordinates.

    They are for features of unlike scales. Products of samples, which the dual equations are made
    of, lose what features of small scales add to those of large ones. A QR decomposition of
    features (rows, the largest first) by samples (columns, pivoted) keeps each feature as precise
    as its own scale is, and the scales of the coordinates fall as those of the features do. It is
    computed on the host.

    References
    ----------
    Cox and Higham, Stability of Householder QR factorization for weighted least squares problems,
    Numerical Analysis 1997 (1998).
    """

    double, rounding, dtype = True, float(np.finfo(np.float64).eps), np.dtype(np.float64)
    xp: ModuleType = np

    def __init__(self, dual: DualEquations) -> None:
        self.size, self.roots = dual.size, to_host(dual.roots)
        self.scaling, self.variation, self._device = dual.scaling, dual.variation, dual.xp
        self.targets = to_host(dual.rhs)  # (N, T), as the features multiplied by the roots
        features = to_host(dual.rows).T
        scales = np.abs(features).max(axis=1)
        self._order = np.argsort(-scales, kind="stable")
        decomposed: Any = qr(features[self._order], True, mode="economic", pivoting=True)
        self._basis, coordinates, samples = decomposed
        rounding = self.size * np.sqrt(len(features)) * self.rounding
        rounding = rounding * scales[self._order[: self.size]]
        coordinates[np.abs(coordinates.diagonal()) <= rounding] = 0
        self.rows = np.empty((self.size, self.size))
        self.rows[samples] = coordinates.T
        self.rhs = self.rows.T @ self.targets
        self._matrix = self.rows.T @ self.rows
        self.diagonal = self.variances = self._matrix.diagonal()

    def gains(self, vectors: Array, smallest: float, alpha: float) -> float:
        return 1 / (smallest + alpha)

    def fill(self, matrix: Array, powers: Array | None = None) -> None:
        _copy_scaled(self._matrix, matrix, powers)

    def product(self, x: Array) -> Array:
        return self._matrix @ x

    def lift(self, solution: Array) -> tuple[np.ndarray, np.ndarray]:
        coef = np.empty((len(self._order), solution.shape[1]))
        coef[self._order] = self._basis @ solution
        return self.scaling.lift(self._device.asarray(coef))


def _copy_scaled(matrix: Array, into: Array, powers: Array | None) -> None:
    """Write a matrix into another, its rows and columns multiplied by powers of two if given."""
    into[...] = matrix
    if powers is not None:
        into *= powers
        into *= powers[:, None]
