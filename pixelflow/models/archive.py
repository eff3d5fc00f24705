"""Fitted models in files: a zip of arrays (npz), one of which is JSON that says what they are.

Reading one runs nothing of it: arrays of objects, which NumPy would unpickle, are refused, and the
JSON names no code but rules, which have to be registered here. Nor does it take more memory than
the file has bytes and the model needs: what a file says of sizes is compared with what is there.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

import numpy as np

from pixelflow.checks import brief, integer, mapping
from pixelflow.core import Probe, ReservoirConfig
from pixelflow.core.config import FIELDS
from pixelflow.core.params import named, rule_digest, warn_of_other_rule
from pixelflow.core.rules import get_rule, list_rules
from pixelflow.core.symbols import rounded
from pixelflow.files import opened, written_whole
from pixelflow.models import fitted, packing
from pixelflow.models.members import DAMAGE, read_members
from pixelflow.readouts import LogisticReadout, RidgeReadout

FORMAT, SCHEMA = "pixelflow model", 1
HEAD = "model"  # the member that is JSON
ROOT = "state"
MOST_TEXT = 2**20  # bytes of JSON, whose values take up to 30 times as many as objects
MEMBERS = re.compile(  # where a model has arrays
    rf"{HEAD}|{ROOT}\.(fitted\.(classes_|feature_names_in_)"
    r"|config(\.\d+)?\.(rule_params|medium)\.\w+"
    r"|reservoirs\.\d+\.encoder_\.(kernel|bias)"
    r"|readout_?\.params\.alpha|readout_\.fitted\.(coef_|intercept_|classes_|n_iter_))"
)
MOST_SAID = 500  # characters of an error
READOUTS = {cls.__name__: cls for cls in (RidgeReadout, LogisticReadout)}
READOUT_STATE = tuple(  # where it has it
    "coef_ intercept_ classes_ alpha_ best_score_ n_iter_ n_features_in_".split()
)
MISFIT = (LookupError, ArithmeticError, TypeError, AttributeError, RecursionError, MemoryError)


def save(model: Any, path: str | os.PathLike[str]) -> None:
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
        "state": packing.packed(state, arrays, ROOT),
        "arrays": {name: packing.digest(array) for name, array in arrays.items()},
    }
    head["sha256"] = packing.digest(_text(head))
    text = np.frombuffer(_text(head).encode(), np.uint8)
    if len(text) > MOST_TEXT:
        raise ValueError(
            f"the model can't be saved: its parameters take {len(text)} bytes, arrays not "
            f"counted, and a file holds {MOST_TEXT}"
        )
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{HEAD: text, **arrays})  # pyright: ignore[reportArgumentType]


def load(cls: type, path: str | os.PathLike[str], backend: str | None) -> Any:
    """See `ReservoirClassifier.load`."""
    with opened(path) as file:  # an OSError until here, damage from here on
        try:
            arrays = read_members(file, MEMBERS)
        except DAMAGE as error:
            raise ValueError(
                f"{path} is damaged, or no file of a model: {_short(error)}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{path} can't be loaded: {_short(error)}") from error
    try:
        return _model(cls, _checked(cls, arrays), backend)
    except ValueError as error:
        raise ValueError(f"{path} can't be loaded: {_short(error)}") from error
    except MISFIT as error:
        said = f"its parts don't fit together: {type(error).__name__} {_short(error)}"
        raise ValueError(f"{path} can't be loaded: {said}") from error


def _short(error: Exception) -> str:
    """What an error says, which a file can make as long as it likes."""
    said = str(error)
    return said if len(said) <= MOST_SAID else f"{said[:MOST_SAID]} ..."


def _checked(cls: type, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The state that a file's arrays hold."""
    found = _description(arrays.pop(HEAD, None))
    if found.get("format") != FORMAT:
        raise ValueError("it is no file of a pixelflow model")
    if found.get("schema") != SCHEMA:
        raise ValueError(
            f"its schema is {brief(found.get('schema'))} and this pixelflow reads {SCHEMA}: "
            "load it with the version that saved it, or a later one"
        )
    signed = {name: value for name, value in found.items() if name != "sha256"}
    if packing.digest(_text(signed)) != found.get("sha256"):
        raise ValueError("its description was changed after it was saved")
    if found["class"] != cls.__name__:
        holds = brief(found["class"]).strip("'")
        raise ValueError(f"it holds a {holds}: use {holds}.load")
    digests = dict(found["arrays"])
    if set(arrays) != set(digests):
        differing = brief(sorted(set(arrays) ^ set(digests)))
        raise ValueError(f"its arrays aren't those it was saved with: {differing}")
    for name, array in arrays.items():
        if packing.digest(array) != digests[name]:
            raise ValueError(f"its array {name} was changed after it was saved")
    return packing.unpacked(found["state"], arrays, (None, ROOT))


