"""Estimators that several threads or processes share: nothing is lost, and nobody waits in vain."""

import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier, SGDClassifier

from pixelflow import ReservoirClassifier, ReservoirConfig, ReservoirRegressor, RidgeReadout
from pixelflow.models import training
from pixelflow.readouts import selection
from pixelflow.readouts.base import lock_of
from pixelflow.readouts.stream import Stream

RNG = np.random.default_rng(0)
X = RNG.random((400, 16), dtype=np.float32)
VALUES = X[:, :8].sum(axis=1) - X[:, 8:].sum(axis=1)
LABELS = (VALUES > 0).astype(int)
CONFIG = ReservoirConfig(4, 4, 4, 1, rule="wave", input_encoding="image")
PARTS = [slice(start, start + 50) for start in range(0, 400, 50)]


def classifier(readout=None):
    return ReservoirClassifier(CONFIG, readout, backend="cpu")


def at_once(call):
    """Every part in a thread of its own."""
    with ThreadPoolExecutor(len(PARTS)) as threads:
        for done in [threads.submit(call, part) for part in PARTS]:
            done.result()


@pytest.fixture
def slow(monkeypatch):
    """Training in parts that lets other threads have their turn half-way."""
    train = training.partial_fit_readout

    def slowed(*arguments):
        time.sleep(0.02)
        train(*arguments)
        time.sleep(0.02)

    monkeypatch.setattr(training, "partial_fit_readout", slowed)


@pytest.mark.parametrize("first", [0, 1])
def test_no_chunk_of_a_model_is_lost(first, slow):
    """Also where the threads begin the training."""
    models = classifier(), ReservoirRegressor(CONFIG, backend="cpu")
    for model, y, options in zip(models, (LABELS, VALUES), ({"classes": [0, 1]}, {}), strict=True):
        for part in PARTS[:first]:
            model.partial_fit(X[part], y[part], **options)

        def add(part, model=model, y=y, options=options):
            model.partial_fit(X[part], y[part], **options)

        at_once(add)
        n = 400 + 50 * first
        assert (model.n_samples_seen_, model.weight_seen_) == (n, n)
        assert model.readout_.get_params()["alpha"] == training.default_alphas(n)
        twice = np.concatenate([X, *(X[part] for part in PARTS[:first])])
        values = np.concatenate([y, *(y[part] for part in PARTS[:first])])
        alpha = model.readout_.alpha_
        expected = RidgeReadout(alpha, model._task, standardize=True)
        expected.fit(model.reservoirs_[0].transform(twice), values)
        assert np.allclose(model.readout_.coef_, expected.coef_, atol=1e-5)


def test_no_chunk_of_a_readout_is_lost_where_it_predicts_at_the_same_time():
    readout = RidgeReadout(task="classification")
    readout.partial_fit(X[:2], LABELS[:2], classes=[0, 1])

    def add(part):
        for row in range(part.start, part.stop, 10):
            readout.partial_fit(X[row : row + 10], LABELS[row : row + 10])
            readout.predict(X[:5])

    at_once(add)
    assert readout._partial.n_samples == 402 and readout._partial.n_chunks == 41
    rows = np.concatenate([np.arange(2), np.arange(400)])
    expected = RidgeClassifier().fit(X[rows].astype(np.float64), LABELS[rows])
    assert np.allclose(readout.coef_, expected.coef_, atol=1e-5)


def test_chunks_of_scikit_learns_readouts_are_added_one_by_one(monkeypatch):
    inside, overlapped, fit = [], [], SGDClassifier.partial_fit

    def spied(self, *arguments, **options):
        inside.append(0)
        overlapped.append(len(inside) > 1)
        time.sleep(0.01)
        inside.pop()
        return fit(self, *arguments, **options)

    monkeypatch.setattr(SGDClassifier, "partial_fit", spied)
    model = classifier(SGDClassifier(random_state=0)).partial_fit(X[:50], LABELS[:50])
    at_once(lambda part: model.partial_fit(X[part], LABELS[part]))
    assert len(overlapped) == 9 and not any(overlapped)


