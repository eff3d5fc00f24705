"""Labels, values, weights and classes as users bring them: what is understood, what is refused."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier

from pixelflow import (
    LogisticReadout,
    Probe,
    Reservoir,
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
)

RNG = np.random.default_rng(0)
N = 60
X = RNG.random((N, 16))
VALUES = X[:, :8].sum(axis=1) - X[:, 8:].sum(axis=1)
LABELS = (VALUES > 0).astype(int)
TEXT = np.where(LABELS == 1, "yes", "no")
CONFIG = ReservoirConfig(4, 4, 4, 1, rule="wave", input_encoding="image")


def classifier(readout=None, **options):
    return ReservoirClassifier(CONFIG, readout or RidgeReadout(), backend="cpu", **options)


def regressor(**options):
    return ReservoirRegressor(CONFIG, RidgeReadout(), backend="cpu", **options)


def chunked(readout, X, y, **options):
    """Fitted by `fit_chunks` on two chunks."""
    halves = (slice(0, N // 2), slice(N // 2, None))
    return readout.fit_chunks(lambda: [(X[part], y[part], None) for part in halves], **options)


# -- what is missing -------------------------------------------------------------------------------

HOLES = {
    "None": [None, *VALUES[1:]],
    "NaN": [math.nan, *VALUES[1:]],
    "lists": [[None, 1.0], *([value, 1.0] for value in VALUES[1:])],
    "objects": np.array([None, *VALUES[1:]], object),
    "Float64": pd.Series([pd.NA, *VALUES[1:]], dtype="Float64"),
    "Int64": pd.Series([pd.NA, *LABELS[1:]], dtype="Int64"),
    "boolean": pd.Series([pd.NA, *(LABELS[1:] > 0)], dtype="boolean"),
    "pd.NA": pd.Series([pd.NA, *VALUES[1:]], dtype=object),
    "masked": np.ma.array(VALUES, mask=np.arange(N) == 3),
}
TEXT_HOLES = {
    "None": [None, *TEXT[1:]],
    "NaN": [math.nan, *TEXT[1:]],
    "string": pd.Series([pd.NA, *TEXT[1:]], dtype="string"),
    "categorical": pd.Series([None, *TEXT[1:]]).astype("category"),
    "NaT": np.array(["NaT", *["2001-01-01"] * (N - 1)], "M8[D]"),
}
REGRESSORS = [
    lambda y: regressor().fit(X, y),
    lambda y: regressor().partial_fit(X, y),
    lambda y: RidgeReadout(task="regression").fit(X, y),
    lambda y: RidgeReadout(task="regression").partial_fit(X, y),
    lambda y: RidgeReadout(task="regression").fit_chunks(lambda: [(X, y, None)]),
    lambda y: RidgeReadout().fit(X, VALUES).score(X, y),
    lambda y: regressor().fit(X, VALUES).score(X, y),
]
CLASSIFIERS = [
    lambda y: classifier().fit(X, y),
    lambda y: classifier().partial_fit(X, y),
    lambda y: classifier().partial_fit(X, TEXT, classes=y),
    lambda y: classifier().fit(X, TEXT).score(X, y),
    lambda y: RidgeReadout().fit(X, y),
    lambda y: RidgeReadout().partial_fit(X, y),
    lambda y: RidgeReadout(class_weight="balanced").fit_chunks(lambda: [(X, y, None)]),
    lambda y: LogisticReadout().fit(X, y),
    lambda y: LogisticReadout().fit(X, TEXT).score(X, y),
]


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("fit", REGRESSORS)
def test_missing_values_are_refused(fit, hole):
    with pytest.raises(ValueError, match=r"y (contains NaN|must have no masked)"):
        fit(HOLES[hole])


@pytest.mark.parametrize("hole", TEXT_HOLES)
@pytest.mark.parametrize("fit", CLASSIFIERS)
def test_missing_labels_are_refused(fit, hole):
    with pytest.raises(ValueError, match=r"(y|classes) contains NaN"):
        fit(TEXT_HOLES[hole])


@pytest.mark.parametrize("fit", REGRESSORS)
def test_values_beyond_float64_are_refused(fit):
    for y in ([10**400] * N, np.array([10**400] * N, object), [[1.0, 10**400]] * N):
        with pytest.raises(ValueError, match=r"y must (hold numbers that fit float64|be of shape)"):
            fit(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="y"):
            fit(np.linspace(0.5, 1, N) * 1.7e308)


def test_objects_that_are_numbers_are_regressed_on():
    y = np.array(list(VALUES), object)
    expected = Ridge().fit(X, VALUES)
    for readout in (
        RidgeReadout(task="regression").fit(X, y),
        RidgeReadout(task="regression")
        .partial_fit(X[:30], VALUES[:30])
        .partial_fit(X[30:], y[30:]),
    ):
        assert np.allclose(readout.predict(X), expected.predict(X))
        assert readout.score(X, y) == pytest.approx(expected.score(X, VALUES))


# -- types of labels -------------------------------------------------------------------------------

INDEX = RNG.permutation(N) + 100  # a series needn't count from 0
NULLABLE = {
    "Int64": (pd.Series(LABELS, INDEX, "Int64"), LABELS, "i"),
    "UInt8": (pd.Series(LABELS, INDEX, "UInt8"), LABELS, "u"),
    "convert_dtypes": (pd.Series(LABELS, INDEX).convert_dtypes(), LABELS, "i"),
    "boolean": (pd.Series(LABELS > 0, INDEX, "boolean"), LABELS > 0, "b"),
    "string": (pd.Series(TEXT, INDEX, "string"), TEXT, "OU"),
    "text": (pd.Series(TEXT, INDEX), TEXT, "OU"),
    "categories of text": (pd.Series(TEXT, INDEX, "category"), TEXT, "OU"),
    "categories of integers": (pd.Series(LABELS, INDEX, "category"), LABELS, "i"),
    "categories of floats": (pd.Series(LABELS * 1.0, INDEX, "category"), LABELS, "f"),
    "column": (pd.DataFrame({"y": pd.Series(LABELS, INDEX, "Int64")}), LABELS, "i"),
    "extension array": (pd.array(LABELS, "Int64"), LABELS, "i"),
}
FITTED = {
    "ridge": lambda y: RidgeReadout().fit(X, y),
    "ridge in chunks": lambda y: RidgeReadout().fit_chunks(lambda: [(X, y, None)]),
    "ridge in part": lambda y: RidgeReadout().partial_fit(X, y, classes=pd.unique(np.ravel(y))),
    "logistic": lambda y: LogisticReadout().fit(X, y),
    "model": lambda y: classifier().fit(X, y),
    "model in part": lambda y: classifier().partial_fit(X, y, classes=pd.unique(np.ravel(y))),
    "model of scikit-learn's": lambda y: classifier(LogisticRegression()).fit(X, y),
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("kind", NULLABLE)
@pytest.mark.parametrize("fit", FITTED)
def test_labels_of_pandas_are_classes(fit, kind):
    """Predicted in a plain type, and the same as from plain labels."""
    y, plain, dtypes = NULLABLE[kind]
    model, expected = FITTED[fit](y), FITTED[fit](plain)
    assert model.classes_.dtype.kind in dtypes and model.predict(X).dtype.kind in dtypes
    assert model.classes_.tolist() == np.unique(plain).tolist()
    assert np.array_equal(model.predict(X), expected.predict(X))
    assert model.score(X, y) == model.score(X, plain) == np.mean(model.predict(X) == plain) > 0.8
    if fit.startswith("ridge"):
        assert np.array_equal(model.predict(X), RidgeClassifier().fit(X, plain).predict(X))


def test_nullable_columns_are_label_indicators():
    columns = np.stack([LABELS, X[:, 0] > 0.5], axis=1).astype(int)
    expected = RidgeClassifier().fit(X, columns).predict(X)
    for dtype in ("Int64", "boolean"):
        readout = RidgeReadout().fit(X, pd.DataFrame(columns).astype(dtype))
        assert np.array_equal(readout.predict(X), expected)


def test_nullable_floats_are_values():
    readout = RidgeReadout().fit(X, pd.Series(VALUES, INDEX, "Float64"))
    assert np.array_equal(readout.predict(X), RidgeReadout().fit(X, VALUES).predict(X))


@pytest.mark.parametrize("fit", FITTED.values())
def test_labels_that_cannot_be_told_apart_are_refused(fit):
    for y in (
        np.array(["a", 1] * (N // 2), object),
        np.array([b"a", b"b"] * (N // 2)),
        np.array([{"a": 1}] * N),
        np.ones(N) * 1j,
        np.zeros(N, "i,i"),
    ):
        with pytest.raises((TypeError, ValueError), match=r"(y|classes)"):
            fit(y)


def test_labels_of_another_kind_in_a_later_chunk_are_refused():
    """Text is never a number, though NumPy makes one of the other where they are joined."""
    digits = LABELS.astype(str)
    readout = RidgeReadout().partial_fit(X, LABELS)
    model = classifier().partial_fit(X, LABELS)
    streamed = classifier(SGDClassifier()).partial_fit(X, LABELS)
    for one in (readout, model, streamed):
        before = one.predict(X)
        with pytest.raises(ValueError, match=r"y (has labels|must .* got) \['0', '1'\]"):
            one.partial_fit(X, digits)
        assert np.array_equal(one.predict(X), before)
    for first, second in ((LABELS, digits), (digits, LABELS)):
        with pytest.raises(ValueError, match=r"chunk 2 .*those before are"):
            chunks = [(X, first, None), (X, second, None)]
            RidgeReadout().fit_chunks(lambda chunks=chunks: chunks)
        with pytest.raises(ValueError, match=r"chunk 1 .*those before are"):
            RidgeReadout().fit_chunks(lambda y=first: [(X, y, None)], classes=np.unique(second))


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [RidgeReadout, classifier], ids=["readout", "model"])
@pytest.mark.parametrize("named", [None, [1, 0], pd.Series([0, 1], dtype="Int64")])
def test_other_classes_in_a_later_call_are_refused(make, named):
    model, twin = (make().partial_fit(X, LABELS, classes=named) for _ in range(2))
    for other in ([0, 1, 2], [0], ["0", "1"], pd.Series([0, 5], dtype="Int64")):
        with pytest.raises(ValueError, match=r"classes .* not those of the first partial_fit"):
            model.partial_fit(X, LABELS, classes=other)
    for bad in ([], [[0, 1], [1, 0]], 3, [0, None], [10**400, "a"]):
        with pytest.raises((TypeError, ValueError), match="classes"):
            model.partial_fit(X, LABELS, classes=bad)
        with pytest.raises((TypeError, ValueError), match="classes"):
            make().partial_fit(X, LABELS, classes=bad)
    for one in (model, twin):  # nothing of what was refused has been added
        one.partial_fit(X, LABELS, classes=np.array([1, 1, 0]))
    assert np.array_equal(model.decision_function(X), twin.decision_function(X))


def test_classes_of_values_and_of_indicators():
    readout = RidgeReadout().partial_fit(X, VALUES)
    with pytest.raises(ValueError, match="classes is for classification"):
        readout.partial_fit(X, VALUES, classes=[0, 1])
    indicators = np.stack([LABELS, 1 - LABELS], axis=1)
    readout = RidgeReadout().partial_fit(X, indicators, classes=[0, 1])
    for one in (RidgeReadout(), readout):
        with pytest.raises(ValueError, match="classes"):
            one.partial_fit(X, indicators, classes=[0, 1, 2])


# -- weights ---------------------------------------------------------------------------------------

WEIGHTED = {
    "ridge": (RidgeReadout().fit, LABELS),
    "ridge of values": (RidgeReadout().fit, VALUES),
    "ridge in part": (lambda X, y, w: RidgeReadout().partial_fit(X, y, None, w), LABELS),
    "logistic": (LogisticReadout().fit, LABELS),
    "model": (classifier().fit, LABELS),
    "model of values": (regressor().fit, VALUES),
    "score": (RidgeReadout().fit(X, LABELS).score, LABELS),
    "score of values": (RidgeReadout().fit(X, VALUES).score, VALUES),
    "score of a logistic": (LogisticReadout().fit(X, LABELS).score, LABELS),
    "score of a model": (classifier().fit(X, LABELS).score, LABELS),
    "score of a model of values": (regressor().fit(X, VALUES).score, VALUES),
}
BAD_WEIGHTS = {
    "zeros": np.zeros(N),
    "negative": np.where(np.arange(N) == 5, -1.0, 1.0),
    "NaN": [math.nan] * N,
    "None": [None, *[1.0] * (N - 1)],
    "pandas.NA": pd.Series([pd.NA, *[1] * (N - 1)], dtype="Int64"),
    "masked": np.ma.array(np.ones(N), mask=np.arange(N) == 3),
    "too few": np.ones(3),
    "columns": np.ones((N, 2)),
    "huge integers": [10**400] * N,
    "a huge integer": 10**400,
    "a huge sum": np.full(N, 1e308),
    "long doubles": np.full(N, "1e4000", np.longdouble),
    "text": ["a"] * N,
    "dates": np.array(["2001-01-01"] * N, "M8[D]"),
    "complex": np.ones(N) * 1j,
    "a mapping": {0: 1.0},
}


@pytest.mark.parametrize("bad", BAD_WEIGHTS)
@pytest.mark.parametrize("door", WEIGHTED)
def test_bad_weights_are_refused_at_every_door(door, bad):
    call, y = WEIGHTED[door]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError), match=r"sample_weight|inconsistent"):
            call(X, y, BAD_WEIGHTS[bad])


def test_scores_are_weighted_as_scikit_learns():
    weights = RNG.integers(0, 4, N)
    noisy, noise = np.where(X[:, 0] > 0.7, 1 - LABELS, LABELS), VALUES + X[:, 1]
    for y, expected, models in (
        (noisy, RidgeClassifier().fit(X, LABELS), (RidgeReadout().fit(X, LABELS),)),
        (noise, Ridge().fit(X, VALUES), (RidgeReadout().fit(X, VALUES),)),
        (noisy, LogisticRegression().fit(X, LABELS), (LogisticReadout().fit(X, LABELS),)),
    ):
        for model in models:
            for given in (weights, list(weights), pd.Series(weights, INDEX, "Int64")):
                assert model.score(X, y, given) == pytest.approx(expected.score(X, y, weights))
    for model, y in ((classifier().fit(X, LABELS), noisy), (regressor().fit(X, VALUES), noise)):
        repeated = np.repeat(np.arange(N), weights)
        assert model.score(X, y, weights) == pytest.approx(model.score(X[repeated], y[repeated]))


def test_a_class_without_weight_is_no_class_of_any_readout():
    """So that the columns of a decision are the classes."""
    y = np.digitize(VALUES, [-0.5, 0.5])
    weights = np.where(y == 1, 0.0, 1.0)
    for readout in (RidgeReadout(), LogisticReadout(), LogisticRegression()):
        for size in (None, 7):
            model = classifier(readout, batch_size=size).fit(X, y, weights)
            removed = classifier(readout, batch_size=size).fit(X[y != 1], y[y != 1])
            assert model.classes_.tolist() == model.readout_.classes_.tolist() == [0, 2]
            assert np.allclose(model.decision_function(X), removed.decision_function(X))


# -- class_weight ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [{0: 1, 1: 50}, {"no": 2, "other": 3}, {"yes": 1, math.nan: 2}])
def test_class_weights_that_match_no_label_are_refused(weights):
    """Where scikit-learn refuses them."""
    message = "classes, .*, are not in class_weight"
    with pytest.raises(ValueError, match=message):
        LogisticRegression(class_weight=weights).fit(X, TEXT)
    readout = RidgeReadout(class_weight=weights)
    for call in (
        lambda: readout.fit(X, TEXT),
        lambda: chunked(readout, X, TEXT),
        lambda: chunked(readout, X, TEXT, classes=["yes", "no"]),
        lambda: readout.partial_fit(X, TEXT),
        lambda: readout.partial_fit(X[:2], ["no", "no"], classes=["yes", "no"]),
        lambda: classifier(readout).fit(X, TEXT),
        lambda: classifier(readout, batch_size=7).fit(X, TEXT),
        lambda: classifier(readout).partial_fit(X, TEXT),
    ):
        with pytest.raises(ValueError, match=f"class_weight has .*{message}"):
            call()


def test_a_class_weight_may_be_of_a_label_that_comes_up_late():
    order = np.argsort(VALUES)
    weights = {"yes": 5.0}
    model = chunked(RidgeReadout(class_weight=weights), X[order], TEXT[order])
    expected = RidgeClassifier(class_weight=weights).fit(X, TEXT)
    assert np.allclose(model.coef_, expected.coef_)
    with pytest.raises(ValueError, match=r"class_weight has .*'late'"):
        chunked(RidgeReadout(class_weight={"late": 5.0}), X[order], TEXT[order])


@pytest.mark.parametrize("weights", [{}, {0: 3.0}, {0: 3.0, 1: 2.0, 7: 5.0}])
def test_class_weights_that_scikit_learn_takes_are_taken(weights):
    expected = RidgeClassifier(class_weight=weights).fit(X, LABELS).coef_
    readout = RidgeReadout(class_weight=weights)
    assert np.allclose(readout.fit(X, LABELS).coef_, expected)
    assert np.allclose(readout.partial_fit(X, LABELS).coef_, expected)
    assert np.allclose(readout.fit(X, pd.Series(LABELS, INDEX, "Int64")).coef_, expected)


# -- a fit that is refused -------------------------------------------------------------------------

WIDE = np.concatenate([X, X], axis=1)[:, :30]
REFUSED = {
    "y too short": (WIDE, LABELS[:-1], {}),
    "y with a hole": (WIDE, [None, *LABELS[1:]], {}),
    "y of values": (WIDE, VALUES + 0.5j, {}),
    "weights": (WIDE, LABELS, {"sample_weight": -np.ones(N)}),
    "NaN": (np.where(WIDE == WIDE[3, 3], math.nan, WIDE), LABELS, {}),
    "no samples": (WIDE[:0], LABELS[:0], {}),
    "names of two kinds": (pd.DataFrame(WIDE, columns=[0, *map(str, range(29))]), LABELS, {}),
}
FRAME = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(16)])
LEARNS = CONFIG.with_params(
    input_encoding="project", probe=Probe(rectify=True, threshold={"quantile": 0.5})
)
KEPT = {
    "ridge": (lambda: RidgeReadout([0.1, 1.0]), "fit"),
    "ridge in part": (RidgeReadout, "partial_fit"),
    "ridge in chunks": (RidgeReadout, "fit_chunks"),
    "logistic": (LogisticReadout, "fit"),
    "model": (lambda: ReservoirClassifier(LEARNS, backend="cpu"), "fit"),
    "model in part": (lambda: ReservoirClassifier(LEARNS, backend="cpu"), "partial_fit"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("data", [X, FRAME], ids=["array", "frame"])
def test_a_refused_fit_leaves_the_estimator_as_it_was(data, kind, what):
    make, method = KEPT[kind]
    model = make().fit(data, LABELS)
    before, state = model.predict(data), dict(vars(model))
    bad, y, options = REFUSED[what]
    with pytest.raises((TypeError, ValueError)):
        if method == "fit_chunks":
            weights = options.get("sample_weight")
            half = slice(0, len(bad) // 2)
            good = (WIDE[half], LABELS[half], None)
            model.fit_chunks(lambda: [good, (bad, y, weights)])
        else:
            getattr(model, method)(bad, y, **options)
    assert vars(model).keys() == state.keys()
    assert all(vars(model)[name] is state[name] for name in state)
    assert np.array_equal(model.predict(data), before) and model.n_features_in_ == 16
    assert hasattr(model, "feature_names_in_") == (data is FRAME)
    model.fit(WIDE, LABELS)  # and it can be fitted anew
    assert model.n_features_in_ == 30 and not hasattr(model, "feature_names_in_")


def test_a_refused_fit_leaves_a_reservoir_as_it_was():
    reservoir = Reservoir(LEARNS, backend="cpu").fit(X)
    before, state = reservoir.transform(X), dict(vars(reservoir))
    with pytest.raises(TypeError, match="string names"):
        reservoir.fit(pd.DataFrame(2 * X, columns=[0, *map(str, range(15))]))
    assert vars(reservoir) == state and np.array_equal(reservoir.transform(X), before)


def test_a_refused_first_chunk_leaves_an_earlier_fit_and_chunks_are_held_against_it_alone():
    """A stream's second chunk is compared with its first, not with the fit before."""
    readout = RidgeReadout().fit(X, LABELS)
    seen = []

    def chunks():
        yield WIDE[:30], LABELS[:30], None
        seen.append(readout.predict(X))  # still the old fit
        yield WIDE[30:], LABELS[30:], None

    before = readout.predict(X)
    readout.fit_chunks(chunks)
    assert np.array_equal(seen[0], before)
    assert np.array_equal(readout.predict(WIDE), RidgeClassifier().fit(WIDE, LABELS).predict(WIDE))


# -- chunks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_what_are_no_chunks_is_refused(class_weight):
    readout = RidgeReadout(class_weight=class_weight)
    for bad in ([(X, LABELS, None)], None, lambda: 3, lambda: None):
        with pytest.raises(TypeError, match="chunks must"):
            readout.fit_chunks(bad)
    for bad in (3, None, "abc", {"X": X}, iter([X, LABELS, None])):
        with pytest.raises(TypeError, match="a chunk must be a tuple"):
            readout.fit_chunks(lambda bad=bad: [bad])
    for bad in ((X, LABELS), (), (X, LABELS, None, None, None)):
        with pytest.raises(ValueError, match="a chunk must be 3 parts"):
            readout.fit_chunks(lambda bad=bad: [bad])
