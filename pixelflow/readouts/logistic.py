"""The logistic readout: multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_consistent_length

from pixelflow.checks import brief, integer, number
from pixelflow.readouts.base import check_classes, not_fitted, on_copy, restored_map, scored
from pixelflow.readouts.inputs import checked_labels, checked_weights, host_features

LEAST = 1e-300  # of C times the weight of all samples, because the solver computes its inverse
MOST_ITERATIONS = 2**31 - 1  # that the solver can count


class LogisticReadout(ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression with an L2 penalty, by L-BFGS (scikit-learn's).

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength, above 0; infinity is without a penalty.
    max_iter : int
        The solver's iterations at most; a ConvergenceWarning says if they were too few.

    Attributes
    ----------
    classes_ : array
        The labels seen in `fit`, sorted.
    n_iter_ : int array (1,)
        The solver's iterations.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, in the constructor or in `fit`.
    NotFittedError
        Also a RuntimeError: `predict`, `predict_proba` or `score` before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow import LogisticReadout
    >>> X = np.arange(8.0).reshape(-1, 1)
    >>> LogisticReadout().fit(X, X[:, 0] > 3).predict([[0.0], [7.0]])
    array([False,  True])
    """

    n_features_in_: int
    n_iter_: np.ndarray
    model_: Any  # scikit-learn's: a LogisticRegression or, of one class, a DummyClassifier

    def __init__(self, C: float = 1.0, max_iter: int = 1000) -> None:
        self.C = C
        self.max_iter = max_iter
        self._check_params()

    def _check_params(self) -> None:
        number("C", self.C, above=0, infinite=True)
        integer("max_iter", self.max_iter, 0, MOST_ITERATIONS)

    def fit(self, X, y, sample_weight=None) -> LogisticReadout:
        """Fit on features (N, D) and labels (N,); weights are (N,)."""
        self._check_params()
        with on_copy(self) as readout:
            X, y = host_features(readout, X, reset=True), checked_labels(y)
            check_consistent_length(X, y)
            if sample_weight is not None:
                sample_weight = checked_weights(sample_weight, len(y))
            if len(np.unique(y)) == 1:
                readout.model_, readout.n_iter_ = _single_class(X, y), np.array([0])
            else:
                total = len(y) if sample_weight is None else float(sample_weight.sum())
                self._check_strength(total)
                model = LogisticRegression(C=self.C, max_iter=self.max_iter)
                readout.model_ = model.fit(X, y, sample_weight)
                readout.n_iter_ = model.n_iter_
        return self

    def _check_strength(self, total: float) -> None:
        if self.C * total < LEAST:
            raise ValueError(
                f"C must be larger, or sample_weight: C times the weight of all samples is "
                f"{self.C * total:.3g}, and must be at least {LEAST:g}"
            )

    def decision_function(self, X) -> np.ndarray:
        """What is compared to decide: (N,) of two classes, else (N, K); of one, zeros (N,)."""
        model, X = self._fitted(), self._features(X)
        return np.zeros(len(X)) if len(self.classes_) == 1 else model.decision_function(X)

    @classmethod
    def restore(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> LogisticReadout:
        """A fitted readout from its parameters and fitted attributes, as a file keeps them."""
        readout: Any = cls(**params)
        n = readout.n_features_in_ = integer("n_features_in_", fitted["n_features_in_"], 1)
        readout.n_iter_, classes = np.asarray(fitted["n_iter_"]), np.asarray(fitted["classes_"])
        if readout.n_iter_.shape != (1,) or readout.n_iter_.dtype.kind not in "iu":
            raise ValueError(f"n_iter_ must be one integer, got {brief(readout.n_iter_)}")
        integer("n_iter_", readout.n_iter_[0], 0)
        if classes.shape == (1,):
            check_classes(classes)
            readout.model_ = _single_class(np.zeros((1, 1)), classes)
            return readout
        coef = restored_map(fitted, ("coef_", "intercept_"))[0]
        if coef.shape != (len(classes) if len(classes) > 2 else 1, n):
            raise ValueError(f"coef_ {coef.shape} doesn't go with n_features_in_ {n} and classes_")
        readout.model_ = LogisticRegression(C=readout.C, max_iter=readout.max_iter)
        for name in ("coef_", "intercept_", "classes_", "n_features_in_", "n_iter_"):
            setattr(readout.model_, name, fitted[name])
        return readout

    @property
    def coef_(self) -> np.ndarray:
        """Weights (K, D), (1, D) of two classes; a single class has none."""
        return self._fitted().coef_

    @property
    def intercept_(self) -> np.ndarray:
        """Constants (K,), (1,) of two classes; a single class has none."""
        return self._fitted().intercept_

    @property
    def classes_(self) -> np.ndarray:
        """The labels seen in `fit`, sorted."""
        return self._fitted().classes_

    def predict(self, X) -> np.ndarray:
        """Labels (N,) of features (N, D)."""
        return self._fitted().predict(self._features(X))

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (N, K) of the K classes, in the order of `classes_`."""
        return self._fitted().predict_proba(self._features(X))

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy on features (N, D) and labels (N,); a label not in `fit` counts as wrong."""
        return scored(self.predict(X), y, sample_weight, classifies=True)

    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            raise not_fitted(self)
        return self.model_

    def _features(self, X) -> np.ndarray:
        self._fitted()
        return host_features(self, X, reset=False)


def _single_class(X: np.ndarray, y: np.ndarray) -> DummyClassifier:
    """The model of a training set with one class: always that class."""
    return DummyClassifier(strategy="most_frequent").fit(X, y)
