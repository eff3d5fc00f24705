"""Ridge on features of unlike scales, on numbers too large or too small, and in little memory."""

import math
import tracemalloc
import warnings
from decimal import Decimal, localcontext

import numpy as np
import pytest
from fake_cupy import installed
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pixelflow import ReservoirClassifier, ReservoirConfig, RidgeReadout
from pixelflow.models import stream as model_stream
from pixelflow.readouts import stream

RNG = np.random.default_rng(0)
N, D = 400, 6
Z = RNG.normal(size=(N, D))
Y = Z @ RNG.normal(size=D) + 0.1 * RNG.normal(size=N)
LARGE = 1e8 * RNG.normal(size=(N, 1))
UNLIKE = np.concatenate([LARGE, Z, 1e-6 * LARGE[::-1]], axis=1)
TIMES = 1.7e12 + np.cumsum(RNG.uniform(0, 1e6, size=(N, 1)), axis=0)  # in milliseconds
WEIGHTS = RNG.uniform(0.2, 3, N)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def apart(found, expected, y=Y):
    """The largest difference of predictions, relative to the spread of y."""
    return np.abs(found - expected).max() / np.std(y)


def exact(X, y, alpha, new):
    """Ridge's predictions for new samples, in 80 digits: by the dual equations of fewer samples."""
    with localcontext() as context:
        context.prec = 80
        X, y, new = (np.vectorize(Decimal, otypes=[object])(a.astype(float)) for a in (X, y, new))
        mean, offset = X.sum(axis=0) / len(X), y.sum() / len(y)
        X, y, dual = X - mean, y - offset, len(X) < X.shape[1]
        matrix = X @ X.T if dual else X.T @ X
        matrix[np.diag_indices(len(matrix))] += Decimal(alpha)
        solution = eliminated(matrix, y if dual else X.T @ y)
        return ((new - mean) @ (X.T @ solution if dual else solution) + offset).astype(float)


def eliminated(matrix, right):
    """The solution of a definite system, by Gaussian elimination."""
    n, solution = len(right), right.copy()
    for i in range(n):
        factors = matrix[i + 1 :, i] / matrix[i, i]
        matrix[i + 1 :] = matrix[i + 1 :] - factors[:, None] * matrix[i]
        solution[i + 1 :] = solution[i + 1 :] - factors * solution[i]
    for i in reversed(range(n)):
        solution[i] = (solution[i] - matrix[i, i + 1 :] @ solution[i + 1 :]) / matrix[i, i]
    return solution


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(50, 10), (14, 10), (10, 24)])
@pytest.mark.parametrize("spread", [1, 4, 8])
def test_any_scales_and_any_penalty_are_ridges_own_solution(dtype, shape, spread):
    """Of fewer samples than features the sums of a stream don't tell all: only what it has seen."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scales = 10 ** rng.uniform(-spread, spread, shape[1])
        features, new = (
            (rng.normal(size=(n, shape[1])) * scales).astype(dtype) for n in (shape[0], 30)
        )
        y = features @ (rng.normal(size=shape[1]) / scales) + 0.3 * rng.normal(size=shape[0])
        for relative in (1e-6, 1.0, 1e6):
            alpha = relative * shape[0] * float(np.median(scales)) ** 2
            expected = exact(features, y, alpha, np.concatenate([features, new]))
            fitted = RidgeReadout(alpha).fit(features, y)
            streamed = RidgeReadout(alpha).partial_fit(features[:9], y[:9])
            streamed.partial_fit(features[9:], y[9:])
            few = shape[0] < shape[1]
            for readout, far in ((fitted, new), (streamed, new[:0] if few else new)):
                found = readout.predict(np.concatenate([features, far]))
                assert apart(found, expected[: len(found)], y) < 1e-8


@pytest.mark.parametrize("X", [UNLIKE, np.c_[Z, TIMES]], ids=["unlike", "times"])
@pytest.mark.parametrize("alpha", [0.0, 1e-6, 1.0, 1e4])
def test_a_large_feature_takes_nothing_from_the_others(X, alpha):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls these ill-conditioned, for it doesn't scale
        expected = Ridge(alpha, solver="cholesky").fit(X, Y, WEIGHTS).predict(X)
    halves = RidgeReadout(alpha).partial_fit(X[:200], Y[:200], sample_weight=WEIGHTS[:200])
    halves.partial_fit(X[200:], Y[200:], sample_weight=WEIGHTS[200:])
    for readout in (RidgeReadout(alpha).fit(X, Y, WEIGHTS), halves):
        assert apart(readout.predict(X), expected) < 1e-7
    standard = RidgeReadout(alpha, standardize=True).fit(X, Y)
    expected = make_pipeline(StandardScaler(), Ridge(alpha, solver="cholesky")).fit(X, Y).predict(X)
    assert apart(standard.predict(X), expected) < 1e-6  # the scaler itself rounds large means


@pytest.mark.parametrize("shape", [(60, 8), (14, 20), (14, 1100)])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_leave_one_out_is_what_refits_give(shape, weights):
    """Also by the dual equations, and with a penalty for each way to solve."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=shape)
    y = X[:, 1:6].sum(axis=1) + 0.3 * rng.normal(size=len(X))
    X[:, 0] *= 1e7
    weights = None if weights is None else weights[: len(X)]
    alphas, errors = [1e-1, 3.0, 1e16], []
    for alpha in alphas:
        left = []
        for i in range(len(X)):
            rest = np.delete(np.arange(len(X)), i)
            model = Ridge(alpha, solver="svd")
            model.fit(X[rest], y[rest], None if weights is None else weights[rest])
            weight = 1.0 if weights is None else weights[i]
            left.append(weight * (model.predict(X[i : i + 1])[0] - y[i]) ** 2)
        errors.append(np.mean(left))
    readout = RidgeReadout(alphas, selection="loo").fit(X, y, weights)
    assert readout.best_score_ == pytest.approx(-min(errors), rel=1e-6)
    assert readout.alpha_ == alphas[int(np.argmin(errors))]


