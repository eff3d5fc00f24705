"""The logistic readout: multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from pixelflow.readouts.base import FLOATS, LinearReadout, only_class


class LogisticReadout(ClassifierMixin, LinearReadout):
    """Multinomial logistic regression with an L2 penalty, by L-BFGS (scikit-learn's).

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength.
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
        If an argument is none of these, in `fit`.
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

    def __init__(self, C: float = 1.0, max_iter: int = 1000) -> None:
        self.C = C
        self.max_iter = max_iter

    def fit(self, X, y) -> LogisticReadout:
        """Fit on features (N, D) and labels (N,)."""
        checked: Any = validate_data(self, X, y, dtype=FLOATS)
        X, y = checked
        check_classification_targets(y)
        if len(np.unique(y)) == 1:
            self.model_, self.n_iter_ = only_class(X, y), np.array([0])
        else:
            self.model_ = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(X, y)
            self.n_iter_ = self.model_.n_iter_
        return self

    def decision_function(self, X) -> np.ndarray:
        """What is compared to decide: (N,) of two classes, else (N, K); of one, zeros (N,)."""
        model, X = self._fitted(), self._features(X)
        return np.zeros(len(X)) if len(self.classes_) == 1 else model.decision_function(X)

    @classmethod
    def restore(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> LogisticReadout:
        """A fitted readout from its parameters and fitted attributes, as a file keeps them."""
        readout: Any = cls(**params)
        for name in ("n_features_in_", "n_iter_"):
            setattr(readout, name, fitted[name])
        classes = np.asarray(fitted["classes_"])
        if len(classes) == 1:
            readout.model_ = only_class(np.zeros((1, readout.n_features_in_)), classes)
        else:
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

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (N, K) of the K classes, in the order of `classes_`."""
        return self._fitted().predict_proba(self._features(X))

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy on features (N, D) and labels (N,)."""
        return LinearReadout.score(self, X, y, sample_weight)
