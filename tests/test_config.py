"""What a config accepts, refuses, keeps and draws."""

import copy
import itertools
import json
import math
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pixelflow import (
    Probe,
    Reservoir,
    ReservoirConfig,
)
from pixelflow.core import rule
from pixelflow.core.plan import compile_states


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
    ({"dtype": "float16"}, ValueError, "unknown dtype 'float16'"),
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
    (
        {"probe": Probe(snapshots=(9,))},
        ValueError,
        "snapshots must be between 0 and steps=8, got (9,)",
    ),
    (
        {"probe": Probe(channels=(4,))},
        ValueError,
        "probe.channels must be below channels=4, got (4,)",
    ),
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
        ({"pool": 2.0}, TypeError),
        ({"pool": 10**400}, ValueError),
        ({"threshold": 10**400, "rectify": True}, ValueError),
        ({"threshold": "0.5", "rectify": True}, TypeError),
        ({"threshold": {"quantile": 10**400}, "rectify": True}, ValueError),
        ({"snapshots": "0123"}, TypeError),
        ({"snapshots": {2, 4}}, TypeError),
        ({"snapshots": (0, 10**400)}, ValueError),
        ({"pool_op": "sum"}, ValueError),
    ],
)
def test_bad_probes_are_refused(fields, error):
    name = next(iter(fields))
    with pytest.raises(error, match=name):
        Probe(**fields)


TOO_LARGE = [
    (lambda: ReservoirConfig(2**32, 2**32), "width must be at most 2147483647"),
    (
        lambda: ReservoirConfig(2**16, 2**15),
        "width x height x channels must have at most 2147483647",
    ),
    (lambda: ReservoirConfig(channels=1025), "channels must be at most 1024, got 1025"),
    (lambda: ReservoirConfig(steps=2**31), "steps must be at most 2147483647"),
    (lambda: ReservoirConfig(seed=10**5000), "seed must be at most 3402823669"),
    (lambda: ReservoirConfig(members=10**7), "members must be at most 1048576, got 10000000"),
    (lambda: ReservoirConfig(members=2**20), "members x the probe's features must have at most"),
    (
        lambda: ReservoirConfig(
            1, 1, rule="coupled", rule_params={"k": 63}, members=2**20, probe=Probe(pool=1)
        ),
        "members x rule_params must have at most 8589934592 values, got 1048576 x 63511",
    ),
    (
        lambda: ReservoirConfig(
            2**7, 2**7, rule="test_media", members=2**20, probe=Probe(channels=(0,), pool=1)
        ),
        "members x medium must have at most 8589934592 values, got 1048576 x 2 x 128 x 128",
    ),
    (
        lambda: ReservoirConfig(rule="energy", rule_params={"reach": 1025}),
        "reach must be at most 1024",
    ),
    (lambda: ReservoirConfig(rule_params={"feed": [0.1] * 9}), "feed must have a shape of"),
    (lambda: ReservoirConfig(rule_params={"feed": range(10**8)}), "feed must have at most 1048576"),
    (lambda: ReservoirConfig(rule_params={"feed": 10**400}), "feed must be finite"),
    (lambda: Probe(snapshots=range(10**8)), "snapshots must have at most 65536 items"),
    (lambda: Probe(snapshots=itertools.count()), "snapshots must have at most 65536 items"),
    (lambda: Probe(channels=itertools.repeat(0)), "channels must have at most 1024 items"),
    (lambda: Probe(pool=10**9), "pool must be at most 4096"),
    (lambda: encoding("random", k=10**9), "encoder_params k must be at most 256"),
    (lambda: encoding("shifts", reach=10**12), "encoder_params reach must be at most 65536"),
    (lambda: encoding("whiten", samples=10**12), "encoder_params samples must be at most 4194304"),
    (lambda: encoding("random", scale=10**400), "encoder_params scale must be finite"),
]


