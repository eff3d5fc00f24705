"""Fitted models in files: a zip of arrays (npz), one of which is JSON that says what they are.

Reading one runs nothing of it: arrays of objects, which NumPy would unpickle, are refused, and the
JSON names no code but rules, which have to be registered here.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from typing import Any

import numpy as np

from pixelflow.core import Probe, ReservoirConfig
from pixelflow.core.config import FIELDS
from pixelflow.core.learned import restored
from pixelflow.core.learned import state as learned
from pixelflow.core.rules import get_rule, list_rules
from pixelflow.files import written_whole
from pixelflow.models import packing
from pixelflow.readouts import LogisticReadout, RidgeReadout

FORMAT, SCHEMA = "pixelflow model", 1
HEAD = "model"  # the member that is JSON
READOUTS = {cls.__name__: cls for cls in (RidgeReadout, LogisticReadout)}
READOUT_STATE = tuple(  # where it has it
    "coef_ intercept_ classes_ alpha_ best_score_ n_iter_ n_features_in_".split()
)
MISFIT = (KeyError, TypeError, AttributeError, IndexError, RecursionError)
APART = ("reservoirs_", "readout_", "n_samples_seen_", "weight_seen_")  # the last: to train on


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """See `ReservoirClassifier.save`."""
    fitted = {k: v for k, v in _fitted(model).items() if k not in APART}
    params = model.get_params(deep=False)
    state = {
        **{part: params.pop(part) for part in ("config", "readout")},
        "params": params,
        "fitted": fitted,
        "rules": [_rule_digest(config) for config in model.configs],
        "reservoirs": [_reservoir_state(reservoir) for reservoir in model.reservoirs_],
        "readout": None if model.readout is None else _readout_state(model.readout, ()),
        "readout_": _readout_state(model.readout_, READOUT_STATE),
    }
    several = isinstance(model.config, list | tuple)
    configs = [_config_state(config) for config in model.configs]
    state["config"] = type(model.config)(configs) if several else configs[0]
    arrays: dict[str, np.ndarray] = {}
    head = {
        "format": FORMAT,
        "schema": SCHEMA,
        "class": type(model).__name__,
        "state": packing.packed(state, arrays, "state"),
        "arrays": {name: packing.digest(array) for name, array in arrays.items()},
    }
    head["sha256"] = packing.digest(_text(head))
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{HEAD: np.frombuffer(_text(head).encode(), np.uint8), **arrays})  # pyright: ignore[reportArgumentType]


def load(cls: type, path: str | os.PathLike[str], backend: str | None) -> Any:
    """See `ReservoirClassifier.load`."""
    with open(path, "rb") as opened:  # an OSError until here, damage from here on
        try:
            with zipfile.ZipFile(opened) as file:
                arrays = packing.read_members(file)
        except packing.DAMAGE as error:
            raise ValueError(f"{path} is damaged, or no file of a model: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path} can't be loaded: {error}") from error
    try:
        state = _checked(cls, arrays)
        _check_rules(state)
        return _model(cls, state, backend)
    except ValueError as error:
        raise ValueError(f"{path} can't be loaded: {error}") from error
    except MISFIT as error:
        raise ValueError(
            f"{path} can't be loaded: its parts don't fit together: {error!r}"
        ) from error


def _checked(cls: type, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The state that a file's arrays hold."""
    head = arrays.pop(HEAD, None)
    try:
        found = None if head is None else json.loads(head.tobytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError("it is no file of a pixelflow model")
    if found.get("schema") != SCHEMA:
        raise ValueError(
            f"its schema is {found.get('schema')!r} and this pixelflow reads {SCHEMA}: "
            "load it with the version that saved it, or a later one"
        )
    if packing.digest(_text({k: v for k, v in found.items() if k != "sha256"})) != found.get(
        "sha256"
    ):
        raise ValueError("its description was changed after it was saved")
    if found["class"] != cls.__name__:
        raise ValueError(f"it holds a {found['class']}: use {found['class']}.load")
    if set(arrays) != set(found["arrays"]):
        differing = sorted(set(arrays) ^ set(found["arrays"]))
        raise ValueError(f"its arrays aren't those it was saved with: {differing}")
    for name, array in arrays.items():
        if packing.digest(array) != found["arrays"][name]:
            raise ValueError(f"its array {name} was changed after it was saved")
    return packing.unpacked(found["state"], arrays)


def _check_rules(state: dict[str, Any]) -> None:
    configs = state["config"] if isinstance(state["config"], list | tuple) else [state["config"]]
    for config, digest in zip(configs, state["rules"], strict=True):
        name = config["rule"]
        if name not in list_rules():
            raise ValueError(
                f"its rule {name!r} isn't registered here, only {list_rules()}: "
                "run the code that defines it first"
            )
        if packing.digest(repr(get_rule(name).program)) != digest:
            warnings.warn(
                f"rule {name!r} isn't as it was when the model was saved: it may predict otherwise",
                stacklevel=5,
            )


def _model(cls: type, state: dict[str, Any], backend: str | None) -> Any:
    """The fitted model of a checked state."""
    several = isinstance(state["config"], list | tuple)
    given = state["config"] if several else [state["config"]]
    configs = [ReservoirConfig(**{**fields, "probe": Probe(**fields["probe"])}) for fields in given]
    params = state["params"]
    if backend is not None:
        params |= {"backend": backend, "device": None}
    readout = None
    if state["readout"]:
        readout = READOUTS[state["readout"]["class"]](**state["readout"]["params"])
    config = type(state["config"])(configs) if several else configs[0]
    model = cls(config, readout, **params)
    _set(model, state["fitted"])
    model.reservoirs_ = model.reservoirs()
    for reservoir, fitted in zip(model.reservoirs_, state["reservoirs"], strict=True):
        if "encoder_" in fitted:
            shape = fitted["input_shape_"]
            fitted["encoder_"] = restored(reservoir.config, shape, fitted["encoder_"])
        _set(reservoir, fitted)
    trained = state["readout_"]
    readout_: Any = READOUTS[trained["class"]].restore(trained["params"], trained["fitted"])
    n_features = sum(reservoir.feature_dim for reservoir in model.reservoirs_)
    if readout_.n_features_in_ != n_features:
        raise ValueError(f"its readout takes {readout_.n_features_in_} features, not {n_features}")
    model.readout_, model._loaded = readout_, True
    return model


def _fitted(estimator: Any) -> dict[str, Any]:
    """Its fitted attributes: those that end in an underscore."""
    return {k: v for k, v in vars(estimator).items() if k.endswith("_") and k[0] != "_"}


def _reservoir_state(reservoir: Any) -> dict[str, Any]:
    found = _fitted(reservoir)
    return found | {"encoder_": learned(found["encoder_"])} if "encoder_" in found else found


def _set(estimator: Any, fitted: dict[str, Any]) -> None:
    for name, value in fitted.items():
        if not name.endswith("_") or name[0] == "_":
            raise ValueError(f"its {name!r} is no fitted attribute")
        setattr(estimator, name, value)


def _config_state(config: ReservoirConfig) -> dict[str, Any]:
    """A config's fields with its arrays as they are, which `to_dict` would make lists of."""
    fields = {name: getattr(config, name) for name in FIELDS}
    return fields | {"probe": {k: getattr(config.probe, k) for k in Probe.__dataclass_fields__}}


def _rule_digest(config: ReservoirConfig) -> str:
    return packing.digest(repr(get_rule(config.rule).program))


def _readout_state(readout: Any, attributes: tuple[str, ...]) -> dict[str, Any]:
    name = type(readout).__name__
    if READOUTS.get(name) is not type(readout):
        raise TypeError(f"a model with readout {name} can't be saved, only with {[*READOUTS]}")
    fitted = {key: getattr(readout, key) for key in attributes if hasattr(readout, key)}
    return {"class": name, "params": readout.get_params(deep=False), "fitted": fitted}


def _text(head: dict[str, Any]) -> str:
    return json.dumps(head, sort_keys=True)