@pytest.mark.parametrize("alpha", [0.0, 1e-3, [1e-3, 1.0, 1e3]])
@pytest.mark.parametrize("n_features", [20, 1100])
@pytest.mark.parametrize("options", [{}, {"selection": "loo"}])
def test_few_samples_keep_scales_apart_too(alpha, n_features, options):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(18, n_features))
    X[:, :2] *= 1e8
    X[:, 3] = 7.0
    y = X[:, 4:10].sum(axis=1)
    readout = RidgeReadout(alpha, **options).fit(X, y)
    centred, offset = X - X.mean(axis=0), y.mean()
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    shrunk = np.where(values > 1e-13 * values[0], values, 0) / (values**2 + readout.alpha_)
    expected = right.T @ (shrunk * (left.T @ (y - offset)))
    new = rng.normal(size=(50, n_features)) * np.abs(X).max(axis=0)
    assert apart(readout.predict(new), (new - X.mean(axis=0)) @ expected + offset, y) < 1e-5
    assert np.linalg.norm(readout.coef_) == pytest.approx(np.linalg.norm(expected), rel=1e-6)


def test_more_samples_of_many_unlike_features_go_by_the_sums(monkeypatch):
    monkeypatch.setattr(stream, "EIGEN", 10)
    X = np.random.default_rng(3).normal(size=(30, 40))
    y = X[:, 5:9].sum(axis=1)
    X[:, :2] *= 1e8
    expected = Ridge(1.0, solver="svd").fit(X, y).predict(X)
    assert apart(RidgeReadout(1.0).fit(X, y).predict(X), expected, y) < 1e-7


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 1e-30])
def test_directions_without_variance_keep_the_smallest_norm(large, alpha):
    """Copies, multiples and constants, alone and beside a large feature."""
    columns = [Z, Z[:, :2], 3 * Z[:, 2:3], np.full((N, 1), 5.0)]
    X = np.concatenate([*columns, LARGE / 1e8 if large else Z[:, :1]], axis=1)
    expected = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(), rcond=1e-10)[0]
    if large:
        X, expected = np.c_[X[:, :-1], LARGE], np.append(expected[:-1], expected[-1] / 1e8)
    for readout in (RidgeReadout(alpha).fit(X, Y), RidgeReadout(alpha).partial_fit(X, Y)):
        assert np.allclose(readout.coef_[0], expected, atol=1e-9)


