"""The systems of equations that ridge regression solves, for any penalty.

A system is symmetric and has a size n, a right side `rhs` (n, T), `fill`, `product` and `diagonal`
(0 where nothing but rounding is left) for its matrix without penalty, and `lift`, which makes
coefficients of its solution. `variances` are those of the features, times the samples' weight. The
squares of the right side along some directions times `gains` are what these explain, at least, of
the targets' `variation` (T,), where eigenvalues are below `smallest`. The matrix is known to a
relative `rounding`; factors are tried in `dtype` first, and in float64 if it is `double`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.readouts import precision
from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.sums import Moments, Rows, Sums, weighed
from pixelflow.readouts.symmetric import mirror, product, tiles


class Scaling:
    """Where features are centred and what they are multiplied with, and the targets' means.

    All of it is relative to `shift`.
    """

    def __init__(
        self, xp: Any, moments: Moments, shift: Any, combine: np.ndarray, standardize: bool
    ) -> None:
        smallest = np.finfo(shift.dtype).tiny / np.finfo(shift.dtype).eps
        if not moments.weight > smallest:
            raise ValueError(
                "sample_weight and class_weight must not leave all samples without weight: "
                f"the sum is {moments.weight:.3g}"
            )
        self.shift = shift.astype(np.float64)
        self.weight = moments.weight
        self.mean = moments.first / moments.weight
        self.targets = (moments.targets @ combine) / moments.weight
        # of labels one column is 1 and the others 0, so that no products of columns are missing
        squares = moments.squares @ combine**2
        rounding = float(np.finfo(np.float64).eps) * squares
        self.variation = np.maximum(squares - moments.weight * self.targets**2, rounding)
        self.scale = xp.ones(len(self.mean))
        if standardize:
            own_mean = moments.own_first / moments.own
            squares = moments.own_squares / moments.own
            variance = xp.maximum(squares - own_mean**2, 0)
            noise = 8 * float(np.finfo(shift.dtype).eps) * squares + _steps(self.shift + own_mean)
            self.scale = xp.where(variance > noise, 1 / xp.sqrt(xp.maximum(variance, 1e-300)), 1.0)

    def apply(self, rows: Any) -> Any:
        """Features (n, D) centred and scaled, a copy in float64."""
        return ((rows.astype(np.float64) - self.shift) - self.mean) * self.scale

    def lift(self, coef: Any) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (T, D) and intercepts (T,) for features as they came, on the host."""
        coef = coef * self.scale[:, None]
        return to_host(coef.T), self.targets - to_host((self.shift + self.mean) @ coef)


def _steps(mean: Any) -> Any:
    """The variance that float64's rounding alone may leave around a mean."""
    return (8 * float(np.finfo(np.float64).eps) * mean) ** 2


class Normal:
    """The normal equations (D, D) of features centred and, as the sums say, scaled.

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
        self.dtype = precision.of_factors(xp, sums.size, sums.feature_dtype)
        self.rounding = float(np.finfo(sums.dtype).eps)
        moments, shift = sums.moments, sums.shift
        if held is not None:
            if shift is None:
                shift = held.origin().astype(sums.dtype)
            extra = held.X.astype(sums.dtype) - shift
            moments = moments.plus(xp, weighed(xp, held._replace(X=extra), sums.standardize))
            self._extra = xp.ascontiguousarray(extra.T)  # so that tiles of it need no copies
        combine = combine[: len(moments.targets)]  # the last labels may all be held out
        self.scaling = Scaling(xp, moments, shift, combine, sums.standardize)
        self.variation = self.scaling.variation
        means = xp.asarray(self.scaling.targets)
        centred = moments.cross @ xp.asarray(combine)
        centred -= self.scaling.weight * self.scaling.mean[:, None] * means
        self.rhs = centred * self.scaling.scale[:, None]
        self.double = sums.gram.dtype == np.float64 and precision.double_factors_fit(xp, sums.size)
        self.diagonal = self.variances = self._diagonal()

    def _diagonal(self) -> Any:
        squares = self._gram.diagonal().astype(np.float64)
        if self._extra is not None:
            for a, b in tiles(self.size):
                squares[a:b] += (self._extra[a:b] ** 2).sum(axis=1)
        left = squares - self.scaling.weight * self.scaling.mean**2
        return self.xp.where(left > 8 * self.rounding * squares, left, 0) * self.scaling.scale**2

    def gains(self, vectors: Any, smallest: float, alpha: float) -> Any:
        return 1 / (smallest + alpha)

    def fill(self, matrix: Any, powers: Any = None) -> None:
        """Write the upper triangle, its rows and columns multiplied by powers of two if given."""
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

    def product(self, x: Any) -> Any:
        """The matrix times x (D, T)."""
        scaled = x * self.scaling.scale[:, None]
        found = product(self._gram, scaled)
        if self._extra is not None:
            seen = sum(self._extra[a:b].T @ scaled[a:b] for a, b in tiles(self.size))
            for a, b in tiles(self.size):
                found[a:b] += self._extra[a:b] @ seen
        mean = self.scaling.mean[:, None]
        found -= self.scaling.weight * mean * (mean.T @ scaled)
        return found * self.scaling.scale[:, None]

    def lift(self, solution: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.scaling.lift(solution)


class Kernel:
    """The dual equations (N, N) of N samples in memory, for fewer samples than features."""

    double, rounding = True, float(np.finfo(np.float64).eps)

    def __init__(self, xp: Any, rows: Rows, combine: np.ndarray, standardize: bool) -> None:
        self.xp, self.size = xp, len(rows.own)
        shift = rows.origin().astype(np.float64)
        found = weighed(xp, rows._replace(X=rows.X.astype(np.float64) - shift), standardize)
        self.scaling = Scaling(xp, found, shift, combine, standardize)
        self.roots = xp.asarray(np.sqrt(rows.weights))[:, None]
        self.rows = self.scaling.apply(rows.X) * self.roots
        targets = rows.targets @ combine - self.scaling.targets
        self.rhs = xp.asarray(targets) * self.roots
        self._matrix = self.rows @ self.rows.T
        self.dtype = np.dtype(np.float64)
        self.diagonal = self._matrix.diagonal()
        self.variances = xp.einsum("nd,nd->d", self.rows, self.rows)
        self.variation = self.scaling.variation

    def gains(self, vectors: Any, smallest: float, alpha: float) -> Any:
        lengths = (vectors**2).sum(axis=0)  # 1, but of a scaled system
        variances = ((self.rows.T @ vectors) ** 2).sum(axis=0)
        counted = variances > smallest * self.size * self.rounding
        shares = variances / self.xp.where(counted, variances + alpha, 1)
        return self.xp.where(counted, shares / lengths, 0)[:, None]

    def fill(self, matrix: Any, powers: Any = None) -> None:
        """Write the matrix, its rows and columns multiplied by powers of two if given."""
        matrix[...] = self._matrix
        if powers is not None:
            matrix *= powers
            matrix *= powers[:, None]

    def product(self, x: Any) -> Any:
        """The matrix times x (N, T)."""
        return self._matrix @ x

    def lift(self, solution: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.scaling.lift(self.rows.T @ solution)
