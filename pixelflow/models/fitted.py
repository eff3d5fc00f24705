"""The fitted attributes of a model and its reservoirs: read for saving, checked when restored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from pixelflow.checks import FLOAT32_MAX, brief, integer, mapping, number
from pixelflow.core import ReservoirConfig, encoder_registry
from pixelflow.core import learned as learning
from pixelflow.readouts.base import check_classes
from pixelflow.reservoir import Reservoir

MODEL_ATTRIBUTES = ("n_features_in_", "feature_names_in_", "classes_")  # a model may lack some
RESERVOIR_ATTRIBUTES = ("n_features_in_", "input_shape_", "threshold_", "encoder_")


class SavedModel(Protocol):
    """What a file keeps of a fitted model."""

    _task: str
    config: Any  # one config, or several
    readout: Any
    n_features_in_: int
    feature_names_in_: np.ndarray
    classes_: np.ndarray
    reservoirs_: list[Reservoir]
    readout_: Any

    @property
    def configs(self) -> tuple[ReservoirConfig, ...]: ...
    def reservoirs(self) -> list[Reservoir]: ...
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...


def model_state(model: SavedModel) -> dict[str, Any]:
    """The model's own fitted attributes, without those of its reservoirs and its readout."""
    return {name: getattr(model, name) for name in MODEL_ATTRIBUTES if hasattr(model, name)}


def reservoir_state(reservoir: Reservoir) -> dict[str, Any]:
    """The fitted attributes of a reservoir."""
    own = vars(reservoir)
    found = {name: own[name] for name in RESERVOIR_ATTRIBUTES if name in own}
    if "encoder_" in found:
        found["encoder_"] = learning.state(found["encoder_"])
    elif "_learned" in own:  # a loaded model keeps them unprocessed until they are used
        found["encoder_"] = own["_learned"]
    return found


def restore_model(model: SavedModel, state: Mapping[str, Any], readout: Any) -> None:
    """Set a model's fitted attributes; ValueError or TypeError if they are inconsistent."""
    mapping("fitted", state, MODEL_ATTRIBUTES, "a model")
    model.n_features_in_ = integer("n_features_in_", state["n_features_in_"], 1)
    if "feature_names_in_" in state:
        names = np.asarray(state["feature_names_in_"])
        if names.shape != (model.n_features_in_,) or not all(isinstance(n, str) for n in names):
            raise ValueError(
                f"feature_names_in_ must be {model.n_features_in_} strings, got {brief(names)}"
            )
        model.feature_names_in_ = names.astype(object)
    if model._task == "classification":
        model.classes_ = _check_classes(state["classes_"], readout)
    elif hasattr(readout, "classes_"):
        raise ValueError("readout_ must not have classes_ in a regressor")


def _check_classes(classes: Any, readout: Any) -> np.ndarray:
    """Check a classifier's labels, which include the readout's.

    The readout may know fewer, because it does not see samples of weight 0.
    """
    classes, decided = np.asarray(classes), readout.classes_
    n, rows = len(decided), len(getattr(readout, "coef_", [1]))
    if classes.ndim != 1 or not set(decided.tolist()) <= set(classes.tolist()):
        raise ValueError(
            f"classes_ must include those of readout_, {brief(decided)}, got {brief(classes)}"
        )
    if rows != (n if n > 2 else 1):
        raise ValueError(f"coef_ must fit the {n} classes_ of readout_, got {rows} rows")
    check_classes(classes)
    return classes


def restore_reservoir(reservoir: Any, state: Mapping[str, Any], n_inputs: int) -> None:
    """Set a reservoir's fitted attributes for inputs of `n_inputs` values; raises alike."""
    config = reservoir.config
    mapping("reservoirs", state, RESERVOIR_ATTRIBUTES, "a reservoir")
    shape, columns = tuple(state["input_shape_"]), state["n_features_in_"]
    if not shape or shape[2:] not in ((), (3,)):
        raise ValueError(f"input_shape_ must be (D,), (H, W) or (H, W, 3), got {brief(shape)}")
    shape = tuple(integer("input_shape_", length, 1) for length in shape)
    if not integer("n_features_in_", columns) == n_inputs == math.prod(shape):
        raise ValueError(
            f"input_shape_ and n_features_in_ must agree with {brief(n_inputs)} inputs, "
            f"got {brief(shape)} and {brief(columns)}"
        )
    reservoir.n_features_in_, reservoir.input_shape_ = columns, shape
    if config.probe.learns:
        reservoir.threshold_ = number("threshold_", state["threshold_"], 0, FLOAT32_MAX)
    if encoder_registry.learns(config):
        learning.check(config, shape, state["encoder_"])
        reservoir._learned = state["encoder_"]
