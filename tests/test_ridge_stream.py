"""The ridge readout on streams: against scikit-learn on the whole, and what is bad in a chunk."""

import copy
import math
import warnings

import fake_cupy
import numpy as np
import pytest
from fake_cupy import installed
from sklearn.linear_model import Ridge, RidgeClassifier, RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pixelflow import RidgeReadout
from pixelflow.readouts import arrays, selection, solvers, stream, sums, symmetric

RNG = np.random.default_rng(3)
N, D = 300, 12
X = RNG.normal(size=(N, D)) * RNG.uniform(0.1, 10, D) + RNG.normal(size=D) * 20
VALUES = X @ RNG.normal(size=(D, 2)) + RNG.normal(size=(N, 2))
LABELS = np.digitize(VALUES[:, 0], np.quantile(VALUES[:, 0], [0.2, 0.6]))
WEIGHTS = RNG.uniform(0.2, 3, N)
GPUS = {"desktop": (64, 0.45), "computing": (2, 0.45), "short of memory": (2, 0.0)}


@pytest.fixture
def small_steps(monkeypatch):
    """What is for large systems, on small ones."""
    for module, name, value in (
        (symmetric, "TILE", 5),
        (symmetric.HostBlocks, "size", 5),
        (symmetric.HostBlocks, "solve_rows", 2),
        (symmetric.DeviceBlocks, "size", 5),
        (symmetric.DeviceBlocks, "multiply_columns", 7),
        (solvers, "EIGEN", 0),
        (selection, "ONE_PASS", 0),
        (stream, "EIGEN", 0),
        (sums, "ROWS", 64),
        (arrays, "PRODUCTS", 0),
        (stream, "SLICE", 50),
    ):
        monkeypatch.setattr(module, name, value)


def chunks(y, size, weights=None, X=X, roles=None):
    """A callable for fit_chunks."""

    def fresh():
        for a in range(0, len(X), size):
            part = slice(a, a + size)
            chunk = (X[part], y[part], None if weights is None else weights[part])
            yield chunk if roles is None else (*chunk, roles[part])

    return fresh


def streamed(readout, y, size, weights=None):
    for part, labels, weight in chunks(y, size, weights)():
        readout.partial_fit(part, labels, classes=np.unique(LABELS) if y.ndim == 1 else None,
                            sample_weight=weight)  # fmt: skip
    return readout


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [1, 7, 64, N])
def test_any_chunks_give_scikit_learns_fit(size, dtype):
    """Also a large mean, in both precisions, and a small penalty."""
    shifted = (X + 1000).astype(dtype)
    expected = Ridge(alpha=1e-3).fit(shifted.astype(float), VALUES, sample_weight=WEIGHTS)
    for readout in (
        RidgeReadout(alpha=1e-3).fit_chunks(chunks(VALUES, size, WEIGHTS, shifted)),
        RidgeReadout(alpha=1e-3).fit(shifted, VALUES, WEIGHTS),
    ):
        assert np.allclose(readout.coef_, expected.coef_, atol=1e-5)
        assert np.allclose(readout.predict(shifted), expected.predict(shifted), atol=1e-5)
    labels = streamed(RidgeReadout(alpha=0.5), LABELS, size, WEIGHTS)
    whole = RidgeClassifier(alpha=0.5).fit(X, LABELS, sample_weight=WEIGHTS)
    assert np.allclose(labels.decision_function(X), whole.decision_function(X), atol=1e-5)


