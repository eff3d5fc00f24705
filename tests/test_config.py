"""What a config accepts, refuses, keeps and draws."""

import copy
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from pixelflow import (
    Probe,
    ReservoirConfig,
)
from pixelflow.core import rule
from pixelflow.core.plan import compile_plan


def test_every_field_of_a_config_round_trips_through_json():
    config = ReservoirConfig(
        6, 5, 4, 3, "test_media", {"rate": {"uniform": [0, 1]}}, "image", 7, "float32", "zero", 2,
        {"speed": np.arange(30.0).reshape(5, 6) / 7, "source": {"uniform": [-1, 1]}}, {},
        Probe((0, 3), (1,), True, {"quantile": 0.25}, 2, "max"),
    )  # fmt: skip
    again = ReservoirConfig.from_json(config.to_json())
    assert again == config and hash(again) == hash(config)
    assert json.loads(config.to_json())["probe"]["threshold"] == {"quantile": 0.25}
    assert config != ReservoirConfig() and config != "config"


BAD_CONFIGS = [
    ({"width": 0}, ValueError, "width must be at least 1, got 0"),
    ({"height": 2.5}, TypeError, "height must be an integer, got 2.5"),
    ({"channels": True}, TypeError, "channels"),
    ({"channels": 1}, ValueError, "needs 2 channels"),
    ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seed": "0"}, TypeError, "seed"),
    ({"members": 0}, ValueError, "members"),
    ({"rule": "waves"}, ValueError, "unknown rule 'waves'"),
    ({"input_encoding": "tiles"}, ValueError, "unknown input_encoding 'tiles'"),
    ({"boundary": "wrap"}, ValueError, "unknown boundary 'wrap'"),
    ({"dtype": "float64"}, ValueError, "unknown dtype 'float64'"),
    ({"rule_params": {"fed": 0.1}}, ValueError, "unknown ['fed']"),
    ({"rule_params": [0.1]}, TypeError, "rule_params must be a mapping"),
    ({"rule_params": {"feed": "high"}}, TypeError, "'high'"),
    ({"rule_params": {"feed": math.nan}}, ValueError, "finite"),
    ({"rule_params": {"feed": [0.1, 0.2]}}, ValueError, "shape"),
    ({"rule_params": {"feed": {"uniform": [1, 0]}}}, ValueError, "uniform"),
    ({"rule_params": {"feed": {"normal": [0, 1]}}}, ValueError, "normal"),
    ({"medium": {"speed": 1.0}}, ValueError, "unknown ['speed']"),
    ({"encoder_params": {"scale": 1}}, ValueError, "unknown ['scale']"),
    ({"probe": "mean"}, TypeError, "Probe"),
    ({"probe": Probe(snapshots=(9,))}, ValueError, "of 8 steps"),
    ({"probe": Probe(channels=(4,))}, ValueError, "channels (4,) of 4"),
]


@pytest.mark.parametrize(("fields", "error", "message"), BAD_CONFIGS)
def test_bad_configs_are_refused(fields, error, message):
    with pytest.raises(error) as raised:
        ReservoirConfig(**fields)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"snapshots": ()}, ValueError),
        ({"snapshots": (2, 1)}, ValueError),
        ({"snapshots": 3}, TypeError),
        ({"snapshots": (-1,)}, ValueError),
        ({"channels": (0, 0)}, ValueError),
        ({"channels": "rg"}, TypeError),
        ({"rectify": 1}, TypeError),
        ({"threshold": 0.5}, ValueError),
        ({"threshold": math.inf, "rectify": True}, ValueError),
        ({"threshold": {"quantile": 2}, "rectify": True}, ValueError),
        ({"threshold": {"q": 0.5}, "rectify": True}, ValueError),
        ({"pool": 0}, ValueError),
        ({"pool": 2.0}, ValueError),
        ({"pool_op": "sum"}, ValueError),
    ],
)
def test_bad_probes_are_refused(fields, error):
    name = next(iter(fields))
    with pytest.raises(error, match=name):
        Probe(**fields)


def test_unknown_config_keys_are_refused():
    with pytest.raises(TypeError, match="wdith"):
        ReservoirConfig(wdith=3)
    with pytest.raises(ValueError, match=r"unknown \['wdith'\]"):
        ReservoirConfig.from_dict({"wdith": 3})
    with pytest.raises(ValueError, match=r"unknown \['pol'\]"):
        ReservoirConfig.from_dict({"probe": {"pol": 3}})


def test_configs_are_frozen_all_through_and_take_numpy_numbers():
    config = ReservoirConfig(
        5, 4, np.int64(3), rule="test_media", rule_params={"rate": {"uniform": [0, 1]}},
        medium={"speed": np.ones((4, 5))}, probe=Probe(pool=np.int64(2), rectify=np.True_),
    )  # fmt: skip
    assert config.probe == Probe(pool=2, rectify=True)
    assert hash(config.probe) == hash(Probe(pool=2, rectify=True))
    for same in (config, pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):
        assert same == config and hash(same) == hash(config)
        with pytest.raises(TypeError, match="frozen"):
            same.rule_params["rate"] = 0.5
        with pytest.raises(TypeError):
            same.rule_params["rate"]["uniform"][0] = 0.5
        with pytest.raises(ValueError, match="read-only"):
            same.medium["speed"][0, 0] = 2
    other = replace(config, medium={"speed": np.full((4, 5), 2.0)})
    assert other != config


def test_a_parameter_and_a_medium_of_one_name_are_drawn_apart(registry):
    rule("test_names", channels=("a",), params={"noise": 1.0}, medium=("encoder",))(
        lambda at, p: {"a": p.noise + at.medium("encoder") + at.noise()}
    )
    draws = {"uniform": [0, 1]}
    config = ReservoirConfig(2, 2, 1, 1, "test_names", {"noise": draws}, medium={"encoder": draws})
    plan = compile_plan(config, None)
    first = [plan.params[0, 0], plan.media[0, 0, 0, 0], config.generator("noise", 0).uniform()]
    assert len({round(float(value), 6) for value in first}) == 3
