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
    """Show a method of the model only if its readout, fitted or not, has that method."""

    def check(model: Any) -> bool:
        readout = getattr(model, "readout_", model.readout)
        return hasattr(RidgeReadout if readout is None else readout, method)

    return available_if(check)


class ReservoirClassifier(ClassifierMixin, ReservoirModel):
    """Reservoirs and a readout that classifies; trained on batches, so features need little memory.

    Parameters
    ----------
    config : ReservoirConfig or list of ReservoirConfig
        The reservoir, or several whose features stand side by side. The fields of a single config
        are nested parameters: ``set_params(config__steps=4)``.
    readout : RidgeReadout, LogisticReadout or scikit-learn classifier, optional
        The default, None, is a ridge on standardised features. Its alpha is chosen on a held-out
        sixth of the training samples, among 1e-5, 1e-4 ... 1 times the total weight of all training
        samples (their number, copies included, if there are no weights). Encoders and quantiles
        learn from all training inputs, without labels. A `RidgeReadout` and a readout with
        `partial_fit` are fitted batch by batch, the latter in one pass; any other readout gets the
        whole feature matrix.
    backend, exact, device
        Where and how the reservoirs run, as in `Reservoir`. On "cuda" the features stay on the
        device for a `RidgeReadout`.
    batch_size : int, optional
        Number of inputs in a batch; by default as many as have 256 MiB of features.
    augment : mapping, optional
        Label-preserving copies of the training images, made batch by batch. Example:
        ``{"shifts": 4, "max_shift": 2, "flip": True, "seed": 0}`` adds 4 copies of each image, each
        shifted by up to 2 pixels vertically and horizontally (pixels that enter are 0), and then
        mirrors these 5, which gives 10 images. ``"degrees": 10`` also rotates each of the 4 copies
        about its centre by up to 10 degrees in either direction. ``"scale": 0.1`` also stretches
        its height and its width, independently, by factors from exp(-0.1) to exp(0.1). Rotated and
        stretched copies are interpolated bilinearly, and their `max_shift` may be 0. While alpha is
        chosen, the copies of a held-out image are neither trained on nor scored. Options that are
        left out are 0 or False; `max_shift` is then 2.
        ``"average": True`` is test-time augmentation: it averages the readout's values over the
        image, its mirror image (with `flip`) and all shifts of these by up to `max_shift` (with
        `shifts`), without rotating or stretching. These are 50 views in the example, so a
        prediction takes 50 times as long.

    Attributes
    ----------
    reservoirs_ : list of Reservoir
        The fitted reservoirs, one for each config.
    readout_ : estimator
        The fitted readout.
    classes_ : array (K,)
        The labels, sorted.
    n_features_in_ : int
        Number of values in one input, over all axes of an image.
    n_samples_seen_, weight_seen_ : int and float
        Number of samples that `partial_fit` has seen, and their total weight, copies included.

    Raises
    ------
    ValueError, TypeError
        If an argument or an input is not as described here.
    ImportError, RuntimeError
        If the backend can't run here.
    NotFittedError
        If `predict`, `score` or `save` is called before `fit`; also a RuntimeError.

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
        """Train on one more chunk of samples; the first call, also after `fit`, starts anew.

        A loaded model can't be trained further. Threads that call this wait for each other.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. Encoders and quantile thresholds learn from the first chunk only. With
            copies (`augment`) the readout must have a single alpha.
        classes : array, optional
            All labels of all chunks; the first call needs them if its y lacks some.
        """
        return self._partial_fit(X, y, classes, sample_weight)

    def predict(self, X) -> np.ndarray:
        """Labels (N,) of inputs shaped as for `fit`."""
        if not Copies.from_augment(self.augment).average:
            return super().predict(X)
        decision = self.decision_function(X)
        return decided(decision.reshape(len(decision), -1), self.classes_)

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy on inputs shaped as for `fit`; a label unknown to `fit` counts as wrong."""
        return ReservoirModel.score(self, X, y, sample_weight)

    @_readout_has("decision_function")
    def decision_function(self, X) -> np.ndarray:
        """The readout's values, (N, K) for K > 2 classes; the class with the largest is predicted.

        For two classes they are (N,), and the second class is predicted where they are above 0.
        """
        return self._mean_over_views("decision_function", X)

    @_readout_has("predict_proba")
    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (N, K) of the K classes, if the readout computes them."""
        return self._mean_over_views("predict_proba", X)


class ReservoirRegressor(RegressorMixin, ReservoirModel):
    """Reservoirs and a readout that regresses; trained on batches, so features need little memory.

    Parameters
    ----------
    config : ReservoirConfig or list of ReservoirConfig
        The reservoir, or several whose features stand side by side. The fields of a single config
        are nested parameters: ``set_params(config__steps=4)``.
    readout : RidgeReadout or scikit-learn regressor, optional
        As for `ReservoirClassifier`; alpha is chosen by squared error.
    backend, exact, device, batch_size
        As for `ReservoirClassifier`.
    augment : mapping, optional
        As for `ReservoirClassifier`; a copy has the values of its image. With ``"average": True``
        a prediction is the mean over the predictions for all views.

    Attributes
    ----------
    reservoirs_, readout_, n_features_in_, n_samples_seen_, weight_seen_
        As in `ReservoirClassifier`.

    Raises
    ------
    ValueError, TypeError, ImportError, RuntimeError, NotFittedError
        As for `ReservoirClassifier`.

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
        """Train on one more chunk of samples; see `ReservoirClassifier.partial_fit`."""
        return self._partial_fit(X, y, None, sample_weight)
