"""The reservoir as a user meets it: config, encoders, probes, scikit-learn, bad input."""

import copy
import json
import logging
import math
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from pixelflow import (
    LogisticReadout,
    Probe,
    Reservoir,
    ReservoirConfig,
    RidgeReadout,
    available_backends,
)
from pixelflow.backends import compose, registry
from pixelflow.backends import numba as numba_backend
from pixelflow.core import reservoir as reservoir_module
from pixelflow.core import rule
from pixelflow.core.plan import compile_plan
from pixelflow.tasks.synthetic import two_moons

SMALL = ReservoirConfig(width=5, height=4, channels=3, steps=2, rule="wave")
QUANTILE = Probe(rectify=True, threshold={"quantile": 0.5}, pool=2)
RAISES = {
    "check_do_not_raise_errors_in_init_or_set_params": "bad parameters are refused at the door, "
    "the constructor, which is the project's contract"
}


@parametrize_with_checks(
    [
        Reservoir(SMALL, backend="cpu"),
        Reservoir(ReservoirConfig(4, 4, 4, 2, probe=QUANTILE), backend="cpu"),
        RidgeReadout(),
        RidgeReadout(task="classification"),
        RidgeReadout(task="regression"),
        RidgeReadout(alpha=[0.1, 1.0], task="classification", standardize=True),
        LogisticReadout(),
    ],
    expected_failed_checks=lambda e: {} if isinstance(e, LogisticReadout) else RAISES,
)
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


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


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"config": {"width": 4}}, TypeError, "ReservoirConfig, got dict"),
        ({"backend": "gpu"}, ValueError, "unknown backend 'gpu'"),
        ({"exact": "yes"}, TypeError, "exact"),
        ({"device": 0}, ValueError, "device"),
    ],
)
def test_bad_reservoirs_are_refused_and_nothing_is_half_set(options, error, message):
    with pytest.raises(error, match=message):
        Reservoir(**{"config": SMALL, **options})
    reservoir = Reservoir(SMALL, backend="cpu")
    with pytest.raises(error, match=message):
        reservoir.set_params(config__steps=9, **options)
    assert reservoir.config == SMALL and reservoir.backend == "cpu"


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_inputs_that_float32_cannot_hold_are_refused(bad):
    X = np.zeros((3, 6))
    X[1, 2] = bad
    reservoir = Reservoir(SMALL, backend="cpu")
    for method in (reservoir.transform, reservoir.fit):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(X)
    states = np.zeros((1, 4, 5, 3))
    states[0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="states contains"):
        reservoir.evolve(states)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(4), "1D array"),
        (np.float32(3), "scalar"),
        (np.zeros((2, 3, 4, 2)), "(N, H, W, 3)"),
        (np.zeros((1, 2, 3, 3, 3)), "(N, H, W, 3)"),
        (np.zeros((2, 0)), "0 feature"),
        (np.zeros((2, 0, 3)), "at least one"),
        (np.array([["a", "b"]]), "string"),
        (np.zeros((2, 3), complex), "omplex"),
        (np.array([[object(), 1]]), "float"),
    ],
)
def test_inputs_of_a_wrong_rank_or_type_are_refused(X, message):
    with pytest.raises((ValueError, TypeError)) as raised:
        Reservoir(SMALL, backend="cpu").transform(X)
    assert message in str(raised.value)


def test_fit_needs_a_sample_and_transform_does_not():
    reservoir = Reservoir(SMALL, backend="cpu")
    with pytest.raises(ValueError, match="0 sample"):
        reservoir.fit(np.zeros((0, 6)))
    for backend in available_backends():
        assert Reservoir(SMALL, backend=backend).transform(np.zeros((0, 6))).shape == (0, 60)
        assert Reservoir(SMALL, backend=backend).evolve(np.zeros((0, 4, 5, 3))).shape == (
            0,
            4,
            5,
            3,
        )
    with pytest.raises(ValueError, match="6 features"):
        reservoir.fit(np.zeros((2, 6))).transform(np.zeros((2, 7)))


