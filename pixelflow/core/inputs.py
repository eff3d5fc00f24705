"""What comes through the reservoir's door: inputs and outputs, checked once."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from pixelflow.checks import converting


def checked_inputs(
    X, estimator: BaseEstimator, at_least: int, dtype: str = "float32"
) -> np.ndarray:
    """Checked inputs, uint8 or of that float type, of the rank in which they came."""
    accepted = [np.dtype(dtype), np.dtype(np.uint8)]
    inputs = checked(X, accepted, "X", ensure_min_samples=at_least, estimator=estimator)
    if inputs.dtype == np.uint8 and dtype == "float64":
        inputs = inputs / 255.0
    if inputs.ndim > 4 or (inputs.ndim == 4 and inputs.shape[3] != 3):
        raise ValueError(f"X must be (N, D_in), (N, H, W) or (N, H, W, 3), got {inputs.shape}")
    if 0 in inputs.shape[1:]:
        raise ValueError(f"X must have at least one column, row and pixel, got {inputs.shape}")
    return inputs


def flat(inputs: np.ndarray) -> np.ndarray:
    """Inputs of any rank as (N, D_in), also when N is 0."""
    return inputs.reshape(len(inputs), prod(inputs.shape[1:]))


def checked(X, dtype: Any, name: str, **checks: Any) -> Any:
    """`X` as a finite array of one of the types, of any rank; the errors are scikit-learn's."""
    with converting(name, X):  # infinities are refused
        return check_array(X, dtype=dtype, input_name=name, allow_nd=True, **checks)


def is_finite(values: np.ndarray) -> bool:
    """Whether no number is NaN or infinite, without an array of as many truth values."""
    with np.errstate(invalid="ignore"):  # NaN, which both give where there is one
        return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def check_out(out: object, shape: tuple[int, int], dtype: str) -> None:
    """Refuse what is no array for features of that shape and type."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a {dtype} array of shape {shape}, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        got = f"{out.dtype} of shape {out.shape}"
        expected = f"{dtype} of shape {shape}, C-contiguous, writeable"
        raise ValueError(f"out must be {expected}; got {got}")


def check_feature_names(estimator: BaseEstimator, X, inputs: np.ndarray, fitting: bool) -> None:
    """Remember the columns and a data frame's names, or compare them with what `fit` saw."""
    named: Any = X if inputs.ndim == 2 else flat(inputs)
    validate_data(estimator, named, reset=fitting, skip_check_array=True)
