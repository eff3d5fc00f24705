"""The models as a user meets them: a classifier and a regressor of scikit-learn's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from pixelflow.core import ReservoirConfig
from pixelflow.models.base import ReservoirModel
from pixelflow.models.copies import Copies
from pixelflow.readouts import RidgeReadout
from pixelflow.readouts.base import decided


def _readout_has(method: str) -> Any:
    """Whether the model's readout, fitted or not, has a method."""

    def check(model: Any) -> bool:
        readout = getattr(model, "readout_", model.readout)
        return hasattr(RidgeReadout if readout is None else readout, method)

    return available_if(check)


class ReservoirClassifier(ClassifierMixin, ReservoirModel):
    """Reservoirs and a readout that classifies, trained in a stream: features are never held whole.

    Parameters
    ----------
    config : ReservoirConfig or list of ReservoirConfig
        What the reservoir is; of several, the features side by side. One config's fields are
        nested parameters: ``set_params(config__steps=4)``.
    readout : RidgeReadout, LogisticReadout or scikit-learn classifier, optional
        None is a ridge on standardised features, its alpha chosen among 1e-5, 1e-4 ... 1 times
        the weight of the training samples (their number, copies counted, where none are weighted)
        on a sixth of them held out (what encoders and quantiles learn, without labels, is of all).
        A `RidgeReadout` is fitted on a stream, as is, in one pass, a readout with `partial_fit`;
        any other gets the whole matrix of features.
    backend, exact, device
        Where and how the reservoirs run, as in `Reservoir`. On "cuda" the features stay on the
        device for a `RidgeReadout`.
    batch_size : int, optional
        Inputs in a batch; None takes as many as have 256 MiB of features.
    augment : mapping, optional
        Label-preserving copies of the training images, made a batch at a time:
        ``{"shifts": 4, "max_shift": 2, "flip": True, "seed": 0}`` adds 4 copies, each moved by up
        to 2 pixels in both directions (zeros enter), and then the mirror image of each of the 5;
        these are 10 images for one. With ``"degrees": 10`` each of the 4 is turned about its centre
        as well, by up to 10 degrees either way, and with ``"scale": 0.1`` its height and its width
        are stretched by factors of their own, exp(-0.1) to exp(0.1); it is resampled bilinearly
        then, and `max_shift` may be 0. While alpha is chosen, no copy of an image that is held out
        is trained on or scored. What is not named is 0 or False, and `max_shift` 2. With
        ``"average": True`` as well, the readout's values for an image are their mean over it, its
        mirror image if these are trained on and, if shifted copies are, all that it is when moved
        by up to `max_shift`, neither turned nor stretched (test-time augmentation): 50 views at
        most here, each of which takes a prediction's time.

    Attributes
    ----------
    reservoirs_ : list of Reservoir
        One for each config, fitted.
    readout_ : estimator
        The fitted readout.
    classes_ : array (K,)
        The labels, sorted.
    n_features_in_ : int
        Columns of the inputs, all axes of an image counted.
    n_samples_seen_, weight_seen_ : int and float
        How many samples `partial_fit` has seen, and what these and their copies weigh.

    Raises
    ------
    ValueError, TypeError
        If an argument or an input is not what is described here.
    ImportError, RuntimeError
        If the backend can't run here.
    NotFittedError
        Also a RuntimeError: `predict`, `score` or `save` before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow import ReservoirClassifier, ReservoirConfig
    >>> X = np.random.default_rng(0).random((60, 64), dtype=np.float32)
    >>> y = np.where(X[:, :32].sum(axis=1) > X[:, 32:].sum(axis=1), "top", "bottom")
    >>> config = ReservoirConfig(width=8, height=8, steps=1, rule="wave", input_encoding="image")
    >>> model = ReservoirClassifier(config, backend="cpu", augment={"flip": True}).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    >>> model.save("model.npz")
    >>> bool((ReservoirClassifier.load("model.npz").predict(X) == model.predict(X)).all())
    True
    """

    _task = "classification"

    def __init__(
        self,
        config: ReservoirConfig | Sequence[ReservoirConfig],
        readout=None,
        backend: str = "auto",
        exact: bool = True,
        device: int | None = None,
        batch_size: int | None = None,
        augment: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.readout = readout
        self.backend = backend
        self.exact = exact
        self.device = device
        self.batch_size = batch_size
        self.augment = augment
        self._check_params()

    def partial_fit(self, X, y, classes=None, sample_weight=None) -> ReservoirClassifier:
        """Go on with more samples, a chunk at a time, or begin: after `fit` too, not after `load`.

        Threads that call it wait for each other.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. The first chunk fits quantile thresholds. Copies (`augment`) need a
            readout of one alpha.
        classes : array, optional
            All labels that will ever come, needed by the first call where its y lacks some.
        """
        return self._partial_fit(X, y, classes, sample_weight)

    def predict(self, X) -> np.ndarray:
        """Labels (N,) of inputs shaped as for `fit`."""
        if not Copies.checked(self.augment).average:
            return super().predict(X)
        decision = self.decision_function(X)
        return decided(decision.reshape(len(decision), -1), self.classes_)

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy on inputs shaped as for `fit`; a label that was not in `fit` counts as wrong."""
        return ReservoirModel.score(self, X, y, sample_weight)

    @_readout_has("decision_function")
    def decision_function(self, X) -> np.ndarray:
        """The readout's values (N, K) of K classes, (N,) of two; the largest is predicted."""
        return self._averaged("decision_function", X)

    @_readout_has("predict_proba")
    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (N, K) of the K classes, of a readout that has them."""
        return self._averaged("predict_proba", X)


class ReservoirRegressor(RegressorMixin, ReservoirModel):
    """Reservoirs and a readout that regresses, trained in a stream: features are never held whole.

    Parameters
    ----------
    config : ReservoirConfig or list of ReservoirConfig
        What the reservoir is; of several, the features side by side. One config's fields are
        nested parameters: ``set_params(config__steps=4)``.
    readout : RidgeReadout or scikit-learn regressor, optional
        As for `ReservoirClassifier`; alpha is chosen by squared error.
    backend, exact, device, batch_size
        As for `ReservoirClassifier`.
    augment : mapping, optional
        As for `ReservoirClassifier`: a copy has its image's values. With ``"average": True`` a
        prediction is the mean of those of all views.

    Attributes
    ----------
    reservoirs_, readout_, n_features_in_, n_samples_seen_, weight_seen_
        As of a `ReservoirClassifier`.

    Raises
    ------
    ValueError, TypeError, ImportError, RuntimeError, NotFittedError
        As by `ReservoirClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow import ReservoirConfig, ReservoirRegressor
    >>> X = np.random.default_rng(0).random((60, 16), dtype=np.float32)
    >>> config = ReservoirConfig(width=4, height=4, steps=1, rule="wave", input_encoding="image")
    >>> model = ReservoirRegressor(config, backend="cpu").fit(X, X.mean(axis=1))
    >>> model.score(X, X.mean(axis=1)) > 0.9
    True
    """

    _task = "regression"

    def __init__(
        self,
        config: ReservoirConfig | Sequence[ReservoirConfig],
        readout=None,
        backend: str = "auto",
        exact: bool = True,
        device: int | None = None,
        batch_size: int | None = None,
        augment: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.readout = readout
        self.backend = backend
        self.exact = exact
        self.device = device
        self.batch_size = batch_size
        self.augment = augment
        self._check_params()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def score(self, X, y, sample_weight=None) -> float:
        """R^2 on inputs shaped as for `fit` and their values."""
        return ReservoirModel.score(self, X, y, sample_weight)

    def partial_fit(self, X, y, sample_weight=None) -> ReservoirRegressor:
        """Go on with more samples, a chunk at a time, or begin; see `ReservoirClassifier`."""
        return self._partial_fit(X, y, None, sample_weight)
