"""What the options of a ridge readout may be."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

TASKS = ("auto", "classification", "regression")
SELECTIONS = ("holdout", "loo")


def checked_options(readout: Any) -> list[float]:
    """The alphas of a ridge readout; raises for a parameter that is none of the documented."""
    for name, known in (("task", TASKS), ("selection", SELECTIONS)):
        if getattr(readout, name) not in known:
            raise ValueError(f"{name} must be one of {known}, got {getattr(readout, name)!r}")
    if not isinstance(readout.standardize, bool | np.bool_):
        raise TypeError(f"standardize must be True or False, got {readout.standardize!r}")
    given: Any = readout.alpha
    alphas = np.asarray(given, object).reshape(-1).tolist()
    if not all(isinstance(a, numbers.Real) and not isinstance(a, bool) for a in alphas):
        raise TypeError(f"alpha must be a number or numbers, got {readout.alpha!r}")
    weight = readout.class_weight
    if not (weight is None or isinstance(weight, Mapping) or weight == "balanced"):
        raise ValueError(f"class_weight must be a dict, 'balanced' or None, got {weight!r}")
    for label, value in weight.items() if isinstance(weight, Mapping) else ():
        if not (isinstance(value, numbers.Real) and 0 <= float(value) < np.inf):
            raise ValueError(f"class_weight of {label!r} must be a number from 0, got {value!r}")
    values = np.array(alphas, np.float64)
    if not len(values) or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError(f"alpha must be finite and not negative, got {readout.alpha!r}")
    return values.tolist()
