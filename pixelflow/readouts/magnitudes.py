"""How large and how small features, targets and weights may be, so that sums of squares are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pixelflow.readouts import sums

MARGIN = 4.0  # a difference from a mean may be twice as large as what it is of, its square 4 times


class Magnitudes(NamedTuple):
    """The largest absolute values of a stream's samples, and how much they weigh."""

    features: float = 0.0
    targets: float = 0.0
    n_samples: int = 0
    own: tuple[float, float] = 0.0, 0.0  # the largest of the samples' own weights, and their sum
    weights: tuple[float, float] = 0.0, 0.0  # the same with the weights of classes

    def plus(self, rows: sums.Rows, products: Any, totals: Any) -> Magnitudes:
        """Those with more samples; ValueError where a sum of squares might overflow.

        Features are multiplied in the dtype `products`, and these are added in `totals`.
        """
        if not len(rows.own):
            return self
        found = Magnitudes(
            max(self.features, _largest(rows.X)),
            max(self.targets, _largest(rows.targets)),
            self.n_samples + len(rows.own),
            _plus(self.own, rows.own),
            _plus(self.weights, rows.weights),
        )
        found._check_large(rows.X.shape[1], products, totals)
        return found

    def _check_large(self, size: int, products: Any, totals: Any) -> None:
        for weight, largest, total in (
            ("", 1.0, float(self.n_samples)),
            ("sample_weight", *self.own),
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

    def check_small(self, products: Any) -> None:
        """ValueError where the squares of all features, or of all targets, are as good as 0."""
        for name, value, dtype in (("X", self.features, products), ("y", self.targets, np.float64)):
            least = math.sqrt(float(np.finfo(dtype).tiny) / float(np.finfo(dtype).eps))
            if 0 < value < least:
                raise ValueError(
                    f"{name} must have values of at least {least:.2g} in size, for squares are "
                    f"summed, got {value:.3g}: scale it"
                )


def _largest(values: Any) -> float:
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _plus(before: tuple[float, float], weights: np.ndarray) -> tuple[float, float]:
    with np.errstate(over="ignore"):
        return max(before[0], float(weights.max())), before[1] + float(weights.sum())


def _most(dtype: Any) -> float:
    return float(np.finfo(dtype).max)
