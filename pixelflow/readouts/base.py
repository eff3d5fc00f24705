"""What every readout shares: checked input, prediction and score by a fitted scikit-learn model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

from pixelflow.checks import converting
from pixelflow.readouts.model import scored

FLOATS: Any = [np.float64, np.float32]  # a readout computes in the precision that it is given
_LOCKS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_LOOKING_UP = Lock()


class ReadoutNotFittedError(NotFittedError, RuntimeError):
    """A readout was asked to predict before `fit`."""


def lock_of(estimator: Any) -> Any:
    """An estimator's own lock; it is no part of its state, which is copied and pickled."""
    with _LOOKING_UP:
        return _LOCKS.setdefault(estimator, RLock())


@contextmanager
def on_copy(estimator: Any) -> Iterator[Any]:
    """A copy to fit, whose state the estimator then takes over.

    So a fit that is refused changes nothing, and no thread sees one half done. Parameters that
    another thread sets meanwhile are those from before again.
    """
    copied = object.__new__(type(estimator))  # not `copy`, which would pickle
    vars(copied).update(vars(estimator))
    yield copied
    with lock_of(estimator):
        estimator.__dict__ = vars(copied)


def host_features(readout: Any, X: Any, reset: bool) -> np.ndarray:
    """Features (N, D) as float32 or float64; raises for what no features are."""
    with converting("X", X):  # infinities are refused
        checked: Any = validate_data(readout, X, reset=reset, dtype=FLOATS)
    return checked


class LinearReadout(BaseEstimator):
    """A linear model trained on features; its subclasses set `model_` in `fit`."""

    model_: Any

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of features (N, D)."""
        return self._fitted().predict(self._features(X))

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy of a classification, R^2 of a regression, on features (N, D) and y.

        A label that was not in `fit` counts as wrong.
        """
        return scored(self.predict(X), y, sample_weight, is_classifier(self))

    @property
    def classes_(self) -> np.ndarray:
        """The labels seen in `fit`, sorted; only of a classification."""
        return self._fitted().classes_

    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            name = type(self).__name__
            raise ReadoutNotFittedError(f"this {name} is not fitted: call fit(features, y) first")
        return self.model_

    def _features(self, X) -> Any:
        self._fitted()
        return host_features(self, X, reset=False)


def only_class(X, y: np.ndarray) -> DummyClassifier:
    """The model of a training set with one class: always that class."""
    return DummyClassifier(strategy="most_frequent").fit(X, y)
