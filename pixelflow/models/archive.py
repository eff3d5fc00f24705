"""Saving and loading of fitted models: a zip of arrays (npz), one of which is JSON text.

Loading runs no code from the file. Arrays of objects are refused, because NumPy would unpickle
them, and the JSON names no code except rules, which must be registered in this process. Loading
needs no more memory than the file's bytes and the model itself, because every size that the file
states is compared with the number of bytes in it.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any, TypeVar

import numpy as np

from pixelflow.checks import brief, integer, mapping
from pixelflow.core import Probe, ReservoirConfig
from pixelflow.core.config import FIELDS
from pixelflow.core.params import named, rule_digest, warn_of_other_rule
from pixelflow.core.rules import get_rule, list_rules
from pixelflow.core.symbols import rounded
from pixelflow.files import open_regular, written_whole
from pixelflow.models import fitted, packing
from pixelflow.models.members import DAMAGE_ERRORS, read_arrays
from pixelflow.readouts import LogisticReadout, RidgeReadout

Model = TypeVar("Model", bound=fitted.SavedModel)
FORMAT, SCHEMA = "pixelflow model", 1
HEAD = "model"  # the name of the JSON array
ROOT = "state"  # the first part of all other names
MAX_JSON_BYTES = 2**20  # as Python objects the values take up to 30 times as many
ARRAY_NAMES = re.compile(  # of all arrays that a model can have
    rf"{HEAD}|{ROOT}\.(fitted\.(classes_|feature_names_in_)"
    r"|config(\.\d+)?\.(rule_params|medium)\.\w+"
    r"|reservoirs\.\d+\.encoder_\.(kernel|bias)"
    r"|readout_?\.params\.alpha|readout_\.fitted\.(coef_|intercept_|classes_|n_iter_))"
)
MAX_ERROR_CHARS = 500
READOUTS = {cls.__name__: cls for cls in (RidgeReadout, LogisticReadout)}
READOUT_STATE = tuple(  # fitted attributes; a readout may lack some
    "coef_ intercept_ classes_ alpha_ best_score_ n_iter_ n_features_in_".split()
)
STATE_ERRORS = (  # what an inconsistent state may raise besides ValueError
    *(LookupError, ArithmeticError, TypeError),
    *(AttributeError, RecursionError, MemoryError),
)


def save(model: fitted.SavedModel, path: str | os.PathLike[str]) -> None:
    """See `ReservoirClassifier.save`."""
    params = model.get_params(deep=False)
    state = {
        **{part: params.pop(part) for part in ("config", "readout")},
        "params": params,
        "fitted": fitted.model_state(model),
        "rules": [rule_digest(get_rule(config.rule), config) for config in model.configs],
        "reservoirs": [fitted.reservoir_state(reservoir) for reservoir in model.reservoirs_],
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
        "state": packing.pack(state, arrays, ROOT),
        "arrays": {name: packing.digest(array) for name, array in arrays.items()},
    }
    head["sha256"] = packing.digest(_to_json(head))
    text = np.frombuffer(_to_json(head).encode(), np.uint8)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(
            f"the model can't be saved: its parameters take {len(text)} bytes, arrays not "
            f"counted, and at most {MAX_JSON_BYTES} are allowed"
        )
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{HEAD: text, **arrays})  # pyright: ignore[reportArgumentType]


def load(cls: type[Model], path: str | os.PathLike[str], backend: str | None) -> Model:
    """See `ReservoirClassifier.load`."""
    with open_regular(path) as file:  # an OSError that is raised later means a damaged file
        try:
            arrays = read_arrays(file, ARRAY_NAMES)
        except DAMAGE_ERRORS as error:
            raise ValueError(
                f"{path} is damaged or is not a model file: {_shorten(error)}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{path} can't be loaded: {_shorten(error)}") from error
    try:
        return _build_model(cls, _verify(cls, arrays), backend)
    except ValueError as error:
        raise ValueError(f"{path} can't be loaded: {_shorten(error)}") from error
    except STATE_ERRORS as error:
        reason = f"its parts do not fit together: {type(error).__name__} {_shorten(error)}"
        raise ValueError(f"{path} can't be loaded: {reason}") from error


def _shorten(error: Exception) -> str:
    """An error's message, cut because a forged file can make it very long."""
    message = str(error)
    return message if len(message) <= MAX_ERROR_CHARS else f"{message[:MAX_ERROR_CHARS]} ..."


