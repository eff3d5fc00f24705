"""Chunks of training samples, checked at the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length

from pixelflow.checks import brief
from pixelflow.readouts.arrays import namespace, where
from pixelflow.readouts.base import FLOATS, host_features
from pixelflow.readouts.holdout import LATER
from pixelflow.readouts.labels import checked_weights, plain, task_of


class Chunk(NamedTuple):
    """Checked samples."""

    X: Any  # (n, D), on its device
    y: np.ndarray  # (n,) or (n, T)
    sample_weight: np.ndarray | None
    roles: np.ndarray | None
    task: str


def checked_features(readout: Any, X: Any, reset: bool) -> Any:
    """Features as float32 or float64 on their device; raises for what no features are."""
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
    with where(X):
        X = X if X.dtype in FLOATS else X.astype(np.float32)
        # the sum is finite of finite features, unless it is too large
        if not bool(xp.isfinite(X.sum())) and not bool(xp.isfinite(X).all()):
            raise ValueError("Input X contains NaN or infinity.")
    if reset:
        readout.n_features_in_ = X.shape[1]
    return X


def parts_of(chunk: Any) -> tuple[Any, Any, Any, Any]:
    """Features, y, sample weights or None and roles or None, as they came."""
    if not isinstance(chunk, Sequence) or isinstance(chunk, str):
        raise TypeError(f"a chunk must be a tuple (X, y, sample_weight), got {brief(chunk)}")
    if len(chunk) not in (3, 4):
        raise ValueError(f"a chunk must be 3 parts, or 4 with roles, got {len(chunk)}")
    return chunk[0], chunk[1], chunk[2], chunk[3] if len(chunk) == 4 else None


def checked_chunk(readout: Any, chunk: Any, reset: bool) -> Chunk:
    """(X, y, sample weights or None), perhaps with roles, as a Chunk."""
    X, given, sample_weight, roles = parts_of(chunk)
    X, y = checked_features(readout, X, reset), plain("y", given)
    check_consistent_length(X, y)
    if not len(y):
        raise ValueError("X has 0 samples, and a chunk needs at least one")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if sample_weight is not None:
        sample_weight = checked_weights(sample_weight, len(y))
    roles = None if roles is None else _checked_roles(roles, len(y))
    return Chunk(X, y, sample_weight, roles, task_of(readout.task, given))


def _checked_roles(roles: Any, n_samples: int) -> np.ndarray:
    roles = np.asarray(roles)
    if roles.shape != (n_samples,) or roles.dtype.kind not in "biu":
        raise ValueError(f"roles must be {n_samples} integers, got {roles.dtype} {roles.shape}.")
    if n_samples and not (roles.min() >= 0 and roles.max() <= LATER):
        raise ValueError("roles must be 0 (train), 1 (hold out) or 2 (add after the choice).")
    return roles.astype(np.int8)
