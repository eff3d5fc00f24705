"""What the readouts share: linear models, their predictions and scores, and fits under a lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, RLock
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length

from pixelflow.checks import brief, number
from pixelflow.readouts.arrays import Array, namespace, on_device_of, to_host
from pixelflow.readouts.inputs import as_values, checked_weights, plain

ROWS = 2048  # samples that are held in float64 at a time
Estimator = TypeVar("Estimator")
_LOCKS: WeakKeyDictionary[Any, AbstractContextManager[bool]] = WeakKeyDictionary()
_LOOKING_UP = Lock()


class ReadoutNotFittedError(NotFittedError, RuntimeError):
    """A readout was asked to predict before `fit`."""


def not_fitted(readout: object) -> ReadoutNotFittedError:
    """The error that says so."""
    name = type(readout).__name__
    return ReadoutNotFittedError(f"this {name} is not fitted: call fit(features, y) first")


def lock_of(estimator: object) -> AbstractContextManager[bool]:
    """An estimator's own lock. It is no part of its state, because that is copied and pickled."""
    with _LOOKING_UP:
        return _LOCKS.setdefault(estimator, RLock())


@contextmanager
def on_copy(estimator: Estimator) -> Iterator[Estimator]:
    """A copy to fit, whose state the estimator then takes over.

    So a fit that is refused changes nothing, and no thread sees one half done. Parameters that
    another thread sets meanwhile are those from before again.
    """
    copied = object.__new__(type(estimator))  # not `copy`, which would pickle
    vars(copied).update(vars(estimator))
    yield copied
    with lock_of(estimator):
        estimator.__dict__ = vars(copied)


class LinearModel(NamedTuple):
    """A fitted ridge readout: all that a prediction needs, and nothing of how it was fitted."""

    coef: np.ndarray  # (T, D) float64
    intercept: np.ndarray  # (T,) float64
    classes: np.ndarray | None  # (K,): T is K, or 1 of two; with two and a larger T, indicators
    alpha: float
    best_score: float | None


def single_class_model(label: np.ndarray, size: int, alpha: float) -> LinearModel:
    """The model of one class (1,), that always predicts it."""
    return LinearModel(np.zeros((1, size)), np.ones(1), label, alpha, None)


def restored_model(fitted: Mapping[str, Any]) -> LinearModel:
    """The model with these attributes of a readout; ValueError if they don't go together."""
    coef, intercept, classes = restored_map(fitted, ("coef_", "intercept_", "alpha_"))
    score = fitted.get("best_score_")
    score = None if score is None else number("best_score_", score)
    return LinearModel(coef, intercept, classes, number("alpha_", fitted["alpha_"], 0), score)


def restored_map(
    fitted: Mapping[str, Any], needed: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Coefficients, intercepts and perhaps classes; ValueError if they don't go together."""
    if not isinstance(fitted, Mapping):
        raise TypeError(f"fitted must be a mapping, got {brief(fitted)}")
    missing = [key for key in needed if fitted.get(key) is None]
    if missing:
        raise ValueError(f"a fitted readout has {missing} too, got {sorted(fitted)}")
    given = [np.asarray(fitted[key]) for key in ("coef_", "intercept_")]
    if any(array.dtype.kind not in "iuf" for array in given):  # text would become numbers
        raise ValueError(f"coef_ and intercept_ must be numbers, got {[a.dtype for a in given]}")
    coef, intercept = (np.array(array, np.float64) for array in given)
    classes = fitted.get("classes_")
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
        check_classes(classes)
    return coef, intercept, classes


def check_classes(classes: np.ndarray) -> None:
    """Raise ValueError where labels (K,) aren't finite, distinct and sorted, as `fit` has them."""
    finite = classes.dtype.kind != "f" or np.isfinite(classes).all()
    if not finite or not (classes[1:] > classes[:-1]).all():
        raise ValueError(f"classes_ must be finite, distinct and sorted, got {brief(classes)}")


def affine(X: Array, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """X @ coef.T + intercept in float64, on the host."""
    with on_device_of(X):
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


def scored(predicted: np.ndarray, y: Any, sample_weight: Any, classifies: bool) -> float:
    """How many labels, or rows of indicators, are right; R^2 of values.

    Labels that no prediction can be, of another kind too, are wrong.
    """
    y = plain("y", y)
    check_consistent_length(predicted, y)
    weight = None if sample_weight is None else checked_weights(sample_weight, len(y))
    if y.size != predicted.size:
        raise ValueError(f"y must be of shape {predicted.shape} as predicted, got {y.shape}")
    if classifies:
        right = predicted.astype(object) == y.reshape(predicted.shape).astype(object)
        return float(np.average(right.reshape(len(y), -1).all(axis=1), weights=weight))
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(r2_score(as_values(y), predicted, sample_weight=weight))
    if np.isnan(found) and len(y) > 1:
        raise ValueError("y must be smaller: squares of it are beyond float64")
    return found