@pytest.mark.parametrize(("n", "size"), [(1500, 1100), (700, 1300)])
@pytest.mark.parametrize("alpha", [1e-3, 10.0])
def test_float32_products_are_precise_enough(n, size, alpha):
    """More features than are multiplied in float64; of fewer samples the primal equations too."""
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(n, size)) + 30).astype(np.float32)
    values = features[:, :50].sum(axis=1) + rng.normal(size=n)
    features[:, -1] = 7.0
    expected = Ridge(alpha=alpha).fit(features.astype(float), values)
    predicted = expected.predict(features)
    in_parts = RidgeReadout(alpha=alpha).partial_fit(features[:444], values[:444])
    in_parts.partial_fit(features[444:], values[444:])
    for readout in (RidgeReadout(alpha=alpha).fit(features, values), in_parts):
        error = np.abs(readout.predict(features) - predicted).max()
        assert error < 1e-5 * np.abs(predicted).max() and readout.coef_[0, -1] == 0


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("selection", ["holdout", "loo"])
@pytest.mark.parametrize("y", [LABELS, VALUES], ids=["labels", "values"])
def test_chunks_do_not_matter(standardize, selection, y, small_steps):
    """Not even to which samples are held out, and so to the choice."""
    options = {"alpha": [1e-3, 1.0, 100.0, 1e4], "selection": selection, "standardize": standardize}
    whole = RidgeReadout(**options).fit(X, y, WEIGHTS)
    for size in (7, 128):
        others = [RidgeReadout(**options).fit_chunks(chunks(y, size, WEIGHTS))]
        if selection == "holdout":
            others.append(streamed(RidgeReadout(**options), y, size, WEIGHTS))
        for other in others:
            assert other.alpha_ == whole.alpha_
            assert np.isclose(other.best_score_, whole.best_score_)
            assert np.allclose(other.coef_, whole.coef_, atol=1e-6 * np.abs(whole.coef_).max())


@pytest.mark.parametrize("shape", [(N, D), (9, D)])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_leave_one_out_is_scikit_learns(shape, standardize, large, request):
    if large:
        request.getfixturevalue("small_steps")
    alphas = [0.1, 10.0, 1e3]
    rows = slice(0, shape[0])
    for y, model in ((VALUES, RidgeCV), (LABELS, RidgeClassifierCV)):
        for weights in (None, WEIGHTS[rows]):
            expected = model(alphas[::-1])
            features = StandardScaler().fit(X[rows], sample_weight=weights).transform(X[rows])
            expected.fit(features if standardize else X[rows], y[rows], sample_weight=weights)
            readout = RidgeReadout(alphas, selection="loo", standardize=standardize)
            readout.fit(X[rows], y[rows], weights)
            assert readout.alpha_ == expected.alpha_
            assert np.isclose(readout.best_score_, np.mean(expected.best_score_), rtol=1e-6)


def test_one_sample_of_six_is_held_out_whatever_the_chunks():
    held, priorities = selection.drawn(0, 60_000)
    assert held.sum() == 10_000 and held[1] and not held[:6].all()
    assert np.array_equal(held.reshape(-1, 6).sum(axis=1), np.ones(10_000))
    assert np.abs(held.reshape(-1, 6).sum(axis=0) / 10_000 - 1 / 6).max() < 0.02
    for start in (5, 12_345):
        assert np.array_equal(selection.drawn(start, 777)[0], held[start : start + 777])
        assert np.array_equal(selection.drawn(start, 777)[1], priorities[start : start + 777])


def test_samples_held_out_are_bounded_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(selection, "MOST", 20)
    readout = RidgeReadout([0.1, 1.0], task="regression")
    for part, y, weight in chunks(VALUES, 37, WEIGHTS)():
        readout.partial_fit(part, y, sample_weight=weight)
        assert len(readout._partial.held) <= 20
    held, priorities = selection.drawn(0, N)
    kept = np.flatnonzero(held)[np.argsort(priorities[held])[:20]]
    found = readout._partial.held.rows().X
    assert np.array_equal(found[np.lexsort(found.T)], X[kept][np.lexsort(X[kept].T)])
    expected = Ridge(alpha=readout.alpha_).fit(X, VALUES, sample_weight=WEIGHTS)
    assert np.allclose(readout.coef_, expected.coef_)


