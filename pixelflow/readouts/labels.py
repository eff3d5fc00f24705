"""Labels, values and weights of samples, checked as they come from a user."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, assert_all_finite, column_or_1d

from pixelflow.checks import brief, check_range, check_unmasked, naming, number
from pixelflow.readouts.arrays import namespace, to_host

PLAIN = "biufUOMm"  # kinds of arrays that labels may come in
NUMBERS = "biuf"


def plain(name: str, given: Any) -> np.ndarray:
    """Labels or values (N,) or (N, T) in a plain NumPy type, none of them missing.

    What comes in a type of pandas' own, nullable or categorical, gets that of its values.
    """
    if given is None:
        what = "this estimator requires y to be passed, but the target y is None"
        raise ValueError(f"{name} must be given: {what}")
    check_range(name, given)
    check_unmasked(name, given)
    if hasattr(given, "iloc") and given.ndim == 2 and given.shape[1]:  # a type for each column
        columns = [plain(name, given.iloc[:, k]) for k in range(given.shape[1])]
        return np.stack(columns, axis=1)
    with naming(name):
        array = np.asarray(given) if namespace(given) is np else to_host(given)
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        got = f"{brief(given)} of shape {array.shape}"
        raise ValueError(f"{name} must be an array (N,) or (N, T), got {got}")
    if array.dtype.kind not in PLAIN:
        raise TypeError(f"{name} must be numbers, or text of labels, got {array.dtype}")
    _check_complete(name, given, array)
    return array


def _check_complete(name: str, given: Any, array: np.ndarray) -> None:
    """Raise for what is missing, or not finite."""
    if array.dtype.kind == "U" and isinstance(given, list | tuple):
        array = np.array(given, object)  # NumPy has made text of a NaN among text
    if array.dtype.kind == "O":
        missing = any(map(_is_missing, array.flat))
    else:
        missing = array.dtype.kind in "Mm" and bool(np.isnat(array).any())
    if missing:
        raise ValueError(f"{name} contains NaN, or another missing value: leave these samples out")
    if array.dtype.kind == "f":
        _check_finite(name, array)


def _check_finite(name: str, array: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):  # finite ones may have no sum
        assert_all_finite(array, input_name=name)


def _is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or pandas.NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA is neither equal nor not
        return True
    except ValueError:  # an array
        return False


def task_of(task: str, given: Any) -> str:
    """The task, where it is "auto" and pandas says that y is categorical."""
    categorical = hasattr(getattr(given, "dtype", None), "categories")
    return "classification" if task == "auto" and categorical else task


def as_values(array: np.ndarray, name: str = "y") -> np.ndarray:
    """What is plain as finite real numbers, which fit float64."""
    if array.dtype.kind == "O" and not any(isinstance(item, str | bytes) for item in array.flat):
        with naming(name):
            array = array.astype(np.float64)
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    _check_finite(name, array)
    return array


def as_labels(y: np.ndarray) -> np.ndarray:
    """Plain labels (N,), or label indicators (N, T), that can be told apart."""
    if y.dtype.kind == "O":
        sorted_labels("y", y)
    with naming("y"), np.errstate(invalid="ignore"):  # it compares them with integers
        check_classification_targets(y)
    return y


def checked_labels(y: Any) -> np.ndarray:
    """Labels (N,) of a classification."""
    return as_labels(column_or_1d(plain("y", y), warn=True))


def sorted_labels(name: str, y: np.ndarray) -> np.ndarray:
    """Each label once, in order."""
    try:
        found = np.unique(y)
        set(found.tolist())
    except TypeError as error:
        raise TypeError(f"{name} must be numbers, or text, which can be sorted: {error}") from error
    return found


def checked_classes(given: Any, seen: np.ndarray | None = None) -> np.ndarray:
    """The labels that `classes` names, sorted; they must be those `seen` by calls before."""
    classes = plain("classes", given)
    if classes.ndim == 2 and classes.shape[1] > 1:
        raise ValueError(f"classes must be labels (K,), got shape {classes.shape}")
    classes = sorted_labels("classes", classes)
    if not len(classes):
        raise ValueError("classes must have at least one label, got none")
    if seen is not None and classes.tolist() != seen.tolist():
        named, before = brief(classes.tolist()), brief(seen.tolist())
        raise ValueError(f"classes {named} are not those of the first partial_fit, {before}")
    return classes


def unknown_labels(y: np.ndarray, known: Any) -> list[Any]:
    """Labels in y that are none of the known, as Python's values; text never equals a number."""
    among = set(known)
    return [label for label in np.unique(y).tolist() if label not in among]


def checked_weights(sample_weight: Any, n_samples: int) -> np.ndarray:
    """Weights (N,) from 0, not all of them 0."""
    like, given = np.empty((n_samples, 1)), sample_weight
    if isinstance(given, numbers.Number):
        given = number("sample_weight", given, 0)
    else:
        given = as_values(plain("sample_weight", given), "sample_weight")
    with naming("sample_weight"):
        weight = _check_sample_weight(given, like, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weight.sum(dtype=np.float64)
    if not np.isfinite(total):
        raise ValueError("sample_weight must have a finite sum: make the weights smaller")
    return weight