def encoding(name, **options):
    return ReservoirConfig(input_encoding=name, encoder_params=options)


@pytest.mark.parametrize(("make", "message"), TOO_LARGE, ids=[message for _, message in TOO_LARGE])
def test_absurd_sizes_are_refused_before_anything_is_made(make, message):
    tracemalloc.start()
    with pytest.raises(ValueError) as raised:
        make()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in str(raised.value) and len(str(raised.value)) < 400
    assert peak < 2**23


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        (10**4, {"input_encoding": "project", "members": 100}, "of 'project' must have at most"),
        (
            3 * 99**2,
            {"input_encoding": "random", "encoder_params": {"k": 256}},
            "k x k x depth must",
        ),
    ],
)
def test_absurd_encoders_are_refused_before_they_are_made(columns, fields, message):
    config = ReservoirConfig(256, 256, **fields)
    with pytest.raises(ValueError, match=message):
        Reservoir(config, backend="cpu").transform(np.zeros((1, columns), np.float32))


def test_a_window_too_large_to_whiten_is_refused():
    config = ReservoirConfig(64, 64, input_encoding="whiten", encoder_params={"k": 60})
    with pytest.raises(ValueError, match=r"learned window must have at most 8192 .*, got 10800"):
        Reservoir(config, backend="cpu").fit(np.zeros((1, 64, 64, 3), np.float32))


def test_large_configs_are_made():
    """As many as papers have: each is below its limit."""
    many = ReservoirConfig(8, 8, members=65535, probe=Probe(channels=(0,), pool=2))
    assert Reservoir(many, backend="cpu").feature_dim == 4 * 65535
    large = ReservoirConfig(4096, 4096, steps=10_000)
    assert Reservoir(large, backend="cpu").feature_dim == 4 * 4096**2
    wide = ReservoirConfig(30_000, 30_000, channels=2)
    assert Reservoir(wide, backend="cpu").feature_dim == 1_800_000_000
    assert ReservoirConfig(rule="coupled", rule_params={"k": 63}).rule_params["k"] == 63
    assert len(Probe(snapshots=range(65536)).snapshots) == 65536


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[" * 9000, ValueError, "text must be a config as JSON: maximum recursion depth"),
        ('{"a":' * 9000, ValueError, "text must be a config as JSON: maximum recursion depth"),
        ('{"seed": ' + "9" * 5000 + "}", ValueError, "text must be a config as JSON: Exceeds"),
        ("", ValueError, "text must be a config as JSON: Expecting value"),
        (b"\xff", ValueError, "text must be a config as JSON: 'utf-8' codec"),
        ("[]", TypeError, "config must be a mapping, got list"),
        (None, TypeError, "text must be a config as JSON, got None"),
        ('{"width": 1e400}', TypeError, "width must be an integer, got inf"),
        ('{"probe": {"snapshots": "012"}}', TypeError, "snapshots must be a sequence"),
    ],
)
def test_what_is_no_config_in_json_is_refused(text, error, message):
    with pytest.raises(error) as raised:
        ReservoirConfig.from_json(text)
    assert str(raised.value).startswith(message)


def test_unknown_config_keys_are_refused():
    with pytest.raises(TypeError, match="wdith"):
        ReservoirConfig(wdith=3)
    with pytest.raises(ValueError, match=r"unknown \['wdith'\]"):
        ReservoirConfig.from_dict({"wdith": 3})
    with pytest.raises(ValueError, match=r"unknown \['pol'\]"):
        ReservoirConfig.from_dict({"probe": {"pol": 3}})
    with pytest.raises(TypeError, match="probe must be a Probe, got dict"):
        ReservoirConfig().with_params(probe={"pool": 3}, probe__pool=2)


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
    plan = compile_states(config)
    first = [plan.params[0, 0], plan.media[0, 0, 0, 0], config.generator("noise", 0).uniform()]
    assert len({round(float(value), 6) for value in first}) == 3