def test_roles_name_what_is_held_out():
    """Role 2 is added after the choice, and everything is fitted on."""
    roles = np.random.default_rng(0).permutation(np.repeat([0, 1], N // 2))
    later = np.concatenate([roles, np.full(N, 2)])
    twice, y = np.concatenate([X, X + 0.1]), np.concatenate([VALUES, VALUES])
    alphas = [1e-3, 1.0, 1e3]
    scores = []
    for alpha in alphas:
        model = Ridge(alpha=alpha).fit(X[roles == 0], VALUES[roles == 0])
        scores.append(-np.mean((model.predict(X[roles == 1]) - VALUES[roles == 1]) ** 2))
    for size in (41, 2 * N):
        readout = RidgeReadout(alphas).fit_chunks(chunks(y, size, None, twice, later))
        assert readout.best_score_ == pytest.approx(max(scores))
        assert readout.alpha_ == alphas[int(np.argmax(scores))]
        expected = Ridge(alpha=readout.alpha_).fit(twice, y)
        assert np.allclose(readout.coef_, expected.coef_)
    early = np.concatenate([roles[:60], np.full(40, 2), roles])
    with pytest.raises(ValueError, match=r"chunk 2 .*must come before"):
        RidgeReadout(alphas).fit_chunks(chunks(y, 100, None, twice, early))
    for bad in (np.full(N, 3), np.full(N, 0.5), np.zeros((N, 1), int)):
        with pytest.raises(ValueError, match=r"chunk 1 .*roles must be"):
            RidgeReadout(alphas).fit_chunks(lambda bad=bad: [(X, VALUES, None, bad)])


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}])
@pytest.mark.parametrize("standardize", [False, True])
def test_class_weights_are_scikit_learns(class_weight, standardize):
    model = RidgeClassifier(alpha=2.0, class_weight=class_weight)
    if standardize:
        model = make_pipeline(StandardScaler(), model)
    names = ("standardscaler", "ridgeclassifier") if standardize else ("",)
    options = {f"{n}__sample_weight".removeprefix("__"): WEIGHTS for n in names}
    expected = model.fit(X, LABELS, **options).decision_function(X)
    settings = {"class_weight": class_weight, "standardize": standardize}
    readouts = [RidgeReadout(2.0, **settings).fit(X, LABELS, WEIGHTS)]
    readouts.append(RidgeReadout(2.0, **settings).fit_chunks(chunks(LABELS, 70, WEIGHTS)))
    readouts.append(RidgeReadout(2.0, **settings).fit_chunks(chunks(LABELS, 70, WEIGHTS), y=LABELS))
    if class_weight != "balanced":
        readouts.append(streamed(RidgeReadout(2.0, **settings), LABELS, 70, WEIGHTS))
    for readout in readouts:
        assert np.allclose(readout.decision_function(X), expected)


def test_a_label_may_come_up_late_in_fit_chunks():
    order = np.argsort(LABELS, kind="stable")[::-1]
    text = np.array(["a", "bb", "ccc"])[LABELS]
    for y in (LABELS, text):
        readout = RidgeReadout().fit_chunks(chunks(y[order], 50, X=X[order]))
        expected = RidgeClassifier().fit(X, y)
        assert np.array_equal(readout.classes_, expected.classes_)
        assert np.allclose(readout.coef_, expected.coef_)
        several = RidgeReadout([0.1, 10]).fit_chunks(chunks(y[order], 50, X=X[order]))
        assert np.array_equal(several.classes_, expected.classes_) and several.score(X, y) > 0.8
    partly = RidgeReadout([0.1, 10])
    with pytest.raises(ValueError, match=r"chunk 3 .*\[1\].*name all classes"):
        for part, y, _ in chunks(LABELS[order], 60, X=X[order])():
            partly.partial_fit(part, y)


