"""Ridge regression for many penalties at the price of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg import eigh


def ridge_path(
    X: np.ndarray, Y: np.ndarray, alphas: Sequence[float], weights: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights and intercepts of ridge regression for each penalty, from one eigendecomposition.

    It is of the smaller of X'X (D, D) and XX' (N, N), in float64; directions without variance
    get the weight 0, as least squares of the smallest norm has it.

    Parameters
    ----------
    X : float array (N, D)
    Y : float array (N, T)
    alphas : sequence of float
        Penalties, not negative.
    weights : float array (N,)
        Of the samples.

    Yields
    ------
    coef : float64 array (D, T)
    intercept : float64 array (T,)

    References
    ----------
    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009), section 3.4.1.
    """
    X = np.asarray(X, np.float64)
    x_mean, y_mean = (np.average(values, axis=0, weights=weights) for values in (X, Y))
    roots = np.sqrt(weights)[:, None]
    centred, targets = (X - x_mean) * roots, (Y - y_mean) * roots
    wide = X.shape[1] > len(X)
    gram = centred @ centred.T if wide else centred.T @ centred
    values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
    smallest = max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
    rotated = vectors.T @ (targets if wide else centred.T @ targets)
    for alpha in alphas:
        shrunk = np.where(values > smallest, values + alpha, np.inf)[:, None]
        coef = vectors @ (rotated / shrunk)
        coef = centred.T @ coef if wide else coef
        yield coef, y_mean - x_mean @ coef
