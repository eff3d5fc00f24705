"""The readouts against scikit-learn and the closed form."""

import math

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from pixelflow import LogisticReadout, RidgeReadout
from pixelflow.readouts.selection import drawn
from pixelflow.readouts.solvers import ridge_path
from pixelflow.readouts.sums import Rows, Sums
from pixelflow.readouts.systems import NormalEquations

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 7)) * np.array([1, 1, 1, 1, 1, 10, 0.1])
VALUES = X @ RNG.normal(size=7) + 0.1 * RNG.normal(size=120) + 3
LABELS = (VALUES > 3).astype(int) + (VALUES > 6)


def test_ridge_is_scikit_learns_and_the_normal_equations():
    readout = RidgeReadout(alpha=2.0).fit(X, VALUES)
    assert np.allclose(readout.predict(X), Ridge(alpha=2.0).fit(X, VALUES).predict(X), atol=1e-5)
    centred = X - X.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + 2 * np.eye(7), centred.T @ VALUES)
    assert np.allclose(readout.predict(X), centred @ weights + VALUES.mean())
    targets = np.where(LABELS[:, None] == np.arange(3), 1.0, -1.0)  # one against all
    weights = np.linalg.solve(centred.T @ centred + 2 * np.eye(7), centred.T @ targets)
    expected = (centred @ weights + targets.mean(axis=0)).argmax(axis=1)
    labels = RidgeReadout(alpha=2.0).fit(X, LABELS).predict(X)
    assert np.array_equal(labels, expected)
    assert np.array_equal(labels, RidgeClassifier(alpha=2.0).fit(X, LABELS).predict(X))


def test_standardize_is_the_same_in_every_unit():
    units = np.array([1, 10, 100, 0.1, 1, 5, 7])
    one, other = (
        RidgeReadout(alpha=5.0, standardize=True).fit(F, VALUES).predict(F) for F in (X, X * units)
    )
    assert np.allclose(one, other)
    assert not np.allclose(one, RidgeReadout(alpha=5.0).fit(X, VALUES).predict(X))


def test_leave_one_out_is_exact():
    alphas = [0.01, 1.0, 100.0]
    errors = []
    for alpha in alphas:
        total = 0.0
        for i in range(len(X)):
            rest = np.arange(len(X)) != i
            model = Ridge(alpha=alpha).fit(X[rest], VALUES[rest])
            total += float((model.predict(X[[i]])[0] - VALUES[i]) ** 2)
        errors.append(total)
    readout = RidgeReadout(alpha=alphas, selection="loo").fit(X, VALUES)
    assert readout.alpha_ == alphas[int(np.argmin(errors))]


@pytest.mark.parametrize("selection", ["holdout", "loo"])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_best_alpha_is_found(selection, standardize):
    """Noise alone wants the strongest penalty, a noiseless map the weakest."""
    wide = RNG.normal(size=(60, 40))
    options = {"alpha": [1e-3, 1.0, 1e5], "selection": selection, "standardize": standardize}
    assert RidgeReadout(**options).fit(wide, wide[:, 0] * 5.0).alpha_ == 1e-3
    assert RidgeReadout(**options).fit(wide, RNG.normal(size=60)).alpha_ == 1e5


