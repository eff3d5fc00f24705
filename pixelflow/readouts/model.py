"""A fitted linear model: all that a prediction needs, and nothing of how it was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pixelflow.readouts.arrays import namespace, to_host, where

ROWS = 2048  # samples that are held in float64 at a time


class Model(NamedTuple):
    """A fitted readout."""

    coef: np.ndarray  # (T, D) float64
    intercept: np.ndarray  # (T,) float64
    classes: np.ndarray | None  # (K,): T is K, or 1 of two; with two and a larger T, indicators
    alpha: float
    best_score: float | None


def only(label: np.ndarray, size: int, alpha: float) -> Model:
    """The model of one class (1,), that always predicts it."""
    return Model(np.zeros((1, size)), np.ones(1), label, alpha, None)


def restored(fitted: Mapping[str, Any]) -> Model:
    """The model with these attributes of a readout; ValueError if they don't go together."""
    missing = [key for key in ("coef_", "intercept_", "alpha_") if fitted.get(key) is None]
    if missing:
        raise ValueError(f"a fitted readout has {missing} too, got {sorted(fitted)}")
    coef, intercept = (np.array(fitted[key], np.float64) for key in ("coef_", "intercept_"))
    classes, score = fitted.get("classes_"), fitted.get("best_score_")
    if coef.ndim != 2 or intercept.shape != coef.shape[:1]:
        raise ValueError(
            f"coef_ must be (T, D) and intercept_ (T,), got {coef.shape} and {intercept.shape}"
        )
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("coef_ and intercept_ must be finite")
    if classes is not None:
        classes = np.array(classes)
        n = classes.size
        if classes.ndim != 1 or not n or (len(coef) != (n if n > 2 else 1) and n != 2):
            raise ValueError(f"classes_ {classes.shape} don't go with coef_ {coef.shape}")
    alpha, score = float(fitted["alpha_"]), None if score is None else float(score)
    return Model(coef, intercept, classes, alpha, score)


def affine(X: Any, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """X @ coef.T + intercept in float64, on the host."""
    with where(X):
        weights = namespace(X).asarray(coef.T)
        parts = [X[a : a + ROWS].astype(np.float64) @ weights for a in range(0, len(X), ROWS)]
        found = [to_host(part) for part in parts]
    return np.concatenate(found or [np.zeros((0, len(coef)))]) + intercept


def decided(decision: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Labels or values of the sums (N, T) that a linear model gives."""
    single = decision.shape[1] == 1
    if classes is None:
        return decision[:, 0] if single else decision
    if len(classes) == 1:
        return np.repeat(classes, len(decision))
    if len(classes) == 2:
        found = classes[(decision > 0).astype(int)]
        return found[:, 0] if single else found
    return classes[decision.argmax(axis=1)]


def accuracy(predicted: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> float:
    """How many labels are right, or rows of indicators; labels of any other kind are wrong."""
    right = predicted.astype(object) == y.reshape(predicted.shape).astype(object)
    return float(np.average(right.reshape(len(y), -1).all(axis=1), weights=sample_weight))
