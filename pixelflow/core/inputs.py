"""What comes through the reservoir's door: inputs and outputs, checked once."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from pixelflow.checks import converting

FLOAT = np.float32
IMAGES = [np.float32, np.uint8]


def checked_inputs(X, estimator: BaseEstimator, at_least: int) -> np.ndarray:
    """Checked inputs, float32 or uint8, of the rank in which they came."""
    inputs = checked(X, IMAGES, "X", ensure_min_samples=at_least, estimator=estimator)
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


def check_out(out: object, shape: tuple[int, int]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a float32 array of shape {shape}, got {type(out).__name__}")
    if out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
        got = f"{out.dtype} of shape {out.shape}"
        raise ValueError(
            f"out must be float32 of shape {shape}, C-contiguous, writeable; got {got}"
        )


def see_columns(estimator: BaseEstimator, X, inputs: np.ndarray, fitting: bool) -> None:
    """Remember, or compare with what `fit` saw, the columns and a data frame's names."""
    named: Any = X if inputs.ndim == 2 else flat(inputs)
    validate_data(estimator, named, reset=fitting, skip_check_array=True)