def test_label_indicators_are_fitted_one_by_one():
    indicators = (VALUES > VALUES.mean(axis=0)).astype(int)
    expected = RidgeClassifier().fit(X, indicators)
    for readout in (RidgeReadout().fit(X, indicators), streamed(RidgeReadout(), indicators, 77)):
        assert np.array_equal(readout.predict(X), expected.predict(X))
        assert readout.score(X, indicators) == expected.score(X, indicators)
    with pytest.raises(ValueError, match="indicators"):
        RidgeReadout().fit(X, indicators + 4)


BAD = {
    "NaN": lambda X, y: (np.where(X == X[3, 2], np.nan, X), y),
    "infinity": lambda X, y: (np.where(X == X[3, 2], np.inf, X), y),
    "inconsistent": lambda X, y: (X, y[:-1]),
    "12 features": lambda X, y: (X[:, :5], y),
    "0 sample": lambda X, y: (X[:0], y[:0]),
    r"labels \[9\]": lambda X, y: (X, np.full(len(y), 9)),
    "Negative": lambda X, y: (X, y, -np.ones(len(y))),
    "inconsistent|sample_weight": lambda X, y: (X, y, np.ones(3)),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("alpha", [1.0, [0.1, 1.0]])
def test_a_bad_chunk_is_named_and_the_fit_goes_on_as_if_it_had_not_been(what, alpha):
    clean = streamed(RidgeReadout(alpha), LABELS, 100)
    readout = RidgeReadout(alpha)
    for number, (part, y, _) in enumerate(chunks(LABELS, 100)(), 1):
        if number == 3:
            with pytest.raises(ValueError, match=f"chunk 3 .from sample 200.*({what})"):
                readout.partial_fit(*BAD[what](part, y)[:2], None, *BAD[what](part, y)[2:])
        readout.partial_fit(part, y, classes=[0, 1, 2])
    assert np.array_equal(readout.coef_, clean.coef_) and readout.alpha_ == clean.alpha_


def test_a_bad_chunk_leaves_an_earlier_fit_alone():
    readout = RidgeReadout().fit(X, LABELS)
    before = readout.predict(X)
    bad = X.copy()
    bad[150, 2] = np.nan
    with pytest.raises(ValueError, match=r"chunk 2 .*NaN"):
        readout.fit_chunks(chunks(LABELS, 100, X=bad))
    with pytest.raises(ValueError, match=r"chunk 1 .*NaN"):
        readout.partial_fit(bad, LABELS)
    with pytest.raises(ValueError, match="no chunks"):
        readout.fit_chunks(lambda: iter(()))
    assert np.array_equal(readout.predict(X), before)


def test_what_a_stream_cannot_do_is_refused():
    with pytest.raises(ValueError, match="loo"):
        RidgeReadout([1, 2], selection="loo").partial_fit(X, LABELS)
    RidgeReadout(1.0, selection="loo").partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="balanced"):
        RidgeReadout(class_weight="balanced").partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="classes is for classification"):
        RidgeReadout().partial_fit(X, VALUES, classes=[0, 1])
    with pytest.raises(ValueError, match="class_weight"):
        RidgeReadout(class_weight="equal")
    for value in (-1.0, math.nan, math.inf, "a"):
        with pytest.raises(ValueError, match="class_weight of 0 must be a number from 0"):
            RidgeReadout(class_weight={0: value, 1: 1.0})
    with pytest.raises(ValueError, match="non-zero"):
        RidgeReadout().fit(X, LABELS, np.zeros(N))


def test_unseen_labels_count_as_wrong():
    readout = RidgeReadout().fit(X, LABELS)
    right = readout.predict(X) == LABELS
    y = np.where(np.arange(N) % 3 == 0, 77, LABELS)
    assert readout.score(X, y) == np.mean(right & (y == LABELS))
    assert readout.score(X, LABELS.astype(str)) == 0.0
    with pytest.raises(ValueError, match="inconsistent"):
        readout.score(X, LABELS[:-1])


