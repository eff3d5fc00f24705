"""Which precision sums of products and Cholesky factors are kept in, by what a machine can."""

from __future__ import annotations

from typing import Any

import numpy as np

PRODUCTS = 1024  # features up to which even float32 ones are multiplied in float64
SUMS = 24000  # features up to which products are added in float64 on the host: 4.6 GB
SUMS_PART, ALL_PART = 0.45, 0.9  # of a GPU's memory: for sums alone, and for all
BESIDE = 160_000  # bytes for each feature: samples held out, twice, and those multiplied at once


def of_sums(xp: Any, size: int) -> np.dtype:
    """What products of so many features with each other are added in."""
    fits = size <= SUMS if xp is np else 8 * size**2 <= SUMS_PART * _memory(xp)
    return np.dtype(np.float64 if fits else np.float32)


def of_products(xp: Any, size: int, feature_dtype: Any) -> np.dtype:
    """What features are multiplied in: in what they come in, or float64 where that costs little."""
    double = np.dtype(feature_dtype) == np.float64 or size <= PRODUCTS
    double |= of_sums(xp, size) == np.float64 and _doubles_are_fast(xp)
    return np.dtype(np.float64 if double else np.float32)


def of_factors(xp: Any, size: int, feature_dtype: Any) -> np.dtype:
    """What to try first for a Cholesky factor beside the sums."""
    if not _doubles_are_fast(xp):
        return of_products(xp, size, feature_dtype)
    return np.dtype(np.float64 if double_factors_fit(xp, size) else np.float32)


def double_factors_fit(xp: Any, size: int) -> bool:
    """Whether there is room for a float64 factor beside the sums."""
    if xp is np:
        return size <= SUMS
    needed = (8 + of_sums(xp, size).itemsize) * size**2 + BESIDE * size
    return needed <= ALL_PART * _memory(xp)


def _doubles_are_fast(xp: Any) -> bool:
    """Whether matrix products of float64 take at most twice as long as those of float32.

    They do on GPUs for computing. On an A100 or H100, whose matrix units multiply float64 and not
    float32, they take as long.
    """
    return xp is not np and xp.cuda.Device().attributes["SingleToDoublePrecisionPerfRatio"] <= 2


def _memory(xp: Any) -> int:
    return xp.cuda.Device().mem_info[1]
