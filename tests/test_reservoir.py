"""The reservoir as a user meets it: scikit-learn's contract and bad input."""

import math
import pickle
import warnings

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
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
    available_backends,
)
from pixelflow.tasks.synthetic import two_moons

SMALL = ReservoirConfig(width=5, height=4, channels=3, steps=2, rule="wave")


TINY = ReservoirConfig(width=4, height=3, channels=2, steps=1, rule="wave")


QUANTILE = Probe(rectify=True, threshold={"quantile": 0.5}, pool=2)


RAISES = {
    "check_do_not_raise_errors_in_init_or_set_params": "bad parameters are refused at the door, "
    "the constructor, which is the project's contract"
}


HOLDS_OUT = {
    f"check_sample_weight_equivalence_on_{kind}_data": "a sample repeated is not the one held out "
    "with it, so that another alpha may be chosen"
    for kind in ("dense", "sparse")
}


def expected_failures(estimator):
    path = getattr(estimator, "readout", estimator) is None
    return RAISES | HOLDS_OUT if path else RAISES


@parametrize_with_checks(
    [
        Reservoir(SMALL, backend="cpu"),
        Reservoir(ReservoirConfig(4, 4, 4, 2, probe=QUANTILE), backend="cpu"),
        RidgeReadout(),
        RidgeReadout(task="classification"),
        RidgeReadout(task="regression"),
        RidgeReadout(alpha=[0.1, 1.0], task="classification", standardize=True),
        LogisticReadout(),
        ReservoirClassifier(TINY, RidgeReadout(), backend="cpu", batch_size=7),
        ReservoirClassifier([TINY, TINY], RidgeReadout(), backend="cpu"),
        ReservoirClassifier(TINY, backend="cpu"),
        ReservoirRegressor(TINY, RidgeReadout(standardize=True), backend="cpu"),
        ReservoirRegressor(TINY, backend="cpu"),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"config": {"width": 4}}, TypeError, "ReservoirConfig, got dict"),
        ({"backend": "gpu"}, ValueError, "unknown backend 'gpu'"),
        ({"exact": "yes"}, TypeError, "exact"),
        ({"backend": np.array(["cpu", "numba"])}, ValueError, "unknown backend array"),
        ({"backend": ["cpu"]}, ValueError, "unknown backend"),
        ({"backend": None}, ValueError, "unknown backend None"),
        ({"device": 0}, ValueError, "device"),
        ({"device": -1}, ValueError, "device must be at least 0, got -1"),
        ({"device": "0"}, TypeError, "device must be an integer, got '0'"),
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


def test_masked_inputs_are_refused():
    """scikit-learn drops the mask, and NumPy too."""
    reservoir = Reservoir(SMALL, backend="cpu")
    masked = np.ma.array(np.ones((2, 6)), mask=np.eye(2, 6))
    for method in (reservoir.transform, reservoir.fit):
        for given in (masked, list(masked)):
            with pytest.raises(ValueError, match="X must have no masked values"):
                method(given)
        with pytest.raises(TypeError, match="X must be numbers, got datetime64"):
            method(np.array([["2026-01-01", "NaT"]], "M8[s]").repeat(3, axis=1))
    states = np.ma.masked_less(np.arange(60.0).reshape(1, 4, 5, 3), 7)
    with pytest.raises(ValueError, match="states must have no masked values"):
        reservoir.evolve(states)
    plain = np.ma.array(np.ones((2, 6)))
    assert np.array_equal(reservoir.transform(plain), reservoir.transform(np.ones((2, 6))))


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_states_do_not_become_infinite_without_a_word(backend):
    """NumPy's own warnings stay within."""
    reservoir = Reservoir(SMALL.with_params(steps=3), backend=backend)
    states = np.full((2, 4, 5, 3), 1e38)
    said = r"^states became infinite or NaN within 3 steps of rule 'wave'"
    with pytest.warns(RuntimeWarning, match=said) as seen:
        assert not np.isfinite(reservoir.evolve(states)).all()
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for finite in (states * 1e-38, states[:0], states):
            assert np.isfinite(reservoir.evolve(finite, steps=0)).all()
        assert np.isfinite(reservoir.evolve(states * 1e-38)).all()
        with pytest.raises(RuntimeWarning, match="within 1 step "):
            Reservoir(ReservoirConfig(2, 1, rule="energy"), backend=backend).step(
                np.full((1, 2, 4), 1e38)
            )


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "batch_size must be at least 1, got 0"),
        (2.5, TypeError, "batch_size must be an integer, got 2.5"),
        (True, TypeError, "batch_size must be an integer, got True"),
    ],
)
def test_wrong_batch_sizes_are_refused_before_the_first_batch(size, error, message):
    with pytest.raises(error, match=message):
        Reservoir(SMALL, backend="cpu").iter_features(np.zeros((2, 6)), size)


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
    with pytest.raises(TypeError, match="medium must be a mapping, got list"):
        reservoir.evolve(np.zeros((1, 4, 5, 3)), medium=[1.0])
    with pytest.raises(ValueError, match=r"^state: "):
        reservoir.step([[1], [1, 2]])
    with pytest.raises(ValueError, match=r"needs the medium \['speed', 'source'\]"):
        Reservoir(ReservoirConfig(rule="test_media"), backend="cpu").transform(np.zeros((1, 4)))


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_out_is_filled_and_wrong_ones_are_refused(backend):
    reservoir, X = Reservoir(SMALL, backend=backend), np.random.default_rng(0).random((3, 20))
    out = np.full((3, 60), np.nan, np.float32)
    assert reservoir.transform(X, out=out) is out
    assert np.array_equal(out, reservoir.transform(X))
    square = np.tile(out, (20, 1))  # as many columns as features: a place for both
    expected = reservoir.transform(square)
    assert np.array_equal(reservoir.transform(square, out=square), expected)
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
