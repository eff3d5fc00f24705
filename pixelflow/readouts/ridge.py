"""The ridge readout: linear least squares with an L2 penalty, streamed, by NumPy or CuPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if

from pixelflow.checks import mapping
from pixelflow.readouts.base import (
    LinearModel,
    affine,
    decided,
    lock_of,
    not_fitted,
    on_copy,
    restored_model,
    scored,
)
from pixelflow.readouts.inputs import checked_features, checked_options
from pixelflow.readouts.stream import Chunks, Stream, add_chunk, model_of_arrays, model_of_chunks


class RidgeReadout(BaseEstimator):
    """Ridge regression, or ridge regression on +1/-1 labels as a classifier.

    Minimises ``||y - X w - b||^2 + alpha ||w||^2``; the intercept b is not penalised. The error is
    summed over samples: a penalty a of the mean error is alpha = a * N. Features of any number of
    samples are reduced to O(D^2) sums, as they come; those of a GPU (CuPy's) stay there.

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
        How one of several alphas is chosen: by score on samples held out, or by exact
        leave-one-out squared error. The score is accuracy, or squared error of a regression.
        Of every six samples one is held out, at random but always the same, 10,000 at most.
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

    n_features_in_: int
    _model: LinearModel  # absent until it is fitted or, of a stream, solved for
    _partial: Stream  # what `partial_fit` has added to; absent after another fit

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
        checked_options(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif self.task == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

    @property
    def coef_(self) -> np.ndarray:
        """Weights (T, D) of the features, float64."""
        return self._fitted().coef

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (T,), float64."""
        return self._fitted().intercept

    @property
    def alpha_(self) -> float:
        """The penalty of the fitted model."""
        return self._fitted().alpha

    @property
    def best_score_(self) -> float:
        """What that penalty scored where it was chosen among several."""
        score = self._fitted().best_score
        if score is None:
            raise AttributeError("best_score_ is only of a choice among several alphas")
        return score

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted; only of a classification."""
        classes = self._fitted().classes
        if classes is None:
            raise AttributeError("classes_ is only of a classification, and y held values")
        return classes

    def fit(self, X, y, sample_weight=None) -> RidgeReadout:
        """Fit on features (N, D) and labels or values y, (N,) or (N, T); weights are (N,).

        The features may be NumPy's or CuPy's. What `partial_fit` had added before is forgotten.
        """
        with on_copy(self) as readout:
            readout._keep(model_of_arrays(readout, X, y, sample_weight))
        return self

    def fit_chunks(self, chunks: Chunks, classes=None, y=None) -> RidgeReadout:
        """Fit on samples that come in chunks, which are never held together.

        Parameters
        ----------
        chunks : callable
            Returns a new iterator over the chunks each time it is called: once, and again for
            leave-one-out, and for class_weight "balanced" if `y` isn't given. A chunk is
            (features, y, sample weights or None), or four with the samples' roles: an integer
            array, 0 to train on, 1 to hold out and score, 2 to add when alpha has been chosen
            (copies of what is held out); all samples of role 2 come last. Without roles a sixth
            is held out.
        classes : array or None
            The labels there are, if some of them may not come up.
        y : array or None
            All labels, to count them without another pass.
        """
        with on_copy(self) as readout:
            readout._keep(model_of_chunks(readout, chunks, classes, y))
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None) -> RidgeReadout:
        """Add samples to those of the calls before; the model is solved for when it is needed.

        The first call after `fit` or `fit_chunks` forgets that fit. Threads that call it wait for
        each other.

        Parameters
        ----------
        X : float array (n, D)
            NumPy's or CuPy's. A bad chunk is refused whole, and what was added before stays.
        y : array (n,) or (n, T)
        classes : array or None
            All labels that will come, in the first call; without it those of the first y.
        sample_weight : array (n,) or None
        """
        alphas = checked_options(self)
        if self.selection == "loo" and len(alphas) > 1:
            raise ValueError(
                "selection 'loo' goes over the samples twice, which partial_fit can't: use fit or "
                "fit_chunks, selection='holdout', or one alpha"
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' needs all labels at once, which partial_fit hasn't: use "
                "fit or fit_chunks, or give the classes' weights as a dict"
            )
        with lock_of(self), on_copy(self) as readout:
            stream = vars(self).get("_partial")
            if stream is not None:  # alpha may have been set since, to suit more samples
                stream.set_alphas(alphas)
            number = 1 if stream is None else stream.n_chunks + 1
            chunk, weights = (X, y, sample_weight), self.class_weight
            readout._partial = add_chunk(
                readout, stream, number, chunk, classes, weights, closed=True
            )
            vars(readout).pop("_model", None)
        return self

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of features (N, D)."""
        model = self._fitted()
        return decided(self._decision(model, X), model.classes)

    @available_if(lambda self: self._classifies())
    def decision_function(self, X) -> np.ndarray:
        """What is compared to decide: (N,) of two classes, else (N, K)."""
        decision = self._decision(self._fitted(), X)
        return decision[:, 0] if decision.shape[1] == 1 else decision

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy of a classification, R^2 of a regression, on features (N, D) and y.

        A label that was not in `fit` counts as wrong.
        """
        classifies = self._fitted().classes is not None
        return scored(self.predict(X), y, sample_weight, classifies)

    @classmethod
    def restore(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> RidgeReadout:
        """The readout with these parameters and fitted attributes, which predicts as it did.

        Parameters
        ----------
        params : mapping
            As `get_params` gives them.
        fitted : mapping
            `coef_`, `intercept_` and, of a classification, `classes_`; `alpha_`, `best_score_`.
        """
        known = cls().get_params()
        readout, model = (
            cls(**mapping("params", params, known, cls.__name__)),
            restored_model(fitted),
        )
        readout.n_features_in_ = model.coef.shape[1]
        return readout._keep(model)

    def _keep(self, model: LinearModel) -> RidgeReadout:
        self.__dict__.pop("_partial", None)
        self._model = model
        return self

    def _fitted(self) -> LinearModel:
        """The model, solved for first if samples have been added since."""
        with lock_of(self):
            model, stream = self.__dict__.get("_model"), self.__dict__.get("_partial")
            if model is not None:
                return model
            if stream is None:
                raise not_fitted(self)
            self._model = stream.solve()
            return self._model

    def _decision(self, model: LinearModel, X) -> np.ndarray:
        X = checked_features(self, X, reset=False)
        return affine(X, model.coef, model.intercept)

    def _classifies(self) -> bool:
        model, stream = self.__dict__.get("_model"), self.__dict__.get("_partial")
        if model is not None:
            return model.classes is not None
        return self.task != "regression" if stream is None else stream.targets.classes is not None

    def __copy__(self) -> RidgeReadout:
        return deepcopy(self)  # sums are added to in place: two readouts must not share them

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in self.__dict__ or "_partial" in self.__dict__
