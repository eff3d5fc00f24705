"""What the options of a ridge readout may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from pixelflow.checks import boolean, brief, check_unmasked, choice, number

TASKS = ("auto", "classification", "regression")
SELECTIONS = ("holdout", "loo")
MOST_ALPHAS = 10_000  # to choose among


def checked_options(readout: Any) -> list[float]:
    """The alphas of a ridge readout; raises for a parameter that is none of the documented."""
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
    """One penalty or several, no more of them than it takes to refuse them."""
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