def _verify(cls: type, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Check class, version and hashes of a file's content and return the model's state."""
    found = _read_head(arrays.pop(HEAD, None))
    if found.get("format") != FORMAT:
        raise ValueError("it is not a pixelflow model file")
    if found.get("schema") != SCHEMA:
        raise ValueError(
            f"its schema must be {SCHEMA} for this pixelflow, got {brief(found.get('schema'))}: "
            "load it with the version that saved it, or a later one"
        )
    signed = {name: value for name, value in found.items() if name != "sha256"}
    if packing.digest(_to_json(signed)) != found.get("sha256"):
        raise ValueError("its description was changed after it was saved")
    if found["class"] != cls.__name__:
        holds = brief(found["class"]).strip("'")
        raise ValueError(f"it holds a {holds}: use {holds}.load")
    digests = dict(found["arrays"])
    if set(arrays) != set(digests):
        missing, unknown = sorted(set(digests) - set(arrays)), sorted(set(arrays) - set(digests))
        raise ValueError(
            f"it was changed: arrays missing {brief(missing)}, unknown {brief(unknown)}"
        )
    for name, array in arrays.items():
        if packing.digest(array) != digests[name]:
            raise ValueError(f"its array {name} was changed after it was saved")
    return packing.unpack(found["state"], arrays, (None, ROOT))


def _read_head(text: np.ndarray | None) -> dict[str, Any]:
    """Parse a file's JSON; an empty dict if it is missing or invalid."""
    if text is not None and text.nbytes > MAX_JSON_BYTES:
        raise ValueError(
            f"its description must have at most {MAX_JSON_BYTES} bytes, got {text.nbytes}"
        )
    try:
        found = None if text is None else json.loads(text.tobytes())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _load_configs(state: dict[str, Any]) -> list[ReservoirConfig]:
    """Make the configs; warn if a rule has changed since, ValueError if one is not registered."""
    given = state["config"] if isinstance(state["config"], list | tuple) else [state["config"]]
    found = []
    for fields, digest in zip(given, state["rules"], strict=True):
        name = fields["rule"]
        if name not in list_rules():
            raise ValueError(
                f"its rule {brief(name)} is not registered here, only {list_rules()}: "
                "run the code that defines it first"
            )
        config = ReservoirConfig.from_dict(fields)
        rule = get_rule(name)
        # As earlier versions saved it: of the program with the sizes' defaults.
        earlier_digest = packing.digest(repr(named(rounded(rule.program, np.dtype(np.float32)))))
        if digest not in (rule_digest(rule, config), earlier_digest):
            warn_of_other_rule(name, stacklevel=5)
        found.append(config)
    return found


def _build_model(cls: type[Model], state: dict[str, Any], backend: str | None) -> Model:
    """Make the fitted model from a state whose hashes were correct."""
    configs = _load_configs(state)
    readout_ = _restore_readout(state["readout_"], sum(map(_n_features, configs)))
    params, readout = dict(state["params"]), None
    if backend is not None:
        params |= {"backend": backend, "device": None}
    if state["readout"] is not None:
        readout = READOUTS[state["readout"]["class"]](**state["readout"]["params"])
    several = isinstance(state["config"], list | tuple)
    config = type(state["config"])(configs) if several else configs[0]
    model: Any = cls(config, readout, **params)  # pyright: ignore[reportCallIssue]
    fitted.restore_model(model, state["fitted"], readout_)
    model.reservoirs_ = model.reservoirs()
    for reservoir, found in zip(model.reservoirs_, state["reservoirs"], strict=True):
        fitted.restore_reservoir(reservoir, found, model.n_features_in_)
    model.readout_, model._loaded = readout_, True
    return model


def _restore_readout(state: dict[str, Any], n_features: int) -> Any:
    """Make the fitted readout; ValueError unless it takes `n_features` features."""
    found = mapping("readout_", state["fitted"], READOUT_STATE, "a readout")
    readout: Any = READOUTS[state["class"]].restore(state["params"], found)
    for n in (integer("n_features_in_", found["n_features_in_"]), readout.n_features_in_):
        if n != n_features:
            raise ValueError(f"readout_ must take {brief(n_features)} features, got {brief(n)}")
    return readout


def _n_features(config: ReservoirConfig) -> int:
    """Number of features of a config's reservoir, without making the reservoir."""
    shape = config.probe.shape(config.steps, config.height, config.width, config.channels)
    return config.members * math.prod(shape)


def _config_state(config: ReservoirConfig) -> dict[str, Any]:
    """A config's fields; arrays stay arrays, unlike in `to_dict`, which makes lists."""
    fields = {name: getattr(config, name) for name in FIELDS}
    return fields | {"probe": {k: getattr(config.probe, k) for k in Probe.__dataclass_fields__}}


def _readout_state(readout: Any, attributes: tuple[str, ...]) -> dict[str, Any]:
    name = type(readout).__name__
    if READOUTS.get(name) is not type(readout):
        raise TypeError(f"readout must be one of {[*READOUTS]}, others can't be saved, got {name}")
    fitted = {key: getattr(readout, key) for key in attributes if hasattr(readout, key)}
    return {"class": name, "params": readout.get_params(deep=False), "fitted": fitted}


def _to_json(head: dict[str, Any]) -> str:
    return json.dumps(head, sort_keys=True)
