"""Scales of features: whether they are alike, and powers of two that make them so."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelflow.readouts.arrays import namespace

ALIKE = 1e6  # how far apart variances may be to be decomposed together
NEGLIGIBLE = 1e-9  # of a penalty: a variance below it makes no difference


def alike(variances: Any, alpha: float) -> bool:
    """Whether one eigendecomposition is precise for every variance that counts.

    Its rounding is relative to the largest, and a variance counts that is not negligible beside
    the penalty.
    """
    xp = namespace(variances)
    least = float(xp.where(variances > NEGLIGIBLE * alpha, variances, np.inf).min())
    return float(variances.max()) <= ALIKE * (least + alpha)


def powers(variances: Any, alpha: float) -> Any:
    """Powers of two that scale features to a variance, with that penalty, of about 1.

    No number loses a digit by them. Those of features without variance are 0.
    """
    xp = namespace(variances)
    with np.errstate(over="ignore"):
        total = xp.clip(variances + alpha, 1e-307, 1e307)
    exponents = -xp.rint(xp.log2(total) / 2).astype(np.int32)
    return xp.where(variances > 0, xp.ldexp(xp.ones(len(total)), exponents), 0.0)
