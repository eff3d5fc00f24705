"""The base class of the models: it checks inputs, trains the readout, and predicts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import check_consistent_length

from pixelflow.checks import brief, integer
from pixelflow.core.inputs import check_feature_names, checked_inputs
from pixelflow.core.params import Configured
from pixelflow.models import archive, training
from pixelflow.models.copies import Copies
from pixelflow.models.stream import (
    TrainingSet,
    iter_feature_batches,
    map_batches,
    resolve_batch_size,
)
from pixelflow.readouts import RidgeReadout
from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.base import ReadoutNotFittedError, lock_of, on_copy, scored
from pixelflow.readouts.inputs import (
    as_values,
    checked_classes,
    checked_labels,
    checked_weights,
    plain,
)
from pixelflow.readouts.targets import unknown_labels
from pixelflow.reservoir import Reservoir


class ReservoirModel(Configured):
    """The common part of classifier and regressor; `_task` says which of them it is."""

    _task: str
    readout: Any
    backend: str
    exact: bool
    device: int | None
    batch_size: int | None
    augment: Mapping[str, Any] | None
    n_features_in_: int
    feature_names_in_: np.ndarray
    reservoirs_: list[Reservoir]

    def _check_params(self) -> None:
        if not self.configs:
            raise ValueError(
                "config must be a ReservoirConfig or a list of at least one, got an empty list"
            )
        self.reservoirs()
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, 1)
        copies, readout = Copies.from_augment(self.augment), self.readout
        if readout is None:
            return
        if isinstance(readout, type) or not all(hasattr(readout, m) for m in ("fit", "predict")):
            raise TypeError(f"readout must have fit and predict, got {brief(readout)}")
        classifies = self._task == "classification"
        if classifies and copies.average and not hasattr(readout, "decision_function"):
            name = type(readout).__name__
            raise ValueError(
                f"augment.average needs a readout that has decision_function, which {name} lacks"
            )
        if isinstance(readout, RidgeReadout) and readout.task == "auto":
            return
        try:
            right = is_classifier(readout) if classifies else is_regressor(readout)
        except (AttributeError, TypeError) as error:  # it has no scikit-learn tags
            got = type(readout).__name__
            raise TypeError(f"readout must be a scikit-learn estimator, got {got}") from error
        if not right:
            raise ValueError(f"readout must do {self._task}, got {brief(readout)}")

    @property
    def _dtype(self) -> str:
        return "float64" if any(c.dtype == "float64" for c in self.configs) else "float32"

    def reservoirs(self) -> list[Reservoir]:
        """One new reservoir per config, not fitted."""
        return [Reservoir(c, self.backend, self.exact, self.device) for c in self.configs]

    def fit(self, X, y, sample_weight=None) -> Self:
        """Fit the reservoirs' thresholds, then the readout on a stream of their features.

        Parameters
        ----------
        X : array (N, D_in), (N, H, W) or (N, H, W, 3)
            Finite numbers, converted to the configs' dtype; uint8 is scaled to [0, 1].
        y : array (N,)
            Labels for a classifier; values, or T of them (N, T), for a regressor.
        sample_weight : array (N,), optional
        """
        with on_copy(self) as model:
            model._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight) -> None:
        self._check_params()
        inputs = checked_inputs(X, self, at_least=1, dtype=self._dtype)
        check_feature_names(self, X, inputs, fitting=True)
        y, weight = self._check_targets(inputs, y, sample_weight)
        readout = self._new_readout()
        if weight is not None:
            training.check_accepts_weights(readout, "fit")
        reservoirs = self._fit_reservoirs(inputs)
        data = self._training_set(reservoirs, inputs, y, weight)
        if self.readout is None:
            readout.set_params(alpha=training.default_alphas(data.total_weight))
        classes = np.unique(data.y) if self._task == "classification" else None
        training.fit_readout(readout, data, classes)
        for name in ("n_samples_seen_", "weight_seen_", "_loaded"):  # by `partial_fit`, `load`
            vars(self).pop(name, None)
        self._set_fitted(reservoirs, readout, classes)

    def _partial_fit(self, X, y, classes, sample_weight) -> Self:
        with lock_of(self), on_copy(self) as model:
            model._fit_more(X, y, classes, sample_weight)
        return self

    def _fit_more(self, X, y, classes, sample_weight) -> None:
        self._check_params()
        if hasattr(self, "_loaded"):
            raise ValueError(
                "partial_fit can't continue a loaded model, because the file has no training sums: "
                "start with a clone"
            )
        new = not hasattr(self, "n_samples_seen_")  # an earlier `fit` is discarded then
        inputs = checked_inputs(X, self, at_least=1, dtype=self._dtype)
        check_feature_names(self, X, inputs, fitting=new)
        y, weight = self._check_targets(inputs, y, sample_weight)
        if self._task == "classification":
            classes = self._resolve_classes(y, classes)
        readout = self._new_readout() if new else self.readout_
        self._check_streams(readout, weight)
        samples, before = (0, 0.0) if new else (self.n_samples_seen_, self.weight_seen_)
        reservoirs = self._fit_reservoirs(inputs) if new else self.reservoirs_
        data = self._training_set(reservoirs, inputs, y, weight, samples)
        with training.restore_on_error(readout, data):
            if self.readout is None:
                readout.set_params(alpha=training.default_alphas(before + data.total_weight))
            training.partial_fit_readout(readout, data, classes)
        self.n_samples_seen_, self.weight_seen_ = samples + len(inputs), before + data.total_weight
        self._set_fitted(reservoirs, readout, classes)

    def _check_streams(self, readout: Any, weight: np.ndarray | None) -> None:
        """Raise ValueError unless the readout can be trained chunk by chunk."""
        if not hasattr(readout, "partial_fit"):
            raise ValueError(f"readout: {type(readout).__name__} has no partial_fit; call fit")
        if weight is not None:
            training.check_accepts_weights(readout, "partial_fit")
        copies = Copies.from_augment(self.augment)
        if copies.n_per_image > 1 and training.has_several_alphas(readout):
            raise ValueError(
                "readout must have one alpha, because partial_fit can't hold out an image with "
                "its copies (augment); or call fit"
            )

    def _new_readout(self) -> Any:
        """A new readout to fit: a clone of the parameter `readout`, or the default."""
        if self.readout is None:
            return training.default_readout(self._task)
        readout = clone(self.readout)
        if isinstance(readout, RidgeReadout):
            readout.set_params(task=self._task)
        return readout

    def _fit_reservoirs(self, inputs: np.ndarray) -> list[Reservoir]:
        with sklearn.config_context(assume_finite=True):  # the inputs are checked already
            return [reservoir.fit(inputs) for reservoir in self.reservoirs()]

    def _training_set(
        self,
        reservoirs: list[Reservoir],
        inputs: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        first: int = 0,
    ) -> TrainingSet:
        size = resolve_batch_size(reservoirs, self.batch_size)
        if weight is not None and not weight.all():  # readouts refuse a batch of zero weights
            inputs, y, weight = inputs[weight > 0], y[weight > 0], weight[weight > 0]
        copies = Copies.from_augment(self.augment)
        return TrainingSet(reservoirs, inputs, y, weight, size, copies, first)

    def _resolve_classes(self, y: np.ndarray, classes: Any) -> np.ndarray:
        """The labels to train on; ValueError if they lack a label of y."""
        seen = self.classes_ if hasattr(self, "n_samples_seen_") else None
        if classes is not None:
            seen = checked_classes(classes, seen)
        elif seen is None:
            seen = np.unique(y)
        unknown = unknown_labels(y, seen.tolist())
        if unknown:
            raise ValueError(
                f"y must have only the classes of the first call, {brief(seen.tolist())}, "
                f"got {brief(unknown)}: pass all labels as classes in the first call"
            )
        return seen

    def _set_fitted(
        self, reservoirs: list[Reservoir], readout: Any, classes: np.ndarray | None
    ) -> None:
        self.reservoirs_, self.readout_ = reservoirs, readout
        if classes is not None:
            self.classes_ = classes

    def _check_targets(self, inputs: np.ndarray, y, weight) -> tuple[np.ndarray, np.ndarray | None]:
        """The checked labels or values, and the checked sample weights."""
        y = checked_labels(y) if self._task == "classification" else as_values(plain("y", y))
        check_consistent_length(inputs, y)
        return y, None if weight is None else checked_weights(weight, len(y))

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of inputs shaped as for `fit`."""
        return self._mean_over_views("predict", X)

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy, or R^2 of values, on inputs shaped as for `fit`.

        A label that was not in `fit` counts as wrong.
        """
        return scored(self.predict(X), y, sample_weight, self._task == "classification")

    def _mean_over_views(self, method: str, X) -> np.ndarray:
        """Average a method's values over the views of each image; see `Copies.views`."""
        views = Copies.from_augment(self.augment).views(self._check_inputs(X))
        found = [self._apply_readout(method, view) for view in views]
        return found[0] if len(found) == 1 else np.mean(found, axis=0)

    def _apply_readout(self, method: str, inputs: np.ndarray) -> np.ndarray:
        """Apply a method of the readout to the features of checked inputs, batch by batch."""
        size = resolve_batch_size(self.reservoirs_, self.batch_size)
        own, ridge = getattr(self.readout_, method), isinstance(self.readout_, RidgeReadout)
        batches = iter_feature_batches(self.reservoirs_, inputs, size)
        return map_batches(lambda batch: own(batch if ridge else to_host(batch)), batches)

    def _check_fitted(self) -> None:
        if not hasattr(self, "readout_"):
            name = type(self).__name__
            raise ReadoutNotFittedError(f"this {name} is not fitted: call fit(X, y) first")

    def _check_inputs(self, X) -> np.ndarray:
        """Check the inputs of a prediction."""
        self._check_fitted()
        inputs = checked_inputs(X, self, at_least=1, dtype=self._dtype)
        check_feature_names(self, X, inputs, fitting=False)
        return inputs

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file, whole or not at all; see `load`.

        Where `path` is a symbolic link, the file to which it leads is replaced.

        Raises
        ------
        NotFittedError
            If it is called before `fit`; also a RuntimeError.
        TypeError
            If the readout is neither a `RidgeReadout` nor a `LogisticReadout`.
        ValueError
            If the parameters, without arrays, take more than a mebibyte.
        OSError
            If the file can't be written.
        """
        self._check_fitted()
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> Self:
        """Load the model that `save` wrote; no code from the file is run and nothing is unpickled.

        Reading needs no more memory than the file's bytes and the model itself. The loaded model
        makes the same predictions; `partial_fit` can't continue it. `backend` replaces the saved
        backend, for a machine that lacks that one.

        Raises
        ------
        ValueError
            If the file is truncated, was changed, is not a model file, holds another class or was
            saved by a later version, or if its rule is not registered here: register it first.
        ImportError, RuntimeError
            If the backend can't run here.
        OSError
            If the file can't be read, or is a folder, a pipe or a device.
        """
        return archive.load(cls, path, backend)