def test_one_class_in_a_stream():
    readout = RidgeReadout([0.1, 1.0]).partial_fit(X, np.full(N, 4)).partial_fit(X, np.full(N, 4))
    assert (readout.predict(X) == 4).all() and readout.alpha_ == 1.0
    readout.partial_fit(X[:5], np.full(5, 4))
    of_two = RidgeReadout().partial_fit(X, np.full(N, 4), classes=[3, 4])
    assert (of_two.predict(X) == 4).all()


@pytest.mark.parametrize("wide", [False, True])
def test_singular_systems_get_the_weights_of_smallest_norm(wide, small_steps):
    features = X[:8] if wide else np.concatenate([X, X[:, :3], np.full((N, 1), 5.0)], axis=1)
    y = VALUES[: len(features)]
    found = RidgeReadout(0.0).fit(features, y).coef_
    centred = features - features.mean(axis=0)
    expected = np.linalg.lstsq(centred, y - y.mean(axis=0), rcond=None)[0].T
    assert np.allclose(found, expected, atol=1e-8)


def test_a_penalty_below_rounding_is_made_larger_with_a_warning(small_steps, monkeypatch):
    monkeypatch.setattr(solvers, "EIGEN_MOST", 0)
    features = np.concatenate([X, X], axis=1).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="lost in the rounding of 24 features"):
        readout = RidgeReadout(0.0).fit(features, VALUES)
    assert readout.alpha_ > 0
    exact = RidgeReadout(1e-9).fit(X, VALUES).predict(X)
    assert np.allclose(readout.predict(features), exact, atol=0.05)


def test_a_penalty_below_rounding_is_left_out_of_several(small_steps, monkeypatch):
    monkeypatch.setattr(solvers, "EIGEN_MOST", 0)
    features = np.concatenate([X, X], axis=1).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="lost in the rounding of 24 features: it is left out"):
        readout = RidgeReadout([0.0, 1e3]).fit(features, VALUES)
    assert readout.alpha_ == 1e3


def test_penalties_below_one_that_is_lost_are_not_tried(small_steps, monkeypatch):
    tried = []
    factorize = solvers.factorize
    monkeypatch.setattr(solvers, "EIGEN_MOST", 0)
    monkeypatch.setattr(solvers, "factorize", lambda matrix: tried.append(0) or factorize(matrix))
    features = np.concatenate([X, X], axis=1)
    with pytest.warns(RuntimeWarning, match="is left out") as told:
        readout = RidgeReadout([1e-30, 1e-40, 1e3, 1e-50]).fit(features, VALUES)
    assert readout.alpha_ == 1e3 and len(told) == 3
    assert len(tried) == 3  # the largest, the first that is lost, and the largest on all samples


def test_constant_features_have_no_weight_whatever_the_penalty(small_steps, monkeypatch):
    monkeypatch.setattr(solvers, "EIGEN_MOST", 0)
    features = np.full((N, 6), 3.0)
    with pytest.warns(RuntimeWarning, match="is used instead"):
        readout = RidgeReadout(0.0).fit(features, VALUES)
    assert not readout.coef_.any() and np.allclose(readout.intercept_, VALUES.mean(axis=0))