@pytest.mark.parametrize("shape", [(120, 7), (30, 50)])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_held_out_choice_is_scikit_learns(shape, standardize):
    """One fit for each penalty, on the same split, chooses the same."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=shape) * rng.uniform(0.1, 10, shape[1])
    values = features[:, 0] + 3 * rng.normal(size=len(features))
    alphas = [0.01, 1.0, 30.0, 1e3]
    for y, model in ((values, Ridge), (np.digitize(values, [-2, 2]), RidgeClassifier)):
        held = drawn(0, len(y))[0]
        train = ~held
        weights = rng.uniform(0.5, 2, len(y))
        scale = StandardScaler().fit(features[train], sample_weight=weights[train])
        F = scale.transform(features) if standardize else features
        scores = []
        for alpha in alphas:
            fitted = model(alpha=alpha).fit(F[train], y[train], sample_weight=weights[train])
            scores.append(fitted.score(F[held], y[held], sample_weight=weights[held]))
        best = max(zip(scores, alphas, strict=True))[1]
        readout = RidgeReadout(alpha=alphas, standardize=standardize)
        assert readout.fit(features, y, sample_weight=weights).alpha_ == best


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_the_path_is_ridge_at_every_alpha(shape):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=shape) + 5, rng.normal(size=(shape[0], 2))
    features[:, -1] = 3.0  # without variance
    weights = rng.uniform(0.5, 2, len(features))
    sums = Sums(np, shape[1], np.float64, standardize=False)
    sums.add(Rows(features, targets, weights, weights))
    system = NormalEquations(sums, np.eye(2))
    for alpha, solution in ridge_path(system, [0.0, 0.5, 100.0]):
        coef, intercept = (part.T for part in system.lift(solution))
        if alpha == 0:  # the weighted least squares of smallest norm
            roots = np.sqrt(weights)[:, None]
            centred = features - np.average(features, axis=0, weights=weights)
            rest = targets - np.average(targets, axis=0, weights=weights)
            expected = np.linalg.lstsq(centred * roots, rest * roots, rcond=None)[0].T
        else:
            expected = Ridge(alpha=alpha).fit(features, targets, sample_weight=weights).coef_
        assert np.allclose(coef, expected.T, atol=1e-9)
        residual = targets - features @ coef - intercept
        assert np.allclose(np.average(residual, axis=0, weights=weights), 0)


def test_holdout_prefers_the_largest_of_equal_alphas_and_fits_all_samples():
    separable = np.repeat([[0.0], [1.0]], 30, axis=0)
    y = np.repeat([0, 1], 30)
    readout = RidgeReadout(alpha=[0.1, 10.0, 1.0]).fit(separable, y)
    assert readout.alpha_ == 10.0
    expected = RidgeClassifier(alpha=10.0).fit(separable, y)
    assert np.allclose(readout.coef_, expected.coef_)


def test_holdout_works_on_few_samples():
    digits = np.repeat(np.arange(10), 4)
    features = np.eye(10)[digits]
    assert RidgeReadout(alpha=[1, 10]).fit(features, digits).score(features, digits) == 1.0
    few = np.array([[0.0], [1], [2], [3], [4], [5]])
    assert RidgeReadout(alpha=[0.1, 100]).fit(few, 2 * few[:, 0]).alpha_ == 0.1
    with pytest.raises(ValueError, match="one sample"):
        RidgeReadout(alpha=[0.1, 1]).fit(few[:1], few[:1, 0])


@pytest.mark.parametrize("task", ["auto", "classification"])
def test_labels_are_classified(task):
    for y in (LABELS, LABELS > 0, np.array(["low", "mid", "high"])[LABELS]):
        readout = RidgeReadout(task=task).fit(X, y)
        assert set(readout.predict(X)) <= set(y) and list(readout.classes_) == sorted(set(y))
        assert readout.score(X, y) == np.mean(readout.predict(X) == y) > 0.7
    assert RidgeReadout(task="regression").fit(X, LABELS).predict(X).dtype == float


def test_weights_count_as_repeated_samples():
    weights = RNG.integers(1, 4, len(X))
    repeated = np.repeat(np.arange(len(X)), weights)
    for standardize in (False, True):
        readout = RidgeReadout(standardize=standardize)
        weighted = readout.fit(X, VALUES, sample_weight=weights).predict(X)
        again = readout.fit(X[repeated], VALUES[repeated]).predict(X)
        assert np.allclose(weighted, again)
    balanced = RidgeReadout(class_weight="balanced").fit(X, LABELS)
    expected = RidgeClassifier(class_weight="balanced").fit(X, LABELS)
    assert np.allclose(balanced.coef_, expected.coef_)


@pytest.mark.parametrize("readout", [RidgeReadout(), LogisticReadout()])
def test_a_single_class_is_always_predicted(readout):
    readout.fit(X, np.full(len(X), 7))
    assert (readout.predict(X + 5) == 7).all() and readout.score(X, np.full(len(X), 7)) == 1.0


def test_logistic_is_at_the_minimum_of_its_loss():
    """The gradient of C * cross-entropy + ||w||^2 / 2 vanishes there."""
    readout = LogisticReadout(C=0.5).fit(X, LABELS)
    residual = readout.predict_proba(X) - (LABELS[:, None] == np.arange(3))
    gradient = 0.5 * residual.T @ X + readout.model_.coef_
    assert np.abs(gradient).max() < 1e-2 and np.abs(residual.mean(axis=0)).max() < 1e-4
    assert readout.score(X, LABELS) == np.mean(readout.predict(X) == LABELS) > 0.9


@pytest.mark.parametrize("readout", [RidgeReadout(), LogisticReadout()])
@pytest.mark.parametrize("method", ["predict", "score", "predict_proba"])
def test_an_unfitted_readout_says_so(readout, method):
    if hasattr(readout, method):
        arguments = (X, LABELS) if method == "score" else (X,)
        for error in (NotFittedError, RuntimeError):
            with pytest.raises(error, match="call fit"):
                getattr(readout, method)(*arguments)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"task": "cluster"}, ValueError),
        ({"selection": "cv"}, ValueError),
        ({"standardize": "yes"}, TypeError),
        ({"alpha": -1.0}, ValueError),
        ({"alpha": math.nan}, ValueError),
        ({"alpha": []}, ValueError),
        ({"alpha": "auto"}, TypeError),
        ({"alpha": ["1"]}, TypeError),
        ({"alpha": None}, TypeError),
        ({"alpha": True}, TypeError),
        ({"alpha": 10**400}, ValueError),
        ({"alpha": [1.0, -(10**400)]}, ValueError),
        ({"alpha": range(10**30)}, ValueError),
        ({"alpha": np.zeros(10**6)}, ValueError),
        ({"alpha": {1.0: 2.0}}, TypeError),
        ({"task": np.array(["auto", "auto"])}, ValueError),
        ({"selection": np.array(["loo", "loo"])}, ValueError),
        ({"class_weight": np.array(["balanced"] * 2)}, ValueError),
        ({"class_weight": {0: 10**400}}, ValueError),
    ],
)
def test_bad_options_are_refused_in_the_constructor(options, error):
    with pytest.raises(error, match=next(iter(options))):
        RidgeReadout(**options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"C": 0.0}, ValueError),
        ({"C": -1}, ValueError),
        ({"C": math.nan}, ValueError),
        ({"C": 10**400}, ValueError),
        ({"C": "1"}, TypeError),
        ({"C": [1.0]}, TypeError),
        ({"max_iter": -1}, ValueError),
        ({"max_iter": 2**31}, ValueError),
        ({"max_iter": 1.5}, TypeError),
        ({"max_iter": True}, TypeError),
    ],
)
def test_bad_options_of_a_logistic_readout_are_refused_in_the_constructor(options, error):
    with pytest.raises(error, match=next(iter(options))):
        LogisticReadout(**options)
    readout = LogisticReadout().set_params(**options)
    with pytest.raises(error, match=next(iter(options))):
        readout.fit(X, LABELS)


def test_a_logistic_readout_takes_weights_and_no_penalty():
    weights = RNG.integers(0, 4, len(X)).astype(float)
    for C in (0.3, math.inf):
        readout = LogisticReadout(C, max_iter=5000).fit(X, LABELS == 0, weights)
        expected = LogisticRegression(C=C, max_iter=5000).fit(X, LABELS == 0, weights)
        assert np.array_equal(readout.coef_, expected.coef_)
        repeated = np.repeat(np.arange(len(X)), weights.astype(int))
        again = LogisticReadout(C, max_iter=5000).fit(X[repeated], LABELS[repeated] == 0)
        assert np.allclose(readout.predict_proba(X), again.predict_proba(X), atol=1e-3)
    with pytest.raises(ValueError, match="C must be larger"):
        LogisticReadout(1e-300).fit(X, LABELS, np.full(len(X), 1e-9))


@pytest.mark.parametrize("readout", [RidgeReadout(), LogisticReadout()])
def test_bad_training_data_is_refused(readout):
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        readout.fit(bad, LABELS)
    with pytest.raises(ValueError, match="inconsistent"):
        readout.fit(X, LABELS[:-1])
    with pytest.raises(ValueError, match="0 sample"):
        readout.fit(X[:0], LABELS[:0])
    with pytest.raises(ValueError, match="7 features"):
        readout.fit(X, LABELS).predict(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        readout.predict(bad)
    huge = [[10**400] * 7] * len(X)
    for wrong, message in ((np.ma.array(X, mask=np.isnan(bad)), "masked"), (huge, "fit float64")):
        with pytest.raises(ValueError, match=f"X must .*{message}"):
            readout.fit(wrong, LABELS)
        with pytest.raises(ValueError, match=f"X must .*{message}"):
            readout.predict(wrong)


@pytest.mark.parametrize("y", [VALUES, LABELS, np.zeros(len(X), int)])
def test_bad_weights_are_refused(y):
    for weights in (np.ones(3), -np.ones(len(X)), np.full(len(X), np.nan)):
        with pytest.raises(ValueError, match=r"[Ww]eight"):
            RidgeReadout().fit(X, y, sample_weight=weights)


def test_what_fits_only_one_task_is_refused_in_the_other():
    with pytest.raises(ValueError, match="class_weight is for classification"):
        RidgeReadout(class_weight="balanced").fit(X, VALUES)
    with pytest.raises(ValueError, match="Unknown label type"):
        RidgeReadout(task="classification").fit(X, VALUES)
