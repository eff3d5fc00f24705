"""What a ridge readout regresses on: labels as columns, and what makes targets of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pixelflow.checks import brief
from pixelflow.readouts.inputs import NUMBERS, as_labels, as_values, checked_classes


class Targets:
    """Makes columns, which are summed, of the labels or values y of a stream.

    Labels get a column each, 1 where it is the sample's, in the order in which they appear: so a
    class may come up late. Label indicators (N, T) and values are columns already.

    Parameters
    ----------
    task : "auto", "classification" or "regression"
    y : array (N,) or (N, T)
        The stream's first, in a plain dtype (see `inputs.plain`).
    classes : array or None
        All labels that will come, if they are known.
    closed : bool
        Refuse labels that are neither in `classes` nor, without it, in the first y.
    class_weight : mapping, or None
        Compared with the labels when they are all known: at once, or by `check_class_weight`.
    """

    def __init__(
        self,
        task: str,
        y: np.ndarray,
        classes: Any = None,
        closed: bool = False,
        class_weight: Mapping[Any, float] | None = None,
    ) -> None:
        labels = task == "classification" or (task == "auto" and y.dtype.kind not in "fc")
        self.n_columns = 1 if y.ndim == 1 else y.shape[1]
        self.indicators = labels and y.ndim == 2
        self.labels: list[Any] | None = None  # in the order of their columns
        self.dtype = y.dtype
        self.offset = np.zeros(self.n_columns)  # is subtracted from values
        self._class_weight = class_weight
        if labels:
            self._begin_labels(as_labels(y), classes, closed)
        elif classes is not None:
            raise ValueError("classes is for classification, and y holds values to regress on")
        else:
            self.offset = _means(y)
        if class_weight is not None and self.labels is None:
            what = "label indicators" if self.indicators else "values to regress on"
            raise ValueError(f"class_weight is for classification, and y holds {what}")
        if closed or classes is not None:
            self.check_class_weight()

    def _begin_labels(self, y: np.ndarray, classes: Any, closed: bool) -> None:
        if self.indicators:
            self._check_indicators(y)
            self.check_classes(classes)
            return
        self.labels, self.closed = [], False
        known = y if classes is None else checked_classes(classes)
        if _kind(known.dtype) != _kind(y.dtype):
            self.dtype = known.dtype
        self._columns(known)
        self.closed = closed

    @property
    def classes(self) -> np.ndarray | None:
        """The labels, sorted; 0 and 1 of indicators; None of values."""
        if self.indicators:
            return np.array([0, 1], self.dtype)
        return None if self.labels is None else np.sort(np.array(self.labels, self.dtype))

    def check_classes(self, classes: Any) -> None:
        """Raise where `classes` are not the labels known so far."""
        if classes is not None:
            if self.classes is None:
                raise ValueError("classes is for classification, and y held values to regress on")
            checked_classes(classes, self.classes)

    def check_class_weight(self) -> None:
        """Raise, as scikit-learn does, where a weight is of no label and a label has no weight."""
        if self._class_weight is None or self.labels is None:
            return
        without = [label for label in self.labels if label not in self._class_weight]
        if without and len(self.labels) - len(without) != len(self._class_weight):
            keys = [key for key in self._class_weight if key not in self.labels]
            raise ValueError(
                f"class_weight has {brief(keys)}, which are no labels, and the classes, "
                f"{brief(without)}, are not in class_weight"
            )

    def columns(self, y: np.ndarray) -> np.ndarray:
        """The columns (N, K) of the labels or values y."""
        if self.labels is not None:
            as_labels(y)
            if y.ndim != 1:
                raise ValueError(f"y must be labels (N,) as before, got shape {y.shape}")
            columns = self._columns(y)
            found = np.zeros((len(y), len(self.labels)))
            found[np.arange(len(y)), columns] = 1
            return found
        if y.ndim > 2 or (1 if y.ndim == 1 else y.shape[1]) != self.n_columns:
            raise ValueError(f"y must have {self.n_columns} columns as before, got {y.shape}")
        if self.indicators:
            self._check_indicators(y)
            return 2.0 * y - 1.0
        with np.errstate(over="ignore"):  # what is too large for the sums is refused there
            return as_values(y).reshape(len(y), -1).astype(np.float64) - self.offset

    def weights(self, y: np.ndarray) -> np.ndarray | None:
        """The class weight (N,) of each sample; None where classes have none."""
        if self._class_weight is None:
            return None
        labels, inverse = np.unique(y, return_inverse=True)
        return np.array([float(self._class_weight.get(a, 1.0)) for a in labels.tolist()])[inverse]

    def offset_of(self, intercept: np.ndarray) -> np.ndarray:
        """What `columns` has subtracted from values, to be added to the intercepts (T,)."""
        return self.offset if self.labels is None else np.zeros_like(intercept)

    def combine(self) -> np.ndarray:
        """The matrix (K, T) that makes targets of columns; those of classes are +1 and -1."""
        if self.labels is None:
            return np.eye(self.n_columns)
        n, order = len(self.labels), np.argsort(np.array(self.labels))
        if n == 1:
            return np.ones((1, 1))
        if n == 2:
            return np.where(np.arange(2) == order[1], 1.0, -1.0)[:, None]
        return (2.0 * np.eye(n) - 1)[:, order]

    def _check_indicators(self, y: np.ndarray) -> None:
        if y.dtype.kind not in NUMBERS or not np.isin(y, [0, 1]).all():
            raise ValueError(
                "y (N, T) must hold label indicators, 0 or 1: more classes a column are not "
                "supported; say task='regression' for values"
            )

    def _columns(self, y: np.ndarray) -> np.ndarray:
        """The column of each label; new labels get new ones, or are refused."""
        columns: list[Any] = [] if self.labels is None else self.labels
        unknown = unknown_labels(y, columns)
        if unknown and self.closed:
            raise ValueError(
                f"y has labels {brief(unknown)} that were neither in the first y nor in classes, "
                f"which are {brief(columns)}: name all classes in the first call"
            )
        if unknown:
            if _kind(y.dtype) != _kind(self.dtype):
                before = brief(columns)
                raise ValueError(f"y has labels {brief(unknown)}, and those before are {before}")
            self.dtype = np.result_type(self.dtype, y)
            columns.extend(unknown)
        known = {label: k for k, label in enumerate(columns)}
        labels, inverse = np.unique(y, return_inverse=True)
        return np.array([known[label] for label in labels.tolist()], int)[inverse]


def unknown_labels(y: np.ndarray, known: Iterable[Any]) -> list[Any]:
    """Labels in y that are not among the known, as Python's values; text never equals a number."""
    among = set(known)
    return [label for label in np.unique(y).tolist() if label not in among]


def class_weights(given: Any, y: np.ndarray | None) -> Any:
    """The weight of each class; "balanced" ones make every class count the same in all labels y."""
    if given != "balanced" or y is None:
        return given
    labels, counts = np.unique(y, return_counts=True)
    weights = counts.sum() / (len(counts) * counts)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))


def _kind(dtype: np.dtype) -> str:
    """What labels of that dtype are: numbers, text or a kind of time."""
    kind = dtype.kind
    return "numbers" if kind in NUMBERS else "text" if kind in "UO" else kind


def _means(y: np.ndarray) -> np.ndarray:
    """The mean (T,) of each column of values (N,) or (N, T)."""
    with np.errstate(over="ignore", invalid="ignore"):
        means = as_values(y).reshape(len(y), -1).mean(axis=0, dtype=np.float64)
    if not np.isfinite(means).all():
        raise ValueError("y must be smaller in size: its sum is beyond float64")
    return means