def test_a_penalty_beyond_float32_is_one(small_steps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        readout = RidgeReadout(1e39).fit(X.astype(np.float32), VALUES)
    assert np.allclose(readout.coef_, 0, atol=1e-30) and readout.alpha_ == 1e39


def test_float32_factors_decide_as_float64_ones_do(small_steps):
    features = np.tanh(X @ RNG.normal(size=(D, 60)) / 20).astype(np.float32)
    alphas = [1e-4, 1e-2, 1.0, 100.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = RidgeReadout(alphas).fit(features, LABELS)
    other = RidgeReadout(alphas).fit(features.astype(np.float64), LABELS)
    assert one.alpha_ == other.alpha_ and one.best_score_ == other.best_score_
    assert np.array_equal(one.predict(features), other.predict(features))


def test_a_readout_is_restored_from_its_fitted_attributes():
    for y in (LABELS, LABELS > 1, np.array(["x", "y", "z"])[LABELS], VALUES, VALUES[:, 0]):
        readout = RidgeReadout([0.1, 1.0], standardize=True).fit(X, y)
        fitted = {
            key: getattr(readout, key)
            for key in ("coef_", "intercept_", "alpha_", "best_score_", "classes_")
            if hasattr(readout, key)
        }
        again = RidgeReadout.restore(readout.get_params(), fitted)
        assert np.array_equal(again.predict(X), readout.predict(X))
        assert again.n_features_in_ == D and again.best_score_ == readout.best_score_
        assert hasattr(again, "decision_function") == (y is not VALUES and y.dtype != float)
        for key, bad in (
            ("coef_", np.ones(3)),
            ("intercept_", np.full(3, np.nan)),
            ("alpha_", None),
        ):
            with pytest.raises(ValueError, match=key):
                RidgeReadout.restore(readout.get_params(), {**fitted, key: bad})


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("y", [LABELS, VALUES], ids=["labels", "values"])
@pytest.mark.parametrize("gpu", GPUS)
def test_features_on_a_device_are_fitted_there(gpu, y, standardize, small_steps, monkeypatch):
    """By the same lines: the stand-in refuses what mixes device and host."""
    cupy = installed(monkeypatch)
    ratio, part = GPUS[gpu]
    attributes = {"SingleToDoublePrecisionPerfRatio": ratio}
    monkeypatch.setattr(fake_cupy.Device, "attributes", attributes)
    monkeypatch.setattr(arrays, "SUMS_PART", part)
    device = cupy.asarray(X.astype(np.float32))
    for way in ("holdout", "loo"):
        options = {"alpha": [0.1, 1.0, 100.0], "selection": way, "standardize": standardize}
        host = RidgeReadout(**options).fit(X.astype(np.float32), y, WEIGHTS)
        readouts = [RidgeReadout(**options).fit(device, y, WEIGHTS)]
        readouts.append(RidgeReadout(**options).fit_chunks(chunks(y, 90, WEIGHTS, device)))
        for readout in readouts:
            assert type(readout.coef_) is np.ndarray and readout.alpha_ == host.alpha_
            assert np.allclose(readout.coef_, host.coef_, atol=1e-5)
            assert np.allclose(readout.predict(device), host.predict(X), atol=1e-4)
    few = RidgeReadout([0.0, 1.0], selection="loo").fit(device[:9], y[:9])
    assert np.allclose(few.predict(device), RidgeReadout([0.0, 1.0], selection="loo")
                       .fit(X[:9].astype(np.float32), y[:9]).predict(X), atol=1e-3)  # fmt: skip
    readout = RidgeReadout([0.1, 1.0]).partial_fit(device[:200], y[:200])
    for bad, message in (
        (cupy.asarray(np.full((5, D), np.nan)), "NaN"),
        (device[:5, :3], "12 features"),
        (device[:4], "inconsistent"),
        (device[:0], "0 sample"),
    ):
        with pytest.raises(ValueError, match=f"chunk 2 .*{message}"):
            readout.partial_fit(bad, y[: 0 if "0" in message and len(bad) == 0 else 5])
    readout.partial_fit(X[200:], y[200:])  # from the host: it follows
    assert readout.score(device, y) > 0.5


def test_a_copy_of_a_half_fitted_readout_has_sums_of_its_own():
    X = RNG.normal(size=(90, 16))
    y = X.sum(axis=1)
    first = RidgeReadout().partial_fit(X[:45], y[:45])
    second = copy.copy(first).partial_fit(X[45:], y[45:])
    np.testing.assert_array_equal(first.coef_, RidgeReadout().partial_fit(X[:45], y[:45]).coef_)
    np.testing.assert_allclose(second.coef_, RidgeReadout().fit(X, y).coef_, rtol=1e-9)