@pytest.mark.parametrize("model", [RidgeReadout(), classifier()], ids=["readout", "model"])
def test_a_prediction_does_not_wait_for_another_readouts_solution(model, monkeypatch):
    waiting, other = (clone(model).partial_fit(X, LABELS) for _ in range(2))
    expected = clone(model).partial_fit(X, LABELS).predict(X)
    solve, begun, released = Stream.solve, Event(), Event()
    readout = getattr(waiting, "readout_", waiting)

    def held(self, *arguments):
        if self is readout._partial:
            begun.set()
            assert released.wait(60)
        return solve(self, *arguments)

    monkeypatch.setattr(Stream, "solve", held)
    with ThreadPoolExecutor(2) as threads:
        try:
            first = threads.submit(waiting.predict, X)
            assert begun.wait(60)
            second = threads.submit(other.predict, X)
            assert np.array_equal(second.result(timeout=30), expected)
            assert not first.done()
        finally:
            released.set()
        assert np.array_equal(first.result(), expected)


def test_a_fit_is_seen_whole_or_not_at_all():
    """Who predicts while it runs gets the fit before."""
    readout = RidgeReadout().fit(X, LABELS)
    before, wide = readout.predict(X), np.concatenate([X, X], axis=1)
    begun, released = Event(), Event()

    def chunks():
        yield wide[:200], VALUES[:200], None
        begun.set()
        assert released.wait(60)
        yield wide[200:], VALUES[200:], None

    thread = Thread(target=readout.fit_chunks, args=(chunks,))
    thread.start()
    try:
        assert begun.wait(60)
        assert np.array_equal(readout.predict(X), before) and readout.n_features_in_ == 16
    finally:
        released.set()
        thread.join()
    assert readout.n_features_in_ == 32 and readout.score(wide, VALUES) > 0.99


@pytest.mark.parametrize("model", [RidgeReadout(), classifier()], ids=["readout", "model"])
def test_copies_have_locks_of_their_own(model):
    model = clone(model).partial_fit(X, LABELS)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)]
    copies += [clone(model).partial_fit(X, LABELS)]
    locks = [lock_of(one) for one in (model, *copies)]
    assert len({id(lock) for lock in locks}) == 5 and lock_of(model) is locks[0]
    with lock_of(model), ThreadPoolExecutor(1) as threads:
        for one in copies[:2] + copies[3:]:
            added = threads.submit(one.partial_fit, X[:50], LABELS[:50])
            added.result(timeout=30)
    model.partial_fit(X[:50], LABELS[:50])
    for one in copies[:2] + copies[3:]:
        assert np.array_equal(one.decision_function(X), model.decision_function(X))


# -- what is mapped from a file, and can't be written to -------------------------------------------

WIDE = np.random.default_rng(1).normal(size=(500, 400))
SIDES = (WIDE[:, 0] + 0.3 * WIDE[:, 1] > 0).astype(int)


@pytest.mark.parametrize("options", [{}, {"alpha": [0.1, 10.0], "standardize": True}])
@pytest.mark.parametrize("solved", [False, True])
def test_a_readout_mapped_read_only_predicts_and_goes_on(options, solved, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "MOST", 30)  # so that samples held out are replaced
    features = WIDE[:, :40]
    readout = RidgeReadout(**options).partial_fit(features[:300], SIDES[:300])
    if solved:
        readout.predict(features)
    joblib.dump(readout, tmp_path / "readout")
    mapped, other, again = (joblib.load(tmp_path / "readout", mmap_mode="r") for _ in range(3))
    before = readout.predict(features)
    assert np.array_equal(mapped.predict(features), before)
    for one in (mapped, other, readout):
        one.partial_fit(features[300:], SIDES[300:])
    for one in (mapped, other):
        assert one.alpha_ == readout.alpha_
        assert np.allclose(one.coef_, readout.coef_, atol=1e-12)
    assert not np.array_equal(mapped.predict(features), before)
    assert np.array_equal(again.predict(features), before)  # the file is as it was


def test_a_model_mapped_read_only_predicts_and_goes_on(tmp_path):
    model = classifier().partial_fit(X[:300], LABELS[:300])
    joblib.dump(model, tmp_path / "model")
    mapped, other = (joblib.load(tmp_path / "model", mmap_mode="r") for _ in range(2))
    assert np.array_equal(mapped.predict(X), model.predict(X))
    for one in (mapped, other, model):
        one.partial_fit(X[300:], LABELS[300:])
    for one in (mapped, other):
        assert np.allclose(one.decision_function(X), model.decision_function(X), atol=1e-5)


def test_a_readout_predicts_in_other_processes():
    """Which get large arrays mapped read-only."""
    readout = RidgeReadout().partial_fit(WIDE, SIDES)
    expected = RidgeClassifier().fit(WIDE, SIDES).predict(WIDE)
    calls = [joblib.delayed(readout.predict)(WIDE) for _ in range(2)]
    for predicted in joblib.Parallel(n_jobs=2)(calls):
        assert np.array_equal(predicted, expected)