def test_textures_of_a_wrong_shape_are_refused():
    reservoir = Reservoir(SMALL, backend="cpu")
    for shape in ((4, 5, 3), (1, 5, 4, 3), (1, 2, 4, 5, 3)):
        with pytest.raises(ValueError, match=r"states must have the shape \(N, .*4, 5, 3\)"):
            reservoir.evolve(np.zeros(shape))
    with pytest.raises(ValueError, match="steps must be at least 0"):
        reservoir.evolve(np.zeros((1, 4, 5, 3)), steps=-1)
    with pytest.raises(ValueError, match="unknown"):
        reservoir.evolve(np.zeros((1, 4, 5, 3)), medium={"speed": 1.0})
    with pytest.raises(ValueError, match=r"needs the medium \['speed', 'source'\]"):
        Reservoir(ReservoirConfig(rule="test_media"), backend="cpu").transform(np.zeros((1, 4)))


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_out_is_filled_and_wrong_ones_are_refused(backend):
    reservoir, X = Reservoir(SMALL, backend=backend), np.random.default_rng(0).random((3, 20))
    out = np.full((3, 60), np.nan, np.float32)
    assert reservoir.transform(X, out=out) is out
    assert np.array_equal(out, reservoir.transform(X))
    for wrong in (
        np.zeros((3, 60)),
        np.zeros((2, 60), np.float32),
        np.zeros((60, 3), np.float32).T,
    ):
        with pytest.raises(ValueError, match="out must be float32"):
            reservoir.transform(X, out=wrong)
    with pytest.raises(TypeError, match="list"):
        reservoir.transform(X, out=[])


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_the_order_in_memory_does_not_matter(backend):
    reservoir = Reservoir(SMALL, backend=backend)
    states = np.random.default_rng(0).random((40, 4, 5, 3), dtype=np.float32)
    X = states.reshape(40, 60)
    for other in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        assert np.array_equal(reservoir.evolve(other(states)), reservoir.evolve(states))
        assert np.array_equal(reservoir.transform(other(X)), reservoir.transform(X))