@pytest.mark.parametrize("n_features", [10, 1100])
def test_what_no_sum_can_tell_is_said(n_features):
    """Features that all have one large part, beside which rounding hides the rest."""
    rng = np.random.default_rng(4)
    rest = rng.normal(size=(60, n_features))
    y = rest[:, 0]
    for common, lost in ((1e9, True), (10.0, False)):
        X = rest + common * rng.normal(size=(60, 1))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            readout = RidgeReadout(1e-3).fit(X, y)
        assert bool(told) == lost == (readout.score(X, y) < 0.5)
        assert all("is left out" in str(one.message) for one in told)


def test_samples_without_weight_are_none():
    """However large they are."""
    weights = np.where(np.arange(N) % 50 == 0, 0.0, WEIGHTS)
    X = np.where(weights[:, None] == 0, 1e14, Z)
    kept = weights > 0
    for rows in (slice(None), slice(0, 5)):  # also of fewer samples than features
        expected = Ridge(0.5).fit(
            Z[rows][kept[rows]], Y[rows][kept[rows]], weights[rows][kept[rows]]
        )
        for standardize in (False, True):
            readout = RidgeReadout(0.5, standardize=standardize).fit(
                X[rows], Y[rows], weights[rows]
            )
            if not standardize:
                assert np.allclose(readout.coef_[0], expected.coef_, atol=1e-9)
            assert np.isfinite(readout.predict(Z)).all()


def test_scales_are_kept_apart_on_a_device(monkeypatch):
    cupy = installed(monkeypatch)
    alphas = [0.0, 1.0, 1e3]
    copies = np.c_[UNLIKE, UNLIKE[:, 1:3]]  # which leave no Cholesky factor
    for X in (UNLIKE, copies, UNLIKE[:6]):
        y = Y[: len(X)]
        for options in ({"selection": "loo"}, {"selection": "holdout"}):
            readout = RidgeReadout(alphas, **options).fit(cupy.asarray(X), y)
            host = RidgeReadout(alphas, **options).fit(X, y)
            assert readout.alpha_ == host.alpha_ and type(readout.coef_) is np.ndarray
            assert apart(readout.predict(cupy.asarray(X)), host.predict(X)) < 1e-9


# -- numbers too large, and too small ----------------------------------------------------------

