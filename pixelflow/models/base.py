"""What the models share: from inputs and targets to a fitted readout, and predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import check_consistent_length

from pixelflow.checks import brief, integer
from pixelflow.core import Reservoir
from pixelflow.core.inputs import checked_inputs, see_columns
from pixelflow.core.params import Configured
from pixelflow.models import archive, training
from pixelflow.models.copies import Copies
from pixelflow.models.stream import Training, asked, features, rows_at_once
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


class ReservoirModel(Configured):
    """What classifier and regressor share; they say what y may be."""

    _task: str
    readout: Any
    backend: str
    exact: bool
    device: int | None
    batch_size: int | None
    augment: Mapping[str, Any] | None

    def _check_params(self) -> None:
        if not self.configs:
            raise ValueError("config must be a ReservoirConfig or a list of at least one, got none")
        self.reservoirs()
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, 1)
        copies, readout = Copies.checked(self.augment), self.readout
        if readout is None:
            return
        if isinstance(readout, type) or not all(hasattr(readout, m) for m in ("fit", "predict")):
            raise TypeError(f"readout must have fit and predict, got {brief(readout)}")
        classifies = self._task == "classification"
        if classifies and copies.average and not hasattr(readout, "decision_function"):
            name = type(readout).__name__
            raise ValueError(
                f"augment's average needs a readout with decision_function, not {name}"
            )
        if isinstance(readout, RidgeReadout) and readout.task == "auto":
            return
        try:
            right = is_classifier(readout) if classifies else is_regressor(readout)
        except (AttributeError, TypeError) as error:  # it has no tags
            got = type(readout).__name__
            raise TypeError(f"readout must be an estimator of scikit-learn's, got {got}") from error
        if not right:
            raise ValueError(f"readout must do {self._task}, got {brief(readout)}")

    def reservoirs(self) -> list[Reservoir]:
        """A reservoir of each config, not fitted."""
        return [Reservoir(c, self.backend, self.exact, self.device) for c in self.configs]

    def fit(self, X, y, sample_weight=None) -> Self:
        """Fit the reservoirs' thresholds, then the readout on a stream of their features.

        Parameters
        ----------
        X : array (N, D_in), (N, H, W) or (N, H, W, 3)
            Finite numbers, computed in float32; uint8 is scaled to [0, 1].
        y : array (N,)
            Labels of a classifier; values of a regressor, which may be (N, T).
        sample_weight : array (N,), optional
        """
        with on_copy(self) as model:
            model._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight) -> None:
        self._check_params()
        inputs = checked_inputs(X, self, at_least=1)
        see_columns(self, X, inputs, fitting=True)
        y, weight = self._checked(inputs, y, sample_weight)
        readout = self._own_readout()
        if weight is not None:
            training.check_takes_weights(readout, "fit")
        data = self._training(self._fitted_on(inputs), inputs, y, weight)
        if self.readout is None:
            readout.set_params(alpha=training.path(data.total))
        classes = np.unique(data.y) if self._task == "classification" else None
        training.fit_readout(readout, data, classes)
        for name in ("n_samples_seen_", "weight_seen_", "_loaded"):  # of `partial_fit`, `load`
            vars(self).pop(name, None)
        self._set_fitted(data, readout, classes)

    def _partial_fit(self, X, y, classes, sample_weight) -> Self:
        with lock_of(self), on_copy(self) as model:
            model._add(X, y, classes, sample_weight)
        return self

    def _add(self, X, y, classes, sample_weight) -> None:
        self._check_params()
        if hasattr(self, "_loaded"):
            raise ValueError("partial_fit can't go on with a loaded model: begin with a clone")
        new = not hasattr(self, "n_samples_seen_")  # then a `fit` before is forgotten
        inputs = checked_inputs(X, self, at_least=1)
        see_columns(self, X, inputs, fitting=new)
        y, weight = self._checked(inputs, y, sample_weight)
        if self._task == "classification":
            classes = self._classes(y, classes)
        readout = self._own_readout() if new else self.readout_
        self._check_streams(readout, weight)
        samples, before = (0, 0.0) if new else (self.n_samples_seen_, self.weight_seen_)
        reservoirs = self._fitted_on(inputs) if new else self.reservoirs_
        data = self._training(reservoirs, inputs, y, weight, samples)
        with training.unharmed(readout, data):
            if self.readout is None:
                readout.set_params(alpha=training.path(before + data.total))
            training.partial_fit_readout(readout, data, classes)
        self.n_samples_seen_, self.weight_seen_ = samples + len(inputs), before + data.total
        self._set_fitted(data, readout, classes)

    def _check_streams(self, readout: Any, weight: np.ndarray | None) -> None:
        """Raise unless the readout can be fitted in part."""
        if not hasattr(readout, "partial_fit"):
            raise ValueError(f"{type(readout).__name__} has no partial_fit: call fit")
        if weight is not None:
            training.check_takes_weights(readout, "partial_fit")
        if Copies.checked(self.augment).count > 1 and training.several_alphas(readout):
            raise ValueError(
                "partial_fit can't hold an image out with its copies (augment): "
                "give a readout of one alpha, or call fit"
            )

    def _own_readout(self) -> Any:
        """The readout to be fitted: a copy."""
        if self.readout is None:
            return training.default_readout(self._task)
        readout = clone(self.readout)
        if isinstance(readout, RidgeReadout):
            readout.set_params(task=self._task)
        return readout

    def _fitted_on(self, inputs: np.ndarray) -> list[Reservoir]:
        with sklearn.config_context(assume_finite=True):  # it was checked at the door
            return [reservoir.fit(inputs) for reservoir in self.reservoirs()]

    def _training(self, reservoirs, inputs, y, weight, first: int = 0) -> Training:
        size = rows_at_once(reservoirs, self.batch_size)
        if weight is not None and not weight.all():  # a batch of zeros would be refused
            inputs, y, weight = inputs[weight > 0], y[weight > 0], weight[weight > 0]
        copies = Copies.checked(self.augment)
        return Training(reservoirs, inputs, y, weight, size, copies, first)

    def _classes(self, y: np.ndarray, classes: Any) -> np.ndarray:
        """The labels to train on, which hold all of y."""
        seen = self.classes_ if hasattr(self, "n_samples_seen_") else None
        if classes is not None:
            seen = checked_classes(classes, seen)
        elif seen is None:
            seen = np.unique(y)
        unknown = unknown_labels(y, seen.tolist())
        if unknown:
            what = f"that fit didn't see or name: {brief(seen.tolist())}"
            raise ValueError(f"y has classes {brief(unknown)} {what}")
        return seen

    def _set_fitted(self, data: Training, readout: Any, classes: np.ndarray | None) -> None:
        self.reservoirs_, self.readout_ = data.reservoirs, readout
        if classes is not None:
            self.classes_ = classes

    def _checked(self, inputs: np.ndarray, y, weight) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels or values, and the samples' weights."""
        y = checked_labels(y) if self._task == "classification" else as_values(plain("y", y))
        check_consistent_length(inputs, y)
        return y, None if weight is None else checked_weights(weight, len(y))

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of inputs shaped as for `fit`."""
        return self._averaged("predict", X)

    def score(self, X, y, sample_weight=None) -> float:
        """Accuracy, or R^2 of values, on inputs shaped as for `fit`.

        A label that was not in `fit` counts as wrong.
        """
        return scored(self.predict(X), y, sample_weight, self._task == "classification")

    def _averaged(self, method: str, X) -> np.ndarray:
        """The mean over all views of each image; there is one without `augment`'s average."""
        views = Copies.checked(self.augment).views(self._inputs(X))
        found = [self._by_readout(method, view) for view in views]
        return found[0] if len(found) == 1 else np.mean(found, axis=0)

    def _by_readout(self, method: str, inputs: np.ndarray) -> np.ndarray:
        """What a method of the readout gives for checked inputs, batch after batch."""
        size = rows_at_once(self.reservoirs_, self.batch_size)
        own, ridge = getattr(self.readout_, method), isinstance(self.readout_, RidgeReadout)
        batches = features(self.reservoirs_, inputs, size)
        return asked(lambda batch: own(batch if ridge else to_host(batch)), batches)

    def _check_fitted(self) -> None:
        if not hasattr(self, "readout_"):
            name = type(self).__name__
            raise ReadoutNotFittedError(f"this {name} is not fitted: call fit(X, y) first")

    def _inputs(self, X) -> np.ndarray:
        """What is to be predicted, checked."""
        self._check_fitted()
        inputs = checked_inputs(X, self, at_least=1)
        see_columns(self, X, inputs, fitting=False)
        return inputs

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file, whole or not at all; see `load`.

        Where `path` is a symbolic link, the file to which it leads is replaced.

        Raises
        ------
        NotFittedError
            Also a RuntimeError: before `fit`.
        TypeError
            If the readout is neither a `RidgeReadout` nor a `LogisticReadout`.
        ValueError
            If the parameters, arrays not counted, take more than a mebibyte.
        OSError
            If the file can't be written.
        """
        self._check_fitted()
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> Self:
        """The model that `save` wrote; nothing in the file is run or unpickled.

        Reading it takes no more memory than the file has bytes and the model needs.
        It predicts the same; `partial_fit` can't go on with it. A `backend` takes the place of the
        saved one, for a machine that doesn't have that.

        Raises
        ------
        ValueError
            If the file is truncated, changed, foreign, of another class or of a later version,
            or needs a rule that isn't registered: register it first.
        ImportError, RuntimeError
            If its backend can't run here.
        OSError
            If it can't be read, or is a folder, a pipe or a device.
        """
        return archive.load(cls, path, backend)
