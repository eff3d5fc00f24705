"""What a ridge readout regresses on: labels as columns, and columns as labels again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets


class Targets:
    """How y becomes the columns that are summed, for a stream of y.

    Labels get a column each, 1 where it is the sample's, in the order in which they appear: so a
    class may come up late. Label indicators (N, T) and values are columns already.

    Parameters
    ----------
    task : "auto", "classification" or "regression"
    y : array (N,) or (N, T)
        The first of the stream.
    classes : array or None
        All labels there will be, if that is known.
    closed : bool
        Refuse labels that are neither in `classes` nor, without it, in the first y.
    class_weight : mapping, or None
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
        self.labels: list[Any] | None = None
        self.dtype = y.dtype
        self.offset = np.zeros(self.n_columns)
        self._class_weight = class_weight
        if labels:
            check_classification_targets(y)
            if self.indicators and not np.isin(y, [0, 1]).all():
                raise ValueError(
                    "labels (N, T) must be indicators, 0 or 1: more classes a column are not "
                    "supported; say task='regression' for values"
                )
            if not self.indicators:
                self.labels = []
                self.closed = False
                self._columns(np.asarray(classes) if classes is not None else y)
                self.closed = closed
        elif classes is not None:
            raise ValueError("classes is for classification, and y holds values to regress on")
        else:
            self.offset = y.reshape(len(y), -1).mean(axis=0, dtype=np.float64)
        if class_weight is not None and self.labels is None:
            what = "label indicators" if self.indicators else "values to regress on"
            raise ValueError(f"class_weight is for classification, and y holds {what}")

    @property
    def classes(self) -> np.ndarray | None:
        """The labels, sorted; 0 and 1 of indicators; None of values."""
        if self.indicators:
            return np.array([0, 1], self.dtype)
        return None if self.labels is None else np.sort(np.array(self.labels, self.dtype))

    def columns(self, y: np.ndarray) -> np.ndarray:
        """The columns (N, K) of the labels or values y."""
        if self.labels is not None:
            check_classification_targets(y)
            if y.ndim != 1:
                raise ValueError(f"y must be labels (N,) as before, got shape {y.shape}")
            columns = self._columns(y)
            found = np.zeros((len(y), len(self.labels)))
            found[np.arange(len(y)), columns] = 1
            return found
        if y.ndim > 2 or (1 if y.ndim == 1 else y.shape[1]) != self.n_columns:
            raise ValueError(f"y must have {self.n_columns} columns as before, got {y.shape}")
        if self.indicators:
            if not np.isin(y, [0, 1]).all():
                raise ValueError("y must hold label indicators, 0 or 1, as before")
            return 2.0 * y - 1.0
        return y.reshape(len(y), -1).astype(np.float64) - self.offset

    def weights(self, y: np.ndarray) -> np.ndarray | None:
        """The class weight of each sample."""
        if self._class_weight is None:
            return None
        labels, inverse = np.unique(y, return_inverse=True)
        return np.array([float(self._class_weight.get(a, 1.0)) for a in labels.tolist()])[inverse]

    def offset_of(self, intercept: np.ndarray) -> np.ndarray:
        """What was taken off values: add it to the intercepts."""
        return self.offset if self.labels is None else np.zeros_like(intercept)

    def combine(self) -> np.ndarray:
        """What makes the targets, +1 and -1 of classes, of the columns."""
        if self.labels is None:
            return np.eye(self.n_columns)
        n, order = len(self.labels), np.argsort(np.array(self.labels))
        if n == 1:
            return np.ones((1, 1))
        if n == 2:
            return np.where(np.arange(2) == order[1], 1.0, -1.0)[:, None]
        return (2.0 * np.eye(n) - 1)[:, order]

    def _columns(self, y: np.ndarray) -> np.ndarray:
        """The column of each label; new labels get new ones, or are refused."""
        columns = self.labels if self.labels is not None else []
        known = {label: k for k, label in enumerate(columns)}
        labels, inverse = np.unique(y, return_inverse=True)
        unknown = [label for label in labels.tolist() if label not in known]
        if unknown and self.closed:
            raise ValueError(
                f"y has labels {unknown} that were neither in the first y nor in classes, "
                f"which are {list(known)}: name all classes in the first call"
            )
        if unknown:
            self.dtype = np.result_type(self.dtype, labels)
        for label in unknown:
            known[label] = len(known)
            columns.append(label)
        return np.array([known[label] for label in labels.tolist()], int)[inverse]


def balanced(labels: np.ndarray, counts: np.ndarray) -> dict[Any, float]:
    """Class weights by which every class counts the same, as in scikit-learn."""
    weights = counts.sum() / (len(counts) * counts)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))