LABELS = Y > 0
ONE = np.where(np.arange(N) == 7, 1e308, 1.0)
REFUSED = {
    "X 1e160": (r"X must be at most .*e\+15", {"X": 1e160 * Z}),
    "X 1e300": ("X must be at most", {"X": 1e300 * Z}),
    "few X": ("X must be at most", {"X": 1e160 * Z[:5], "y": Y[:5]}),
    "one of X": ("X must be at most", {"X": np.where(np.arange(N)[:, None] == 7, 1e200, Z)}),
    "y 1e160": ("y must be", {"y": 1e160 * Y}),
    "y 8e307": ("y must be", {"y": np.full(N, 8e307)}),
    "y of both signs": ("y must be", {"y": 1.7e308 * np.sign(Y)}),
    "class_weight": (
        "class_weight must be",
        {"y": LABELS, "class_weight": {False: 1e308, True: 1}},
    ),
    "both weights": (
        "class_weight must be",
        {"y": LABELS, "class_weight": {False: 1e200, True: 1}, "weight": np.full(N, 1e200)},
    ),
    "sample_weight": ("sample_weight must", {"weight": np.full(N, 1e308)}),
    "sample_weight of one": ("sample_weight must be", {"weight": ONE}),
    "small X": ("X must have values of at least", {"X": 1e-170 * Z}),
    "few small X": ("X must have values of at least", {"X": 1e-170 * Z[:5], "y": Y[:5]}),
    "small y": ("y must have values of at least", {"y": 1e-170 * Y}),
    "small weights": ("sample_weight and class_weight must not", {"weight": np.full(N, 1e-320)}),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("alpha", [1.0, [0.1, 1.0]])
@pytest.mark.parametrize("standardize", [False, True])
def test_what_overflows_is_named_before_it_does(what, alpha, standardize):
    message, given = REFUSED[what]
    given = {"X": Z, "y": Y, "weight": None, "class_weight": None, **given}
    X, y, weight = given["X"], given["y"], given["weight"]
    for selection in ("holdout", "loo"):
        options = {"class_weight": given["class_weight"], "standardize": standardize}
        readout = RidgeReadout(alpha, selection=selection, **options)
        with pytest.raises(ValueError, match=f"^{message}"):
            readout.fit(X, y, weight)
        with pytest.raises(ValueError, match=message):
            readout.fit_chunks(lambda: [(X, y, weight)])
        if selection == "holdout":
            with pytest.raises(ValueError, match=message):
                readout.partial_fit(X, y, sample_weight=weight).predict(X)


def test_a_chunk_that_would_overflow_adds_nothing():
    readout = RidgeReadout(1.0).partial_fit(Z[:100], LABELS[:100], classes=[False, True])
    for bad in ({"X": 1e160 * Z[100:]}, {"sample_weight": ONE[100:] * 1e308 ** (ONE[100:] == 1)}):
        with pytest.raises(ValueError, match=r"^chunk 2 .*(X|sample_weight) must"):
            readout.partial_fit(**{"X": Z[100:], "y": LABELS[100:], **bad})
    readout.partial_fit(Z[100:], LABELS[100:])
    expected = RidgeClassifier(1.0).fit(Z, LABELS).decision_function(Z)
    assert np.allclose(readout.decision_function(Z), expected)


@pytest.mark.parametrize("factor", [1e-140, 1e-30, 1e30, 1e150])
def test_what_can_be_squared_is_fitted(factor):
    expected = RidgeReadout(0.0).fit(Z, Y).predict(Z)
    assert apart(RidgeReadout(0.0).fit(Z * factor, Y).predict(Z * factor), expected) < 1e-9
    assert apart(RidgeReadout(0.0).fit(Z, Y * factor).predict(Z) / factor, expected) < 1e-9
    if factor < 1e150:
        weights = np.full(N, factor)
        assert apart(RidgeReadout(0.0).fit(Z, Y, weights).predict(Z), expected) < 1e-9


@pytest.mark.parametrize("alpha", [1e308, math.nextafter(math.inf, 0), math.nextafter(0, 1)])
@pytest.mark.parametrize("factor", [1e-100, 1.0, 1e150])
def test_any_penalty_is_one(alpha, factor):
    expected = RidgeReadout(0.0).fit(Z, Y).predict(Z) if alpha < 1 else np.full(N, Y.mean())
    for alphas in (alpha, [alpha]):
        for X in (Z, UNLIKE / 1e8):
            found = RidgeReadout(alphas).fit(X * factor, Y)
            if X is Z or alpha > 1:
                assert apart(found.predict(X * factor), expected) < 1e-4
    assert RidgeReadout([alpha, 1.0], selection="loo").fit(UNLIKE, Y).alpha_ in (alpha, 1.0)


@pytest.mark.parametrize("shape", [(50, 20), (30, 1100)])
def test_float32_features_of_any_size_have_squares_in_float64(shape):
    X = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    y = X[:, :3].sum(axis=1).astype(float)
    large = X * np.float32(3e37)
    expected = Ridge(1e-3).fit(X, y).predict(X)
    alpha = 1e-3 * 3e37**2
    assert apart(RidgeReadout(alpha).fit(large, y).predict(large), expected, y) < 1e-5
    if shape[1] > 1024:  # as they are summed, in float32
        with pytest.raises(ValueError, match=r"X must be at most 1.4e\+17"):
            RidgeReadout(alpha).partial_fit(large, y)
        nanoseconds = 1.7e18 + 1e18 * y
        readout = RidgeReadout(1e-3).partial_fit(X, nanoseconds)
        assert apart((readout.predict(X) - 1.7e18) / 1e18, expected, y) < 1e-4


# -- memory ------------------------------------------------------------------------------------


def peak(call):
    """Bytes allocated at most while it runs, beyond what was before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, {"alpha": [1.0, 10.0]}, {"selection": "loo"}])
def test_few_samples_make_no_matrix_of_their_features(options):
    n_features = 6000
    X = np.random.default_rng(6).normal(size=(10, n_features)).astype(np.float32)
    X[:, 0] *= 1e9  # scales unlike, too
    readout = RidgeReadout(**options)
    assert peak(lambda: readout.fit(X, X[:, 1])) < 8 * n_features**2 / 20


def model_of_many_features():
    config = ReservoirConfig(width=28, height=28, rule="wave", steps=1)
    return ReservoirClassifier(config, backend="cpu", batch_size=20)


def test_batches_are_added_without_a_copy_of_the_sums():
    images, y = RNG.uniform(size=(160, 28, 28)).astype(np.float32), np.arange(160) % 3
    model = model_of_many_features().partial_fit(images[:70], y[:70])
    n_features = model.readout_.n_features_in_
    assert n_features > 2000
    assert peak(lambda: model.partial_fit(images[70:], y[70:])) < 8 * n_features**2 / 4


@pytest.mark.parametrize(("size", "batch_size"), [(6, 20), (3, 20), (6, 200)])
def test_a_call_that_fails_late_leaves_the_samples_and_penalties_of_before(
    size, batch_size, monkeypatch
):
    """Of several batches, fewer and more samples than two a feature, and of one."""
    config = ReservoirConfig(width=size, height=size, rule="wave", steps=1)
    images, y = RNG.uniform(size=(160, size, size)), np.arange(160) % 3
    models = [ReservoirClassifier(config, backend="cpu", batch_size=batch_size) for _ in range(2)]
    for model in models:
        model.partial_fit(images[:30], y[:30])
    features = model_stream._iter_unchecked

    def failing(reservoir, inputs, size):
        for number, part in enumerate(features(reservoir, inputs, size)):
            yield part if number < 2 and batch_size == 20 else np.full_like(part, np.nan)

    with monkeypatch.context() as patch:
        patch.setattr(model_stream, "_iter_unchecked", failing)
        with pytest.raises(ValueError, match="NaN"):
            models[0].partial_fit(images[30:], y[30:])
    assert np.array_equal(*(model.decision_function(images[:9]) for model in models))
    for model in models:
        model.partial_fit(images[30:], y[30:])
    assert np.array_equal(*(model.decision_function(images[:9]) for model in models))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("alpha", [1.0, [0.1, 10.0]])
@pytest.mark.parametrize("place", [3, 155, N - 1])
@pytest.mark.parametrize(
    ("heavy", "standardize"), [(1e13, False), (1e13, True), (1e17, False), (1e30, False)]
)
def test_one_sample_may_outweigh_all_others(heavy, place, alpha, standardize, dtype):
    """The heavy sample fixes the intercept; the others, whose weights are 1, the coefficients."""
    X, weights = Z.astype(dtype), np.ones(N)
    weights[place] = heavy
    whole = RidgeReadout(alpha, standardize=standardize).fit(X, Y, weights)
    streamed = RidgeReadout(alpha, standardize=standardize)
    for rows in np.array_split(np.arange(N), 9):
        streamed.partial_fit(X[rows], Y[rows], sample_weight=weights[rows])
    moved = X.astype(float) - X[place]
    scale = 1.0
    if standardize:  # by the deviation of the weighted samples, as documented
        share = weights / weights.sum()
        scale = np.sqrt(np.maximum(share @ moved**2 - (share @ moved) ** 2, 0))
    expected = Ridge(whole.alpha_, solver="svd").fit(moved / scale, Y - Y[place], weights)
    shown = expected.predict(moved / scale) + Y[place]
    assert streamed.alpha_ == whole.alpha_
    for readout in (whole, streamed):
        assert apart(readout.predict(X), shown) < (1e-9 if dtype == np.float64 else 1e-5)
