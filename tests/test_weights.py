"""Rules with sizes and drawn weights: what they accept, draw and carry to other processes."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from pixelflow import Reservoir, ReservoirConfig
from pixelflow.core import get_rule, rule
from pixelflow.core.plan import compile_states


def made(function, **options):
    return rule("test_made", channels=("a", "b"), params={"k": 1.0}, **options)(function)


WEIGHTED = {"sizes": {"n": 3}, "weights": {"w": (2, "n", "n", 2), "one": (4,)}}


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda at, p: {"a": at.convolve(p.w)}, ValueError, "got (2, 3, 3, 2)"),
        (lambda at, p: {"a": at.convolve(p.w[0][0])}, ValueError, "got (3, 2)"),
        (lambda at, p: {"a": at.convolve(p.w[2])}, ValueError, "2 parts, the rule asks"),
        (lambda at, p: {"a": at.convolve(p.w[10**400])}, ValueError, "2 parts, the rule asks"),
        (lambda at, p: {"a": at.convolve(p.w[0.5])}, TypeError, "index of weights must be an int"),
        (lambda at, p: {"a": at.convolve(p.w[0]) * p.one}, TypeError, "mul in a rule"),
        (lambda at, p: {"a": at.convolve(p.v[0])}, ValueError, "p.v"),
    ],
)
def test_weights_used_wrongly_are_refused_when_defined(function, error, message, registry):
    with pytest.raises(error) as raised:
        made(function, **WEIGHTED)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sizes": {"k": 0}}, ValueError, "size k must be at least 1, got 0"),
        ({"sizes": {"k": 2.5}}, TypeError, "size k must be an integer, got"),
        ({"sizes": {"k": True}}, TypeError, "size k must be an integer, got"),
        ({"sizes": {"k": "5"}}, TypeError, "size k must be an integer, got"),
        ({"sizes": {"_k": 3}}, ValueError, "distinct names"),
        ({"sizes": {"k": 3}, "params": {"k": 1.0}}, ValueError, "distinct names"),
        ({"sizes": {"k": 3}, "weights": {"k": (3,)}}, ValueError, "distinct names"),
        ({"weights": {"w": ()}}, ValueError, "weights w must have a shape"),
        ({"weights": {"w": (0, 2)}}, ValueError, "weights w must have a shape"),
        ({"weights": {"w": (4, "k")}}, ValueError, "weights w must have a shape"),
        ({"weights": {"w": (2.5,)}}, ValueError, "weights w must have a shape"),
        ({"weights": {"w": (True,)}}, ValueError, "weights w must have a shape"),
        ({"weights": {"w": 3}}, ValueError, "weights w must have a shape"),
        ({"sizes": {"k": 2**63}}, ValueError, "size k must be at most 1024, got"),
        ({"weights": {"w": (2**62,)}}, ValueError, "weights must have at most 262144 values"),
        ({"weights": {"w": (10**5000, 2)}}, ValueError, "weights must have at most 262144 values"),
        (
            {"weights": {"w": (512, 512), "v": (1,)}},
            ValueError,
            "at most 262144 values, got 262145",
        ),
        ({"weights": {"w": "k"}, "sizes": {"k": 3}}, ValueError, "weights w must have a shape"),
    ],
)
def test_bad_sizes_and_weights_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        rule("test_bad", channels=("a",), **options)(lambda at, p: {"a": at(0, 0, "a")})


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (4, ValueError, "k odd"),
        (0, ValueError, "at least 1"),
        (1001, ValueError, "weights must have at most 262144 values, got 16032020"),
        (1025, ValueError, "k must be at most 1024, got 1025"),
        (2**62 + 1, ValueError, "k must be at most 1024"),
        (10**400, ValueError, "k must be at most 1024"),
        (3.0, TypeError, "integer"),
        (True, TypeError, "integer"),
        ([3, 5], TypeError, "integer"),
        ({"uniform": [3, 5]}, TypeError, "integer"),
    ],
)
def test_a_size_that_does_not_suit_a_rule_is_refused(k, error, message):
    with pytest.raises(error, match=message):
        ReservoirConfig(rule="coupled", rule_params={"k": k}, members=2)
    with pytest.raises(error, match=message):
        ReservoirConfig.from_json(json.dumps({"rule": "coupled", "rule_params": {"k": k}}))


def test_a_size_shapes_the_rule_and_round_trips_through_json():
    config = ReservoirConfig(8, 8, rule="coupled", rule_params={"k": 3, "gain": 1.2})
    again = ReservoirConfig.from_json(config.to_json())
    assert again == config and again.rule_params["k"] == 3
    assert isinstance(again.rule_params["k"], int) and get_rule("coupled").sizes == {"k": 5}
    assert (
        ReservoirConfig(8, 8, rule="coupled", rule_params={"k": np.int64(3), "gain": 1.2}) == again
    )
    assert compile_states(config).program.radius == 1
    assert compile_states(ReservoirConfig(8, 8, rule="coupled")).program.radius == 2
    with pytest.raises(ValueError, match="unknown"):
        ReservoirConfig(8, 8, rule="coupled", rule_params={"coupling": 1.0})


def weights_of(**fields):
    """What each member of `coupled` has drawn: (members, 4 * k * k * 4 + 4), without parameters."""
    plan = compile_states(ReservoirConfig(4, 4, rule="coupled", **fields))
    return plan.params[:, len(get_rule("coupled").params) :]


def test_weights_are_normal_with_variance_one_over_fan_in():
    drawn = weights_of(members=200)
    coupling, offset = drawn[:, :-4] * np.sqrt(5 * 5 * 4), drawn[:, -4:]
    assert drawn.shape == (200, 404)
    for values in (coupling, offset):
        assert abs(values.mean()) < 4 / np.sqrt(values.size)
        assert abs(values.var() - 1) < 4 * np.sqrt(2 / values.size)
    assert abs((coupling**4).mean() - 3) < 4 * np.sqrt(96 / coupling.size)
    assert np.abs(np.corrcoef(coupling[:5]) - np.eye(5)).max() < 0.25


def test_a_members_weights_depend_on_seed_and_member_alone():
    few, many = weights_of(members=2), weights_of(members=5)
    assert np.array_equal(few, many[:2]) and len(np.unique(many[:, 0])) == 5
    assert np.array_equal(few, weights_of(members=2, channels=6, steps=1, boundary="zero"))
    assert not (few == weights_of(members=2, seed=1)).any()
    small, large = (weights_of(rule_params={"k": k})[0] for k in (3, 5))
    assert np.array_equal(small[-4:], large[-4:])  # each array has a stream of its own


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_coupled_is_a_linear_map_where_nothing_saturates(backend):
    """A single impulse spreads the weights over its neighbours, mirrored, as a convolution does."""
    params = {"bias": 0.0, "gain": 0.5, "k": 3, "leak": 0.25}
    config = ReservoirConfig(7, 7, rule="coupled", rule_params=params, steps=1)
    impulse = np.zeros((1, 7, 7, 4), np.float32)
    impulse[0, 3, 3, 2] = 0.5
    after = Reservoir(config, backend=backend).evolve(impulse)[0]
    weights = compile_states(config).params[0, 3:-4].reshape(4, 3, 3, 4)
    expected = np.zeros((7, 7, 4))
    expected[2:5, 2:5] = 0.25 * 0.5 * 0.5 * np.moveaxis(weights[:, ::-1, ::-1, 2], 0, -1)
    expected[3, 3, 2] += 0.75 * 0.5
    assert np.abs(after - expected).max() < 1e-7


def test_a_users_rule_with_sizes_and_weights_runs_where_its_script_did_not(registry, tmp_path):
    """Unpickled, it has the graphs that were traced, and says so of any other size."""

    def spread(at, p):
        return {"a": p.gain * at.convolve(p.w) + p.one[1] * at(0, 0, "b")}

    options = {"sizes": {"n": 5}, "weights": {"w": ("n", "n", 2), "one": (2,)}}
    rule("test_spread", ("a", "b"), {"gain": 0.5}, **options)(spread)
    reservoir = Reservoir(
        ReservoirConfig(5, 4, rule="test_spread", rule_params={"n": 3}, members=2), backend="cpu"
    )
    X = np.random.default_rng(0).random((3, 20), dtype=np.float32)
    expected = reservoir.transform(X)
    (tmp_path / "reservoir.pickle").write_bytes(pickle.dumps(reservoir))
    np.save(tmp_path / "X.npy", X)
    script = f"""
import pickle, pathlib, numpy as np
folder = pathlib.Path({str(tmp_path)!r})
reservoir = pickle.loads((folder / "reservoir.pickle").read_bytes())
np.save(folder / "features.npy", reservoir.transform(np.load(folder / "X.npy")))
reservoir.set_params(config__rule_params={{}}).transform(np.load(folder / "X.npy"))
try:
    reservoir.set_params(config__rule_params={{"n": 7}})
except TypeError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)
    assert "came from another process" in said and "run the script that defines it" in said