def test_nested_parameters_clone_pickle_and_grid_search():
    X, y = two_moons(n=80, noise=0.1)
    pipeline = Pipeline([("reservoir", Reservoir(SMALL, backend="cpu")), ("ridge", RidgeReadout())])
    pipeline.set_params(reservoir__config__input_encoding="project")
    grid = {"reservoir__config__steps": [0, 3], "reservoir__config__probe__pool": [None, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    best = search.best_estimator_["reservoir"].config
    assert list(search.best_params_.values()) == [best.probe.pool, best.steps]
    copied = clone(search.best_estimator_["reservoir"])
    thawed = pickle.loads(pickle.dumps(copied))
    assert copied.config == thawed.config == best
    assert np.array_equal(copied.transform(X), thawed.transform(X))


def test_a_rule_of_a_script_runs_in_another_process(registry):
    reservoir = Reservoir(ReservoirConfig(4, 4, 2, 3, "test_swap"), backend="cpu")
    X = np.random.default_rng(0).random((2, 16))
    with joblib.Parallel(n_jobs=2) as parallel:
        got = parallel(joblib.delayed(reservoir.transform)(X) for _ in range(2))
    assert all(np.array_equal(features, reservoir.transform(X)) for features in got)
    frozen = pickle.dumps(reservoir)
    del registry["test_swap"]
    assert np.array_equal(pickle.loads(frozen).transform(X), got[0])


def test_a_worker_runs_the_rule_as_it_is_now(registry):
    """Workers live on between calls, with the rules of earlier calls in their registry."""
    zeros = np.zeros((1, 3, 3, 1), np.float32)
    with joblib.Parallel(n_jobs=2) as parallel:
        for rate in (1, 2):
            rule("test_now", channels=("a",))(lambda at, p, rate=rate: {"a": at(0, 0, "a") + rate})
            reservoir = Reservoir(ReservoirConfig(3, 3, 1, 1, "test_now"), backend="cpu")
            got = parallel(joblib.delayed(reservoir.evolve)(zeros) for _ in range(4))
            assert np.unique(got) == [rate]


def test_a_config_that_a_new_rule_does_not_fit_is_refused(registry):
    """The rule was defined anew, with more channels or other parameters."""
    rule("test_grow", channels=("a",), params={"k": 1.0})(lambda at, p: {"a": at(0, 0, "a") * p.k})
    small = Reservoir(ReservoirConfig(3, 3, 1, 1, "test_grow"), backend="numba")
    named = Reservoir(ReservoirConfig(3, 3, 2, 1, "test_grow", {"k": 2.0}), backend="numba")
    rule("test_grow", channels=("a", "b"))(lambda at, p: {"b": at(0, 0, "a") + 1})
    with pytest.raises(ValueError, match="needs 2 channels"):
        small.transform(np.ones((1, 9)))
    with pytest.raises(ValueError, match=r"unknown \['k'\]"):
        named.transform(np.ones((1, 9)))


def test_threads_share_a_backend(tmp_path, monkeypatch):
    """The first use too, when a rule is compiled, and without a folder to keep it in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    (tmp_path / "a file").touch()
    numba_backend._imported.cache_clear()
    X = np.random.default_rng(0).random((40, 20))
    for backend in available_backends():
        reservoir = Reservoir(SMALL, backend=backend)
        with joblib.Parallel(n_jobs=4, prefer="threads") as parallel:
            got = parallel(joblib.delayed(reservoir.transform)(X) for _ in range(8))
        assert all(np.array_equal(features, got[0]) for features in got)


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_memory_is_bounded_whatever_the_number_of_samples(backend, monkeypatch):
    monkeypatch.setattr(compose, "CHUNK_BYTES", 2**20)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    config = ReservoirConfig(32, 32, steps=1, rule="wave", probe=Probe(channels=(0,), pool=1))
    reservoir = Reservoir(config, backend=backend)
    reservoir.transform(np.zeros((2, 4), np.float32))

    def peak(method, n):
        X = np.zeros((n, 4), np.float32)
        tracemalloc.start()
        method(X)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(reservoir.transform, 4000) < 1.1 * peak(reservoir.transform, 1000)
    monkeypatch.setattr(reservoir_module, "MOST_QUANTILE_VALUES", 2**18)
    reservoir.set_params(config__probe__rectify=True, config__probe__threshold={"quantile": 0.5})
    assert peak(reservoir.fit, 4000) < 1.1 * peak(reservoir.fit, 1000)


def test_auto_takes_numba_and_says_so_once(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "pixelflow")
    registry._fastest.cache_clear()
    for _ in range(2):
        Reservoir(SMALL).transform(np.zeros((1, 4)))
    assert [r.message for r in caplog.records if "auto" in r.message] == [
        f"backend auto: numba ({available_backends()['numba']})"
    ]
    monkeypatch.setitem(sys.modules, "numba", None)
    registry._probe.cache_clear(), registry._fastest.cache_clear()
    try:
        assert registry.get_backend("auto").describe().startswith("NumPy")
        assert "pip install numba" in caplog.text
        with pytest.raises(ImportError, match="pip install numba"):
            Reservoir(SMALL, backend="numba")
    finally:
        registry._probe.cache_clear(), registry._fastest.cache_clear()


def test_numba_compiles_once_for_all_processes(tmp_path):
    script = """
from pixelflow import Reservoir, ReservoirConfig
from pixelflow.backends import numba
from pixelflow.core.plan import compile_plan
config = ReservoirConfig(4, 4, 2, 1, "wave")
Reservoir(config, backend="numba").transform([[1.0, 2.0]])
module = numba._compiled(numba.source(compile_plan(config, None).program, 2, True))
print(sum(module.run.stats.cache_misses.values()), module.__file__)
"""
    import os

    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [misses for misses, _ in outputs] == ["1", "0"]
    assert outputs[0][1].startswith(str(tmp_path))


# -- encoders and probes, against their definitions ---------------------------------------------


def encoded(encoding, X, height=4, width=5, **fields):
    """The textures as encoded: no step, the default probe."""
    config = ReservoirConfig(width, height, input_encoding=encoding, steps=0, **fields)
    got = Reservoir(config, backend="cpu").transform(X)
    return got.reshape(len(X), height, width, config.channels)


def test_tile_lays_columns_in_a_near_square_resized_to_nearest():
    x = np.arange(1.0, 8.0)  # 7 columns: 2 x 4, the last cell empty
    square = np.array([[1, 2, 3, 4], [5, 6, 7, 0]])
    expected = square[np.arange(4) * 2 // 4][:, np.arange(5) * 4 // 5]
    got = encoded("tile", [x])[0]
    assert np.array_equal(got[..., 0], expected) and not got[..., 1:].any()


def test_phase_is_sine_and_cosine_of_the_mean():
    X = np.random.default_rng(0).uniform(-3, 3, (5, 9))
    got = encoded("phase", X)
    angle = 2 * np.pi * X.astype(np.float32).mean(axis=1, dtype=np.float64)
    assert np.allclose(got[..., 0], np.sin(angle)[:, None, None], atol=1e-6)
    assert np.allclose(got[..., 1], np.cos(angle)[:, None, None], atol=1e-6)
    with pytest.raises(ValueError, match="'phase' fills 2 channels"):
        encoded("phase", X, channels=1, rule="life_like")


def test_project_is_one_random_map_for_all_samples():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) * 0.1  # small enough that hardly anything is clipped
    got = encoded("project", X).reshape(400, -1)
    inside = ((got > 0) & (got < 1)).all(axis=0)
    assert inside.mean() > 0.5
    design = np.column_stack([X, np.ones(400)])
    solution, *_ = np.linalg.lstsq(design, got[:, inside], rcond=None)
    assert np.abs(design @ solution - got[:, inside]).max() < 1e-5
    weight, bias = 4 * solution[:3], 4 * solution[3] - 2
    assert abs(weight.std() * np.sqrt(3) - 1) < 0.15 and abs(weight.mean()) < 0.1
    assert np.abs(bias).max() < 1
    assert not np.array_equal(got, encoded("project", X, seed=1).reshape(400, -1))
    assert np.array_equal(got, encoded("project", X).reshape(400, -1))


def test_image_centres_small_images_and_resizes_large_ones():
    small = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3) / 10
    got = encoded("image", small, height=5, width=6)[0]
    assert np.array_equal(got[1:3, 1:4, 0], small[0]) and got.astype(bool).sum() == 6
    large = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    got = encoded("image", large)[0, ..., 0]
    nearest = large[0][np.arange(4) * 8 // 4][:, np.arange(5) * 8 // 5]
    assert np.array_equal(got, nearest * np.float32(1 / 255))
    rgb = np.random.default_rng(0).random((2, 4, 5, 3), dtype=np.float32)
    assert np.array_equal(encoded("image", rgb)[..., :3], rgb)
    square = rgb[:, :4, :4]
    assert np.array_equal(encoded("image", square.reshape(2, 48)), encoded("image", square))
    with pytest.raises(ValueError, match="5 columns"):
        encoded("image", np.zeros((1, 5)))
    with pytest.raises(ValueError, match="2 channels"):
        encoded("image", rgb, channels=2)


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_probes_read_what_they_say(backend):
    """Snapshots, channels, signs and cells, in this order, against plain loops."""
    X = np.random.default_rng(0).random((3, 35), dtype=np.float32)
    fields = {"width": 7, "height": 5, "rule": "wave", "input_encoding": "tile", "members": 2}
    probe = Probe((0, 2, 3), (1, 0), rectify=True, threshold=0.05, pool=3, pool_op="max")
    config = ReservoirConfig(**fields, steps=4, probe=probe, rule_params={"c": [0.3, 0.6]})
    got = Reservoir(config, backend=backend).transform(X)
    expected = []
    for c in (0.3, 0.6):
        for t in (0, 2, 3):
            one = ReservoirConfig(**{**fields, "members": 1}, steps=t, rule_params={"c": c})
            states = Reservoir(one, backend="cpu").transform(X).reshape(3, 5, 7, 4)
            for channel in (1, 0):
                for sign in (1, -1):
                    image = np.maximum(sign * states[..., channel] - np.float32(0.05), 0)
                    for i in range(3):
                        for j in range(3):
                            rows = slice(i * 5 // 3, math.ceil((i + 1) * 5 / 3))
                            cols = slice(j * 7 // 3, math.ceil((j + 1) * 7 / 3))
                            expected.append(image[:, rows, cols].max(axis=(1, 2)))
    assert got.shape == (3, Reservoir(config, backend=backend).feature_dim)
    assert np.array_equal(got, np.stack(expected, axis=1))


def test_a_fitted_threshold_is_the_quantile_of_what_is_read():
    X = np.random.default_rng(0).random((6, 20), dtype=np.float32)
    probe = Probe(channels=(1,), rectify=True, threshold={"quantile": 0.75})
    config = ReservoirConfig(5, 4, rule="wave", probe=probe)
    reservoir = Reservoir(config, backend="cpu")
    with pytest.raises(NotFittedError):
        reservoir.transform(X)
    reservoir.fit(X)
    plain = Reservoir(ReservoirConfig(5, 4, rule="wave", probe=Probe(channels=(1,))), backend="cpu")
    level = np.quantile(np.abs(plain.transform(X)), 0.75)
    assert reservoir.threshold_ == pytest.approx(level)
    assert (reservoir.transform(X) > 0).mean() == pytest.approx(0.25 / 2, abs=0.01)


def test_parameters_set_after_fit_count():
    X = np.random.default_rng(0).random((3, 20), dtype=np.float32)
    fields = {"width": 5, "height": 4, "rule": "wave"}
    reservoir = Reservoir(
        ReservoirConfig(**fields, probe=Probe(rectify=True, threshold=0.1)), backend="cpu"
    ).fit(X)
    reservoir.set_params(config__probe__threshold=0.4)
    fresh = Reservoir(ReservoirConfig(**fields, probe=Probe(rectify=True, threshold=0.4)))
    assert np.array_equal(reservoir.transform(X), fresh.transform(X))
    reservoir.set_params(config__probe__threshold={"quantile": 0.9})
    with pytest.raises(NotFittedError):
        reservoir.transform(X)


def test_a_failed_fit_changes_nothing_and_fit_remembers_the_images_shape():
    reservoir = Reservoir(ReservoirConfig(4, 4, input_encoding="image"), backend="cpu")
    with pytest.raises(ValueError, match="5 columns"):
        reservoir.fit(np.zeros((2, 5)))
    assert reservoir.transform(np.zeros((2, 16))).shape == (2, 64)
    X = np.random.default_rng(0).random((2, 2, 8))
    reservoir.fit(X)
    assert np.array_equal(reservoir.transform(X), reservoir.transform(X.reshape(2, 16)))
    with pytest.raises(ValueError, match=r"\(8, 2\), fit saw \(2, 8\)"):
        reservoir.transform(X.reshape(2, 8, 2))


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


def test_step_and_evolve_are_the_transform_by_hand():
    X = np.random.default_rng(0).random((2, 20), dtype=np.float32)
    start = encoded("tile", X, rule="wave")
    reservoir = Reservoir(ReservoirConfig(5, 4, rule="wave", steps=3), backend="cpu")
    by_hand = start[0]
    for _ in range(3):
        by_hand = reservoir.step(by_hand)
    assert np.array_equal(by_hand, reservoir.evolve(start)[0])
    assert np.array_equal(by_hand.ravel(), reservoir.transform(X)[0])
    assert np.array_equal(reservoir.evolve(start, steps=0), start)
