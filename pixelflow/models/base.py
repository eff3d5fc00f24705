"""What the models share: from inputs and targets to a fitted readout, and predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from pixelflow.core import Reservoir
from pixelflow.core.inputs import checked_inputs, is_count, see_columns
from pixelflow.core.params import Configured
from pixelflow.models import archive, training
from pixelflow.models.copies import Copies
from pixelflow.models.stream import Training, asked, features, rows_at_once
from pixelflow.readouts import RidgeReadout
from pixelflow.readouts.arrays import to_host
from pixelflow.readouts.base import ReadoutNotFittedError


class ReservoirModel(Configured):
    """What classifier and regressor share; they say what y may be."""

    _task: str
    readout: Any
    backend: str
    exact: bool
    device: int | None
    batch_size: int | None
    augment: Mapping[str, Any] | None = None

    def _check_params(self) -> None:
        if not self.configs:
            raise ValueError("config must be a ReservoirConfig or a list of at least one, got none")
        self.reservoirs()
        if self.batch_size is not None and not (is_count(self.batch_size) and self.batch_size):
            raise ValueError(
                f"batch_size must be a positive integer or None, got {self.batch_size!r}"
            )
        Copies.checked(self.augment)
        readout = self.readout
        if readout is None:
            return
        if isinstance(readout, type) or not all(hasattr(readout, m) for m in ("fit", "predict")):
            raise TypeError(f"readout must have fit and predict, got {readout!r}")
        if Copies.checked(self.augment).average and not hasattr(readout, "decision_function"):
            name = type(readout).__name__
            raise ValueError(
                f"augment's average needs a readout with decision_function, not {name}"
            )
        right = is_classifier(readout) if self._task == "classification" else is_regressor(readout)
        if not right and not (isinstance(readout, RidgeReadout) and readout.task == "auto"):
            raise ValueError(f"readout must do {self._task}, got {readout!r}")

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
        self._check_params()
        inputs = checked_inputs(X, self, at_least=1)
        y, weight = self._checked(inputs, y, sample_weight)
        readout = self._own_readout()
        if weight is not None:
            training.check_takes_weights(readout, "fit")
        data = self._training(self._fitted_on(inputs), inputs, y, weight)
        if self.readout is None:
            readout.set_params(alpha=training.path(data.total))
        classes = np.unique(y) if self._task == "classification" else None
        training.fit_readout(readout, data, classes)
        for name in ("n_samples_seen_", "weight_seen_", "_loaded"):  # of `partial_fit`, `load`
            self.__dict__.pop(name, None)
        see_columns(self, X, inputs, fitting=True)
        self._set_fitted(data, readout, classes)
        return self

    def _partial_fit(self, X, y, classes, sample_weight) -> Self:
        self._check_params()
        if hasattr(self, "_loaded"):
            raise ValueError("partial_fit can't go on with a loaded model: begin with a clone")
        new = not hasattr(self, "n_samples_seen_")  # then a `fit` before is forgotten
        inputs = checked_inputs(X, self, at_least=1)
        if not new:
            see_columns(self, X, inputs, fitting=False)
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
        see_columns(self, X, inputs, fitting=new)
        self._set_fitted(data, readout, classes)
        return self

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
        known = np.unique(y) if classes is None else np.unique(column_or_1d(classes))
        seen = self.classes_ if hasattr(self, "n_samples_seen_") else known
        if classes is not None and not np.array_equal(known, seen):
            raise ValueError(f"classes {known} are not those of the first partial_fit, {seen}")
        unknown = np.setdiff1d(y, seen)
        if len(unknown):
            raise ValueError(f"y has classes {unknown} that fit didn't see or name: {seen}")
        return seen

    def _set_fitted(self, data: Training, readout: Any, classes: np.ndarray | None) -> None:
        self.reservoirs_, self.readout_ = data.reservoirs, readout
        if classes is not None:
            self.classes_ = classes

    def _checked(self, inputs: np.ndarray, y, weight) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels or values, and the samples' weights."""
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} requires y to be passed, but the target y is None")
        if self._task == "classification":
            y = column_or_1d(y, warn=True)
            assert_all_finite(y, input_name="y")
            check_classification_targets(y)
        else:
            y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        check_consistent_length(inputs, y)
        if weight is not None:
            weight = _check_sample_weight(weight, inputs, ensure_non_negative=True)
            if not weight.any():
                raise ValueError("sample_weight must have at least one that is not zero")
        return y, weight

    def predict(self, X) -> np.ndarray:
        """Labels or values (N,), or (N, T) for T targets, of inputs shaped as for `fit`."""
        return self._by_readout("predict", self._inputs(X))

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

        Raises
        ------
        NotFittedError
            Also a RuntimeError: before `fit`.
        TypeError
            If the readout is neither a `RidgeReadout` nor a `LogisticReadout`.
        OSError
            If the file can't be written.
        """
        self._check_fitted()
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> Self:
        """The model that `save` wrote; nothing in the file is run or unpickled.

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
            If it can't be read.
        """
        return archive.load(cls, path, backend)
