"""Checks of all that a user gives a readout: options, features, labels, values, weights, chunks."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    column_or_1d,
    validate_data,
)

from pixelflow.checks import (
    boolean,
    brief,
    check_range,
    check_unmasked,
    choice,
    converting,
    naming,
    number,
)
from pixelflow.readouts.arrays import Array, namespace, on_device_of, to_host

TASKS = ("auto", "classification", "regression")
SELECTIONS = ("holdout", "loo")
MOST_ALPHAS = 10_000  # to choose among
FLOATS: Any = [np.float64, np.float32]  # a readout computes in the precision that it is given
TRAIN, HELD, LATER = 0, 1, 2  # roles: to train on, to hold out, to add after the choice
PLAIN = "biufUOMm"  # kinds of arrays that labels may come in
NUMBERS = "biuf"


class HasFeatures(Protocol):
    """An estimator that keeps how many features it was fitted on, as scikit-learn's do."""

    n_features_in_: int


class RidgeOptions(HasFeatures, Protocol):
    """The parameters of a ridge readout; see `RidgeReadout`."""

    alpha: float | Sequence[float]
    task: str
    standardize: bool
    selection: str
    class_weight: Any  # as it came: a mapping, "balanced" or None


# -- options ---------------------------------------------------------------------------------------


def checked_options(readout: RidgeOptions) -> list[float]:
    """The alphas of a ridge readout; raises for an option that is none of the documented."""
    choice("task", readout.task, TASKS)
    choice("selection", readout.selection, SELECTIONS)
    boolean("standardize", readout.standardize)
    _check_class_weight(readout.class_weight)
    given = _listed(readout.alpha)
    if not 0 < len(given) <= MOST_ALPHAS:
        most = f"from 1 to {MOST_ALPHAS} numbers"
        raise ValueError(f"alpha must be a number, or {most}, got {brief(readout.alpha)}")
    return [number("alpha", alpha, 0) for alpha in given]


def _listed(alpha: Any) -> list[Any]:
    """One penalty or several; of too many only as many as it takes to refuse them."""
    check_unmasked("alpha", alpha)
    if isinstance(alpha, np.ndarray):
        if alpha.ndim > 1:
            raise ValueError(f"alpha must be numbers in one axis, got shape {alpha.shape}")
        return alpha.reshape(-1)[: MOST_ALPHAS + 1].tolist()
    several = isinstance(alpha, Iterable) and hasattr(alpha, "__getitem__")
    if not several or isinstance(alpha, str | bytes | Mapping):
        return [alpha]
    return list(islice(alpha, MOST_ALPHAS + 1))


def _check_class_weight(weight: Any) -> None:
    if weight is None or (isinstance(weight, str) and weight == "balanced"):
        return
    if not isinstance(weight, Mapping):
        raise ValueError(f"class_weight must be a dict, 'balanced' or None, got {brief(weight)}")
    for label, value in weight.items():
        what = f"class_weight of {brief(label)}"
        try:
            number(what, value, 0)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} must be a number from 0, got {brief(value)}") from error


# -- features and chunks ---------------------------------------------------------------------------


class Chunk(NamedTuple):
    """Checked samples."""

    X: Array  # (n, D), on its device
    y: np.ndarray  # (n,) or (n, T)
    sample_weight: np.ndarray | None  # (n,)
    roles: np.ndarray | None  # (n,) of TRAIN, HELD and LATER
    task: str


def host_features(readout: HasFeatures, X: Any, reset: bool) -> np.ndarray:
    """Features (N, D) as float32 or float64 on the host; raises for what no features are.

    With `reset` the readout keeps their number; without, it must be the one it keeps.
    """
    with converting("X", X):  # infinities are refused
        checked: Any = validate_data(readout, X, reset=reset, dtype=FLOATS)
    return checked


def checked_features(readout: HasFeatures, X: Any, reset: bool) -> Array:
    """The same of features of NumPy or CuPy, which stay on their device."""
    if namespace(X) is np:
        return host_features(readout, X, reset)
    xp, name = namespace(X), type(readout).__name__
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array of features (N, D), got shape {X.shape}.")
    if not reset and X.shape[1] != readout.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {name} is expecting {readout.n_features_in_} "
            "features as input."
        )
    if not X.size and (reset or not X.shape[1]):
        raise ValueError(f"Found array with {len(X)} sample(s) and {X.shape[1]} feature(s).")
    with on_device_of(X):
        X = X if X.dtype in FLOATS else X.astype(np.float32)
        # the sum is finite of finite features, unless it is too large
        if not bool(xp.isfinite(X.sum())) and not bool(xp.isfinite(X).all()):
            raise ValueError("Input X contains NaN or infinity.")
    if reset:
        readout.n_features_in_ = X.shape[1]
    return X


def chunk_parts(chunk: Any) -> tuple[Any, Any, Any, Any]:
    """Features, y, sample weights or None and roles or None, as they came."""
    if not isinstance(chunk, Sequence) or isinstance(chunk, str):
        raise TypeError(f"a chunk must be a tuple (X, y, sample_weight), got {brief(chunk)}")
    if len(chunk) not in (3, 4):
        raise ValueError(f"a chunk must be 3 parts, or 4 with roles, got {len(chunk)}")
    return chunk[0], chunk[1], chunk[2], chunk[3] if len(chunk) == 4 else None


def checked_chunk(readout: RidgeOptions, chunk: Any, reset: bool) -> Chunk:
    """(X, y, sample weights or None), perhaps with roles, as a Chunk."""
    X, given, sample_weight, roles = chunk_parts(chunk)
    X, y = checked_features(readout, X, reset), plain("y", given)
    check_consistent_length(X, y)
    if not len(y):
        raise ValueError("X has 0 samples, and a chunk needs at least one")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if sample_weight is not None:
        sample_weight = checked_weights(sample_weight, len(y))
    roles = None if roles is None else _checked_roles(roles, len(y))
    return Chunk(X, y, sample_weight, roles, _task_of(readout.task, given))


def _checked_roles(roles: Any, n_samples: int) -> np.ndarray:
    roles = np.asarray(roles)
    if roles.shape != (n_samples,) or roles.dtype.kind not in "biu":
        raise ValueError(f"roles must be {n_samples} integers, got {roles.dtype} {roles.shape}.")
    if n_samples and not (roles.min() >= 0 and roles.max() <= LATER):
        raise ValueError("roles must be 0 (train), 1 (hold out) or 2 (add after the choice).")
    return roles.astype(np.int8)


def _task_of(task: str, y: Any) -> str:
    """The task; "classification" where it is "auto" and pandas says that y is categorical."""
    categorical = hasattr(getattr(y, "dtype", None), "categories")
    return "classification" if task == "auto" and categorical else task


# -- labels, values and weights --------------------------------------------------------------------


def plain(name: str, given: Any) -> np.ndarray:
    """Labels or values (N,) or (N, T) in a plain NumPy dtype, none of them missing.

    Values in a dtype of pandas' own, nullable or categorical, get NumPy's dtype for them.
    """
    if given is None:
        what = "this estimator requires y to be passed, but the target y is None"
        raise ValueError(f"{name} must be given: {what}")
    check_range(name, given)
    check_unmasked(name, given)
    if hasattr(given, "iloc") and given.ndim == 2 and given.shape[1]:  # a dtype for each column
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
    """Raise where values are missing, or not finite."""
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


def as_values(array: np.ndarray, name: str = "y") -> np.ndarray:
    """Plain values as finite real numbers that fit float64; raises where they are none."""
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
    """Plain labels (N,) or label indicators (N, T); raises where labels can't be sorted."""
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
