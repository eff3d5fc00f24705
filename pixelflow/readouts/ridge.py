"""The ridge readout: linear least squares with an L2 penalty."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier, RidgeClassifierCV, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from pixelflow.readouts.base import FLOATS, LinearReadout, only_class
from pixelflow.readouts.path import ridge_path

HOLDOUT = 1 / 6  # of the training samples, to choose alpha on
TASKS = ("auto", "classification", "regression")
SELECTIONS = ("holdout", "loo")


class RidgeReadout(LinearReadout):
    """Ridge regression, or ridge regression on +1/-1 labels as a classifier.

    Minimises ``||y - X w - b||^2 + alpha ||w||^2``; the intercept b is not penalised.

    Parameters
    ----------
    alpha : float or sequence of float
        The penalty. Of several, `fit` keeps the best by `selection`, the largest among equals,
        and fits it on all samples.
    task : "auto", "classification" or "regression"
        "auto" classifies when y is integer, boolean or text. Say "classification" where
        scikit-learn should know before `fit`: for stratified cross-validation.
    standardize : bool
        Divide each feature by its standard deviation on the training samples first.
    selection : "holdout" or "loo"
        How one of several alphas is chosen: by score on a sixth of the training samples, held
        out at random (always the same; stratified where every class has enough), or by exact
        leave-one-out squared error. The score is accuracy, or squared error of a regression.
    class_weight : dict, "balanced" or None
        Weights of the classes, as in scikit-learn.

    Attributes
    ----------
    alpha_ : float
        The alpha of the fitted model.
    best_score_ : float
        Where there were several alphas, what the one kept scored: by "holdout" the accuracy or
        the negative squared error on the samples held out, by "loo" scikit-learn's `best_score_`.
    classes_ : array
        The labels, of a classification.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, in the constructor or in `fit`.
    NotFittedError
        Also a RuntimeError: `predict` or `score` before `fit`.

    References
    ----------
    Hoerl and Kennard, Ridge regression, Technometrics 12 (1970).

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow import RidgeReadout
    >>> X = np.arange(8.0).reshape(-1, 1)
    >>> RidgeReadout(alpha=[0.1, 1.0], selection="loo").fit(X, 2 * X[:, 0]).alpha_
    0.1
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 1.0,
        task: str = "auto",
        standardize: bool = False,
        selection: str = "holdout",
        class_weight=None,
    ) -> None:
        self.alpha = alpha
        self.task = task
        self.standardize = standardize
        self.selection = selection
        self.class_weight = class_weight
        self._check_params()

    def _check_params(self) -> np.ndarray:
        """Every alpha as an array; raises for a parameter that is none of the documented."""
        for name, known in (("task", TASKS), ("selection", SELECTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        if not isinstance(self.standardize, bool | np.bool_):
            raise TypeError(f"standardize must be True or False, got {self.standardize!r}")
        given: Any = self.alpha
        alphas = np.asarray(given, object).reshape(-1).tolist()
        if not all(isinstance(a, numbers.Real) and not isinstance(a, bool) for a in alphas):
            raise TypeError(f"alpha must be a number or numbers, got {self.alpha!r}")
        values = np.array(alphas, np.float64)
        if not len(values) or not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ValueError(f"alpha must be finite and not negative, got {self.alpha!r}")
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif self.task == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

    def fit(self, X, y, sample_weight=None) -> RidgeReadout:
        """Fit on features (N, D) and labels or values y, (N,) or (N, T); weights are (N,)."""
        alphas = self._check_params()
        checked: Any = validate_data(self, X, y, dtype=FLOATS, multi_output=True)
        X, y = checked
        labels = self.task == "classification" or (self.task == "auto" and y.dtype.kind not in "fc")
        if labels:
            check_classification_targets(y)
        elif self.class_weight is not None:
            raise ValueError("class_weight is for classification, and y holds values to regress on")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if labels and y.ndim == 1 and len(np.unique(y)) == 1:
            self.alpha_, self.model_ = float(alphas.max()), only_class(X, y)
            return self
        if len(alphas) == 1:
            self.alpha_ = float(alphas[0])
            self.__dict__.pop("best_score_", None)  # of an earlier fit
        elif self.selection == "loo":
            self.alpha_, self.best_score_ = self._leave_one_out(alphas, labels, X, y, sample_weight)
        else:
            self.alpha_, self.best_score_ = self._hold_out(alphas, labels, X, y, sample_weight)
        self.model_ = self._model(self.alpha_, labels, X, y, sample_weight)
        return self

    def _model(self, alpha: float, labels: bool, X, y, sample_weight) -> Any:
        """One fitted scikit-learn model."""
        if labels:
            ridge = RidgeClassifier(alpha=alpha, class_weight=self.class_weight)
        else:
            ridge = Ridge(alpha=alpha)
        return self._fit(ridge, X, y, sample_weight)

    def _fit(self, ridge: Any, X, y, sample_weight) -> Any:
        if not self.standardize:
            return ridge.fit(X, y, sample_weight=sample_weight)
        names = ("standardscaler", type(ridge).__name__.lower())
        weights = {f"{name}__sample_weight": sample_weight for name in names}
        return make_pipeline(StandardScaler(), ridge).fit(X, y, **weights)

    def _leave_one_out(
        self, alphas: np.ndarray, labels: bool, X, y, sample_weight
    ) -> tuple[float, float]:
        """The best alpha and its score."""
        descending = np.sort(alphas)[::-1]
        if labels:
            ridge = RidgeClassifierCV(descending, class_weight=self.class_weight)
        else:
            ridge = RidgeCV(descending)
        fitted: Any = self._fit(ridge, X, y, sample_weight)
        chosen = fitted[-1] if self.standardize else fitted
        return float(chosen.alpha_), float(np.mean(chosen.best_score_))

    def _hold_out(
        self, alphas: np.ndarray, labels: bool, X, y, sample_weight
    ) -> tuple[float, float]:
        """The best alpha and its score."""
        train, held = _split(labels, y)
        weights = np.ones(len(X)) if sample_weight is None else sample_weight
        fit_weights = weights[train]
        if labels and self.class_weight is not None:
            fit_weights = fit_weights * compute_sample_weight(self.class_weight, y[train])
        fit_X, held_X = X[train], X[held]
        if self.standardize:
            scaler = StandardScaler().fit(fit_X, sample_weight=fit_weights)
            fit_X, held_X = (np.asarray(scaler.transform(part)) for part in (fit_X, held_X))
        coder = LabelBinarizer(neg_label=-1) if labels else None
        targets = y[train] if coder is None else coder.fit_transform(y[train])
        targets = np.asarray(targets, np.float64).reshape(len(train), -1)
        scores = []
        for coef, intercept in ridge_path(fit_X, targets, alphas.tolist(), fit_weights):
            predicted = held_X @ coef + intercept
            if coder is None:
                good = -((predicted.reshape(y[held].shape) - y[held]) ** 2)
            else:
                good = coder.inverse_transform(predicted, threshold=0) == y[held]
            scores.append(np.average(good, axis=0, weights=weights[held]).mean())
        score, alpha = max(zip(scores, alphas, strict=True))
        return float(alpha), float(score)


def _split(labels: bool, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows held out, stratified where every class has enough."""
    n_held = math.ceil(HOLDOUT * len(y))
    if n_held == len(y):
        raise ValueError("one sample can't choose among several alphas: give one alpha")
    stratified = False
    if labels and y.ndim == 1:
        counts = np.unique(y, return_counts=True)[1]
        stratified = counts.min() > 1 and len(counts) <= min(n_held, len(y) - n_held)
    rows = train_test_split(
        np.arange(len(y)), test_size=n_held, random_state=0, stratify=y if stratified else None
    )
    return np.sort(rows[0]), np.sort(rows[1])
