"""What a model and its reservoirs have learned, as a file keeps it, checked when it comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.checks import FLOAT32_MAX, brief, integer, mapping, number
from pixelflow.core import learned as learning
from pixelflow.readouts.base import check_classes

MODEL = ("n_features_in_", "feature_names_in_", "classes_")  # fitted attributes, where it has them
RESERVOIR = ("n_features_in_", "input_shape_", "threshold_", "encoder_")


def model_state(model: Any) -> dict[str, Any]:
    """A model's fitted attributes, without those of its reservoirs and its readout."""
    return {name: getattr(model, name) for name in MODEL if hasattr(model, name)}


def reservoir_state(reservoir: Any) -> dict[str, Any]:
    """A reservoir's fitted attributes."""
    own = vars(reservoir)
    found = {name: own[name] for name in RESERVOIR if name in own}
    if "encoder_" in found:
        found["encoder_"] = learning.state(found["encoder_"])
    elif "_learned" in own:  # of a loaded model, whose windows need not be made for this
        found["encoder_"] = own["_learned"]
    return found


def restore_model(model: Any, state: Mapping[str, Any], readout: Any) -> None:
    """Set a model's fitted attributes; ValueError or TypeError if they don't go together."""
    mapping("fitted", state, MODEL, "a model")
    model.n_features_in_ = integer("n_features_in_", state["n_features_in_"], 1)
    if "feature_names_in_" in state:
        names = np.asarray(state["feature_names_in_"])
        if names.shape != (model.n_features_in_,) or not all(isinstance(n, str) for n in names):
            raise ValueError(
                f"feature_names_in_ must be {model.n_features_in_} texts, got {brief(names)}"
            )
        model.feature_names_in_ = names.astype(object)
    if model._task == "classification":
        model.classes_ = _classes(state["classes_"], readout)
    elif hasattr(readout, "classes_"):
        raise ValueError("its readout decides among classes_, which no regressor's does")


def _classes(classes: Any, readout: Any) -> np.ndarray:
    """A classifier's labels, among which its readout decides; a weight of 0 can hide some."""
    classes, decided = np.asarray(classes), readout.classes_
    n, rows = len(decided), len(getattr(readout, "coef_", [1]))
    if classes.ndim != 1 or not set(decided.tolist()) <= set(classes.tolist()):
        raise ValueError(f"classes_ {brief(classes)} lack some of its readout's, {brief(decided)}")
    if rows != (n if n > 2 else 1):
        raise ValueError(f"{n} classes_ don't go with {rows} rows of coef_")
    check_classes(classes)
    return classes


def restore_reservoir(reservoir: Any, state: Mapping[str, Any], n_inputs: int) -> None:
    """Set a reservoir's fitted attributes, of inputs of so many columns; raises alike."""
    config = reservoir.config
    mapping("reservoirs", state, RESERVOIR, "a reservoir")
    shape, columns = tuple(state["input_shape_"]), state["n_features_in_"]
    if not shape or shape[2:] not in ((), (3,)):
        raise ValueError(f"input_shape_ must be (D,), (H, W) or (H, W, 3), got {brief(shape)}")
    shape = tuple(integer("input_shape_", length, 1) for length in shape)
    if not integer("n_features_in_", columns) == n_inputs == math.prod(shape):
        raise ValueError(f"input_shape_ {brief(shape)} isn't of {brief(n_inputs)} columns")
    reservoir.n_features_in_, reservoir.input_shape_ = columns, shape
    if config.probe.learns:
        reservoir.threshold_ = number("threshold_", state["threshold_"], 0, FLOAT32_MAX)
    if config.input_encoding in learning.LEARNED:
        learning.check(config, shape, state["encoder_"])
        reservoir._learned = state["encoder_"]