def _description(text: np.ndarray | None) -> dict[str, Any]:
    """What a file's JSON says; nothing where it is none."""
    if text is not None and text.nbytes > MOST_TEXT:
        raise ValueError(f"its description has {text.nbytes} bytes, and {MOST_TEXT} are read")
    try:
        found = None if text is None else json.loads(text.tobytes())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _configs(state: dict[str, Any]) -> list[ReservoirConfig]:
    """The configs, whose rules are registered; warns where one isn't as it was."""
    given = state["config"] if isinstance(state["config"], list | tuple) else [state["config"]]
    found = []
    for fields, digest in zip(given, state["rules"], strict=True):
        name = fields["rule"]
        if name not in list_rules():
            raise ValueError(
                f"its rule {brief(name)} isn't registered here, only {list_rules()}: "
                "run the code that defines it first"
            )
        config = ReservoirConfig.from_dict(fields)
        rule = get_rule(name)
        # As earlier versions had it: of the program with the sizes' defaults.
        of_defaults = packing.digest(repr(named(rounded(rule.program, np.dtype(np.float32)))))
        if digest not in (rule_digest(rule, config), of_defaults):
            warn_of_other_rule(name, stacklevel=5)
        found.append(config)
    return found


def _model(cls: type, state: dict[str, Any], backend: str | None) -> Any:
    """The fitted model of a state whose digests are right."""
    configs = _configs(state)
    readout_ = _trained(state["readout_"], sum(map(_n_features, configs)))
    params, readout = dict(state["params"]), None
    if backend is not None:
        params |= {"backend": backend, "device": None}
    if state["readout"] is not None:
        readout = READOUTS[state["readout"]["class"]](**state["readout"]["params"])
    several = isinstance(state["config"], list | tuple)
    config = type(state["config"])(configs) if several else configs[0]
    model: Any = cls(config, readout, **params)
    fitted.restore_model(model, state["fitted"], readout_)
    model.reservoirs_ = model.reservoirs()
    for reservoir, found in zip(model.reservoirs_, state["reservoirs"], strict=True):
        fitted.restore_reservoir(reservoir, found, model.n_features_in_)
    model.readout_, model._loaded = readout_, True
    return model


def _trained(state: dict[str, Any], n_features: int) -> Any:
    """The fitted readout, whose coefficients are of as many features as the reservoirs have."""
    found = mapping("readout_", state["fitted"], READOUT_STATE, "a readout")
    readout: Any = READOUTS[state["class"]].restore(state["params"], found)
    for n in (integer("n_features_in_", found["n_features_in_"]), readout.n_features_in_):
        if n != n_features:
            raise ValueError(f"its readout takes {brief(n)} features, not {brief(n_features)}")
    return readout


def _n_features(config: ReservoirConfig) -> int:
    """How many features a config's reservoir has, before one is made."""
    shape = config.probe.shape(config.steps, config.height, config.width, config.channels)
    return config.members * math.prod(shape)


def _config_state(config: ReservoirConfig) -> dict[str, Any]:
    """A config's fields with its arrays as they are, which `to_dict` would make lists of."""
    fields = {name: getattr(config, name) for name in FIELDS}
    return fields | {"probe": {k: getattr(config.probe, k) for k in Probe.__dataclass_fields__}}


def _readout_state(readout: Any, attributes: tuple[str, ...]) -> dict[str, Any]:
    name = type(readout).__name__
    if READOUTS.get(name) is not type(readout):
        raise TypeError(f"a model with readout {name} can't be saved, only with {[*READOUTS]}")
    fitted = {key: getattr(readout, key) for key in attributes if hasattr(readout, key)}
    return {"class": name, "params": readout.get_params(deep=False), "fitted": fitted}


def _text(head: dict[str, Any]) -> str:
    return json.dumps(head, sort_keys=True)
