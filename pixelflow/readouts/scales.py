"""How large features, targets and weights are: what can be squared, and which scales are alike."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from pixelflow.readouts import sums
from pixelflow.readouts.arrays import Array, namespace

MARGIN = 4.0  # a difference from a mean may be twice as large as what it is of, its square 4 times
ALIKE = 1e6  # how far apart variances may be to be decomposed together
NEGLIGIBLE = 1e-9  # of a penalty: a variance below it makes no difference


def alike(variances: Array, alpha: float) -> bool:
    """Whether one eigendecomposition is precise for every variance that counts.

    Its rounding is relative to the largest variance. One counts that is not negligible beside the
    penalty.
    """
    xp = namespace(variances)
    least = float(xp.where(variances > NEGLIGIBLE * alpha, variances, np.inf).min())
    return float(variances.max()) <= ALIKE * (least + alpha)


def powers_of_two(variances: Array, alpha: float) -> Array:
    """Powers of two that scale features to a variance, plus that penalty, of about 1.

    No number loses a digit by them. Those of features without variance are 0.
    """
    xp = namespace(variances)
    with np.errstate(over="ignore"):
        total = xp.clip(variances + alpha, 1e-307, 1e307)
    exponents = -xp.rint(xp.log2(total) / 2).astype(np.int32)
    return xp.where(variances > 0, xp.ldexp(xp.ones(len(total)), exponents), 0.0)


class Magnitudes(NamedTuple):
    """How large the samples of a stream are, because their squares must be finite and not 0."""

    features: float = 0.0  # the largest absolute value
    targets: float = 0.0  # the same
    n_samples: int = 0
    own_weights: tuple[float, float] = 0.0, 0.0  # the largest, and their sum
    weights: tuple[float, float] = 0.0, 0.0  # the same, times the weights of classes

    def plus(self, rows: sums.Rows, products: DTypeLike, totals: DTypeLike) -> Magnitudes:
        """With more samples; ValueError where a sum of squares might overflow.

        Features are multiplied in the dtype `products`, and these are added in `totals`.
        """
        if not rows.n_samples:
            return self
        found = Magnitudes(
            max(self.features, _largest(rows.X)),
            max(self.targets, _largest(rows.targets)),
            self.n_samples + rows.n_samples,
            _with_weights(self.own_weights, rows.own_weights),
            _with_weights(self.weights, rows.weights),
        )
        found._check_large(rows.X.shape[1], products, totals)
        return found

    def _check_large(self, size: int, products: DTypeLike, totals: DTypeLike) -> None:
        for weight, largest, total in (
            ("", 1.0, float(self.n_samples)),
            ("sample_weight", *self.own_weights),
            ("class_weight", *self.weights),
        ):
            least = 1.0 if weight else 0.0  # weights alone are summed too
            features, targets = max(self.features, least), max(self.targets, least)
            block = _most(products) / sums.ROWS / max(largest, 1.0) / MARGIN
            whole = _most(np.float64) / max(total, 1.0) / MARGIN
            square = min(block, whole / size, _most(totals) / max(total, 1.0) / MARGIN)
            for name, value, most in (
                ("X", features, math.sqrt(square)),
                ("y", targets, min(math.sqrt(whole), block / max(features, 1.0))),
            ):
                if value <= most:
                    continue
                if weight:
                    raise ValueError(
                        f"{weight} must be smaller, for squares of {name} are summed with weights, "
                        f"got up to {largest:.3g}: scale the weights"
                    )
                raise ValueError(
                    f"{name} must be at most {most:.2g} in size, for squares are summed, got "
                    f"{value:.3g}: scale it"
                )

    def check_small(self, products: DTypeLike) -> None:
        """ValueError where the squares of all features, or of all targets, are as good as 0."""
        for name, value, dtype in (("X", self.features, products), ("y", self.targets, np.float64)):
            least = math.sqrt(float(np.finfo(dtype).tiny) / float(np.finfo(dtype).eps))
            if 0 < value < least:
                raise ValueError(
                    f"{name} must have values of at least {least:.2g} in size, for squares are "
                    f"summed, got {value:.3g}: scale it"
                )


def _largest(values: Array) -> float:
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _with_weights(before: tuple[float, float], weights: np.ndarray) -> tuple[float, float]:
    with np.errstate(over="ignore"):
        return max(before[0], float(weights.max())), before[1] + float(weights.sum())


def _most(dtype: DTypeLike) -> float:
    return float(np.finfo(dtype).max)
