"""Chunks of training samples, checked at the door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from pixelflow.readouts.arrays import namespace, to_host, where
from pixelflow.readouts.base import FLOATS
from pixelflow.readouts.holdout import LATER


class Chunk(NamedTuple):
    """Checked samples."""

    X: Any  # (n, D), on its device
    y: np.ndarray  # (n,) or (n, T)
    sample_weight: np.ndarray | None
    roles: np.ndarray | None


@contextmanager
def named(number: int, first: int) -> Iterator[None]:
    """An error within says which chunk it is, counted from 1, and at which sample it begins."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"chunk {number} (from sample {first} on) is refused and nothing of it added: {error}"
        ) from error


def checked_features(readout: Any, X: Any, reset: bool) -> Any:
    """Features as float32 or float64 on their device; raises for what no features are."""
    if namespace(X) is np:
        return validate_data(readout, X, reset=reset, dtype=FLOATS)
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
    with where(X):
        X = X if X.dtype in FLOATS else X.astype(np.float32)
        # the sum is finite of finite features, unless it is too large
        if not bool(xp.isfinite(X.sum())) and not bool(xp.isfinite(X).all()):
            raise ValueError("Input X contains NaN or infinity.")
    if reset:
        readout.n_features_in_ = X.shape[1]
    return X


def checked_chunk(readout: Any, chunk: Sequence[Any], reset: bool) -> Chunk:
    """(X, y, sample weights or None), perhaps with roles, as a Chunk."""
    if len(chunk) not in (3, 4):
        raise ValueError(f"expected (X, y, sample_weight) or four with roles, got {len(chunk)}")
    X, y, sample_weight = chunk[:3]
    roles = chunk[3] if len(chunk) == 4 else None
    y: Any = y if namespace(y) is np else to_host(y)
    if namespace(X) is np:
        checked: Any = validate_data(readout, X, y, reset=reset, dtype=FLOATS, multi_output=True)
        X, y = checked
    else:
        kind: Any = None  # any
        y = check_array(y, ensure_2d=False, dtype=kind, input_name="y")
        if len(y) != len(X):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"X has {len(X)} and y {len(y)}."
            )
        X = checked_features(readout, X, reset)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if sample_weight is not None:
        like = np.empty((len(y), 1))
        sample_weight = _check_sample_weight(sample_weight, like, ensure_non_negative=True)
    return Chunk(X, y, sample_weight, None if roles is None else _checked_roles(roles, len(y)))


def _checked_roles(roles: Any, n_samples: int) -> np.ndarray:
    roles = np.asarray(roles)
    if roles.shape != (n_samples,) or roles.dtype.kind not in "biu":
        raise ValueError(f"roles must be {n_samples} integers, got {roles.dtype} {roles.shape}.")
    if n_samples and not (roles.min() >= 0 and roles.max() <= LATER):
        raise ValueError("roles must be 0 (train), 1 (hold out) or 2 (add after the choice).")
    return roles.astype(np.int8)
