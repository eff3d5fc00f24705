"""What every readout shares: checked input, prediction and score by a fitted scikit-learn model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

FLOATS: Any = [np.float64, np.float32]  # a readout computes in the precision that it is given


class ReadoutNotFittedError(NotFittedError, RuntimeError):
    """A readout was asked to predict before `fit`."""


class LinearReadout(BaseEstimator):
    """A linear model trained on features; its subclasses set `model_` in `fit`."""

    model_: Any

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of features (N, D)."""
        return self._fitted().predict(self._features(X))

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy of a classification, R^2 of a regression, on features (N, D) and y."""
        model = self._fitted()
        return float(model.score(self._features(X), y, sample_weight=sample_weight))

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
        return validate_data(self, X, reset=False, dtype=FLOATS)


def only_class(X, y: np.ndarray) -> DummyClassifier:
    """The model of a training set with one class: always that class."""
    return DummyClassifier(strategy="most_frequent").fit(X, y)
