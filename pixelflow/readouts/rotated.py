"""The equations of few samples in memory whose features have unlike scales."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import qr

from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.normal import Kernel


class Rotated:
    """The normal equations (N, N) of N samples, whose features are rotated to N coordinates.

    Products of samples, which the dual equations are made of, lose what features of small scales
    add to those of large ones. A QR decomposition of features (rows, the largest first) by samples
    (columns, pivoted) keeps each feature as precise as its own scale is, and the scales of the
    coordinates fall as those of the features do. It is computed on the host.

    References
    ----------
    Cox and Higham, Stability of Householder QR factorization for weighted least squares problems,
    Numerical Analysis 1997 (1998).
    """

    double, rounding, dtype = True, float(np.finfo(np.float64).eps), np.dtype(np.float64)
    xp = np

    def __init__(self, kernel: Kernel) -> None:
        self.size, self.roots = kernel.size, to_host(kernel.roots)
        self.scaling, self.variation, self._device = kernel.scaling, kernel.variation, kernel.xp
        self.targets = to_host(kernel.rhs)  # (N, T), as the features multiplied by the roots
        features = to_host(kernel.rows).T
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

    def gains(self, vectors: np.ndarray, smallest: float, alpha: float) -> float:
        return 1 / (smallest + alpha)

    def fill(self, matrix: np.ndarray, powers: Any = None) -> None:
        """Write the matrix, its rows and columns multiplied by powers of two if given."""
        matrix[...] = self._matrix
        if powers is not None:
            matrix *= powers
            matrix *= powers[:, None]

    def product(self, x: np.ndarray) -> np.ndarray:
        """The matrix times x (N, T)."""
        return self._matrix @ x

    def lift(self, solution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coef = np.empty((len(self._order), solution.shape[1]))
        coef[self._order] = self._basis @ solution
        return self.scaling.lift(self._device.asarray(coef))
