"""The models: the same as reservoir and readout apart, in a stream; copies; bad input."""

import math
import pickle
import weakref
from collections import Counter
from dataclasses import replace

import fake_cupy
import numpy as np
import pytest
from scipy.ndimage import affine_transform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from pixelflow import (
    LogisticReadout,
    Probe,
    Reservoir,
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
)
from pixelflow.models import stream, training
from pixelflow.models.copies import Copies

PROBE = Probe(snapshots=(1, 2), rectify=True, pool=2)
CONFIG = ReservoirConfig(8, 8, 4, 2, rule="wave", input_encoding="image", probe=PROBE)
OTHER = ReservoirConfig(6, 7, 4, 1, rule="life_like", input_encoding="project", seed=3)
RANDOM = ReservoirConfig(8, 8, 4, 1, rule="wave", input_encoding="random", members=2)
RNG = np.random.default_rng(0)
X = RNG.random((150, 64), dtype=np.float32)
VALUES = X[:, :32].sum(axis=1) - X[:, 32:].sum(axis=1)
LABELS = np.digitize(VALUES, [-1, 1])


def classifier(config=CONFIG, readout=None, **options):
    return ReservoirClassifier(config, readout, backend="cpu", **options)


def regressor(config=CONFIG, readout=None, **options):
    return ReservoirRegressor(config, readout, backend="cpu", **options)


@pytest.fixture
def mapped(monkeypatch):
    """How many samples each batch of features had."""
    sizes, batches = [], stream._iter_unchecked

    def counted(reservoir, inputs, size):
        for part in batches(reservoir, inputs, size):
            sizes.append(len(part))
            yield part

    monkeypatch.setattr(stream, "_iter_unchecked", counted)
    return sizes


# -- what is fitted --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 7, 50, 1000])
def test_a_model_is_its_reservoir_and_readout_whatever_the_batch(size, mapped):
    features = Reservoir(CONFIG, backend="cpu").transform(X)
    apart = RidgeReadout(alpha=3.0, standardize=True)
    for make, y in ((classifier, LABELS), (regressor, VALUES), (regressor, X[:, :3])):
        expected = clone(apart).fit(features, y).predict(features)
        model = make(readout=apart, batch_size=size).fit(X, y)
        assert np.allclose(model.predict(X), expected, atol=1e-4)
        assert max(mapped) <= (size or len(X))


def test_the_default_readout_has_a_path_of_alphas_for_each_sample():
    features = Reservoir(CONFIG, backend="cpu").transform(X)
    for make, task, y in (
        (classifier, "classification", LABELS),
        (regressor, "regression", VALUES),
    ):
        model = make().fit(X, y)
        alphas = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]) * len(X)
        assert model.readout_.alpha_ in alphas and model.readout is None
        apart = RidgeReadout(alphas.tolist(), task, standardize=True).fit(features, y)
        assert model.readout_.alpha_ == apart.alpha_
        assert np.allclose(model.predict(X), apart.predict(features), atol=1e-4)
        weighted = make().fit(X, y, sample_weight=np.full(len(X), 2.0)).readout_
        assert weighted.alpha_ == 2 * apart.alpha_


def test_batches_are_bounded_in_memory():
    reservoirs = [Reservoir(CONFIG, backend="cpu"), Reservoir(OTHER, backend="cpu")]
    dim = sum(reservoir.feature_dim for reservoir in reservoirs)
    assert stream.resolve_batch_size(reservoirs, None) == 2**28 // (4 * dim)
    assert stream.resolve_batch_size(reservoirs, 9) == 9
    huge = Reservoir(CONFIG.with_params(members=2**20, probe__pool=None), backend="cpu")
    assert stream.resolve_batch_size([huge], None) == 1


class Batches:
    """A source that keeps count of what it has made, and of what lives when it makes more."""

    feature_dim = 4

    def __init__(self, cupy=None, bad=None):
        self.cupy, self.bad, self.made, self.alive = cupy, bad, [], []

    def iter_features(self, inputs, batch_size):
        for start in range(0, len(inputs), batch_size):
            self.alive.append(sum(one() is not None for one in self.made))
            if len(self.made) == self.bad:
                raise ValueError("no more")
            part = inputs[start : start + batch_size]
            found = part.copy() if self.cupy is None else self.cupy.asarray(part)
            self.made.append(weakref.ref(found))
            yield found
            del found


@pytest.mark.parametrize("several", [1, 2])
@pytest.mark.parametrize(("on_gpu", "asked_for"), [(False, [1, 2, 3]), (True, [2, 3, 3])])
def test_a_gpu_alone_is_asked_for_a_batch_ahead(on_gpu, asked_for, several, monkeypatch):
    """The batch before is then still there, but none of what it was put together of."""
    cupy = fake_cupy.installed(monkeypatch)
    source, seen = Batches(cupy if on_gpu else None), []
    for batch in stream.prefetch(stream.iter_feature_batches([source] * several, X[:25, :4], 10)):
        seen.append(len(source.made) // several)
        assert batch.shape == ((5, 10)[len(seen) < 3], 4 * several)
        del batch
    assert seen == asked_for
    assert max(source.alive) == (on_gpu and several == 1)


@pytest.mark.parametrize(("on_gpu", "most"), [(False, 0), (True, 1)])
def test_copies_are_made_a_batch_ahead_too(on_gpu, most, monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    source, copies = Batches(cupy if on_gpu else None), Copies.from_augment({"shifts": 2})
    images, used = X[:25].reshape(25, 8, 8), []
    data = stream.TrainingSet([source], images, LABELS[:25], None, 10, copies)
    for chunk in data.chunks():
        used.append(len(source.made))
        del chunk
    assert used == [min(k + most, len(used)) for k in range(1, len(used) + 1)]
    assert len(used) == 9 and max(source.alive) == most


def test_what_fails_a_batch_ahead_is_raised_and_what_is_left_early_is_freed(monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    source = Batches(cupy, bad=2)
    batches = stream.prefetch(stream.iter_feature_batches([source], X[:, :4], 10))
    next(batches)
    with pytest.raises(ValueError, match="no more"):
        next(batches), next(batches)
    source = Batches(cupy)
    batches = stream.prefetch(stream.iter_feature_batches([source], X[:, :4], 10))
    next(batches)
    batches.close()
    assert len(source.made) == 2 and all(one() is None for one in source.made)


def test_several_configs_put_their_features_side_by_side():
    both = [Reservoir(config, backend="cpu").transform(X) for config in (CONFIG, OTHER)]
    features = np.concatenate(both, axis=1)
    model = classifier([CONFIG, OTHER], RidgeReadout(2.0), batch_size=40).fit(X, LABELS)
    expected = RidgeReadout(2.0).fit(features, LABELS)
    assert np.array_equal(model.predict(X), expected.predict(features))
    assert np.allclose(
        model.decision_function(X), expected.decision_function(features), rtol=0, atol=1e-4
    )
    assert [reservoir.config for reservoir in model.reservoirs_] == [CONFIG, OTHER]


def test_a_quantile_is_fitted_on_train_and_kept():
    config = CONFIG.with_params(probe__threshold={"quantile": 0.5})
    model = classifier([config, CONFIG]).fit(X, LABELS)
    fitted = Reservoir(config, backend="cpu").fit(X)
    assert model.reservoirs_[0].threshold_ == fitted.threshold_ > 0
    assert not hasattr(model.reservoirs_[1], "threshold_")
    model.predict(X[:3] * 0)
    assert model.reservoirs_[0].threshold_ == fitted.threshold_


@pytest.mark.parametrize(
    ("make", "readout", "sizes"),
    [
        (classifier, LogisticReadout(), 150),
        (classifier, LogisticRegression(), 150),
        (regressor, Ridge(2.0), 150),
        (classifier, SGDClassifier(random_state=0), 40),
    ],
)
def test_any_readout_is_streamed_if_it_can_be(make, readout, sizes, monkeypatch):
    seen = []
    method = "partial_fit" if hasattr(readout, "partial_fit") else "fit"
    fit = getattr(type(readout), method)

    def spied(self, F, y, **options):
        seen.append((F.shape, sorted(options)))
        return fit(self, F, y, **options)

    monkeypatch.setattr(type(readout), method, spied)
    y = VALUES if make is regressor else LABELS
    model = make(readout=readout, batch_size=40).fit(X, y)
    assert seen[0] == ((sizes, 64), ["classes"] if method == "partial_fit" else [])
    assert sum(shape[0] for shape, _ in seen) == 150
    assert model.score(X, y) > 0.3
    if method == "fit":
        features = Reservoir(CONFIG, backend="cpu").transform(X)
        assert np.array_equal(model.predict(X), clone(readout).fit(features, y).predict(features))
    assert hasattr(model, "predict_proba") == hasattr(readout, "predict_proba")


def test_weights_reach_every_kind_of_readout():
    weight = RNG.integers(0, 3, len(X)).astype(float)
    features = Reservoir(CONFIG, backend="cpu").transform(X)
    for readout in (RidgeReadout(1.0), Ridge(1.0)):
        model = regressor(readout=readout, batch_size=40).fit(X, VALUES, sample_weight=weight)
        expected = Ridge(1.0).fit(features, VALUES, sample_weight=weight).predict(features)
        assert np.allclose(model.predict(X), expected, atol=1e-3)
    for readout in (LogisticReadout(2.0), LogisticRegression(C=2.0, max_iter=1000)):
        model = classifier(readout=readout, batch_size=40).fit(X, LABELS, sample_weight=weight)
        apart = LogisticRegression(C=2.0, max_iter=1000).fit(features, LABELS, weight)
        assert np.allclose(model.predict_proba(X), apart.predict_proba(features), atol=1e-3)
    with pytest.raises(ValueError, match=r"KNeighborsClassifier\.fit takes none"):
        classifier(readout=KNeighborsClassifier()).fit(X, LABELS, sample_weight=weight)
    for bad in (weight[:-1], -weight, np.full(len(X), math.nan)):
        with pytest.raises(ValueError, match="weight"):
            regressor().fit(X, VALUES, sample_weight=bad)


def test_images_of_any_shape_and_type():
    pixels = (X * 255).astype(np.uint8)
    shapes = (pixels, pixels.reshape(-1, 8, 8), (pixels / 255).reshape(-1, 8, 8))
    models = [classifier(augment={"flip": True}).fit(images, LABELS) for images in shapes]
    predicted = [model.predict(images) for model, images in zip(models, shapes, strict=True)]
    assert np.array_equal(predicted[0], predicted[1])
    assert np.mean(predicted[0] == predicted[2]) > 0.95
    assert np.array_equal(models[1].predict(pixels), predicted[1])
    assert models[1].n_features_in_ == 64


# -- a chunk at a time -------------------------------------------------------------------------


def test_chunks_are_the_same_as_fit():
    for make, y in ((classifier, LABELS), (regressor, VALUES)):
        options = {"classes": [0, 1, 2]} if make is classifier else {}
        whole, parts = make().fit(X, y), make(batch_size=17)
        for rows in (slice(0, 3), slice(3, 90), slice(90, 150)):
            parts.partial_fit(X[rows], y[rows], **options)
            parts.predict(X[:5])  # which solves, and must not end the training
        assert parts.readout_.alpha_ == pytest.approx(whole.readout_.alpha_)
        assert np.allclose(parts.predict(X), whole.predict(X), atol=1e-4)
        assert parts.n_samples_seen_ == parts.weight_seen_ == 150


def test_partial_fit_refuses_what_it_cannot_do():
    model = classifier().partial_fit(X[:50], LABELS[:50], classes=[0, 1, 2])
    before = model.decision_function(X)
    with pytest.raises(ValueError, match=r"got \[7\]"):
        model.partial_fit(X[:2], [0, 7])
    with pytest.raises(ValueError, match="first partial_fit"):
        model.partial_fit(X[:2], [0, 1], classes=[0, 1])
    with pytest.raises(ValueError, match="64 features"):
        model.partial_fit(X[:2, :16], [0, 1])
    bad = X[:4].copy()
    bad[2, 5] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(bad, [0, 1, 2, 0])
    assert np.array_equal(model.decision_function(X), before)
    again = classifier().fit(X, LABELS + 5).partial_fit(X[:50], LABELS[:50], classes=[0, 1, 2])
    assert np.array_equal(again.decision_function(X), before)  # `fit` is forgotten
    with pytest.raises(ValueError, match="LogisticReadout has no partial_fit"):
        classifier(readout=LogisticReadout()).partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="one alpha"):
        classifier(augment={"flip": True}).partial_fit(X, LABELS)


def test_a_call_that_fails_late_adds_nothing(monkeypatch):
    model = classifier(batch_size=20).partial_fit(X[:50], LABELS[:50], classes=[0, 1, 2])
    before, alpha = model.decision_function(X), model.readout_.get_params()["alpha"]
    features = stream._iter_unchecked

    def overflowing(reservoir, inputs, size):
        for part in features(reservoir, inputs, size):
            yield np.where(np.arange(len(part))[:, None] == 15, math.inf, part)

    with monkeypatch.context() as patch:
        patch.setattr(stream, "_iter_unchecked", overflowing)
        with pytest.raises(ValueError, match="infinity"):
            model.partial_fit(X[50:], LABELS[50:])
    assert model.readout_.get_params()["alpha"] == alpha and model.n_samples_seen_ == 50
    assert np.array_equal(model.decision_function(X), before)
    other = classifier(batch_size=20).partial_fit(X[:50], LABELS[:50], classes=[0, 1, 2])
    for one in (model, other):
        one.partial_fit(X[50:], LABELS[50:])
    assert np.allclose(model.decision_function(X), other.decision_function(X), atol=1e-5)


def test_a_model_fitted_in_part_can_be_pickled_and_goes_on():
    model = classifier().partial_fit(X[:90], LABELS[:90], classes=[0, 1, 2])
    same = pickle.loads(pickle.dumps(model))
    for one in (model, same):
        one.partial_fit(X[90:], LABELS[90:])
    assert np.array_equal(model.decision_function(X), same.decision_function(X))


def test_labels_of_another_kind_are_wrong():
    model = classifier().fit(X, LABELS)
    assert model.score(X, LABELS.astype(str)) == 0.0 == model.score(X, LABELS + 10)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, LABELS[:-1])


@pytest.mark.parametrize("augment", [{"flip": True}, {"shifts": 2, "degrees": 9, "scale": 0.1}])
def test_copies_in_chunks_are_the_same_as_fit_with_one_alpha(augment):
    options = {"readout": RidgeReadout(5.0), "augment": augment}
    parts = classifier(**options)
    for rows in (slice(0, 90), slice(90, 150)):
        parts.partial_fit(X[rows], LABELS[rows])
    whole = classifier(**options).fit(X, LABELS)
    assert np.allclose(parts.decision_function(X), whole.decision_function(X), atol=1e-4)


# -- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("depth", [1, 3])
def test_copies_are_moved_by_known_offsets_and_mirrored(dtype, depth):
    images = RNG.integers(1, 255, (9, 6, 6, depth)).astype(dtype)
    copies = Copies(shifts=3, max_shift=2, flip=True, seed=5)
    motions = copies.motions(9, first=0)
    found = list(copies.iter_copies(images.reshape(9, -1), motions))
    assert len(found) == copies.n_per_image - 1 == 7
    expected = [images[:, :, ::-1]]
    for k in range(3):
        moved = np.zeros_like(images)
        for i, (dy, dx) in enumerate(motions[k, :, :2].astype(int)):
            for y in range(6):
                for x in range(6):
                    if 0 <= y - dy < 6 and 0 <= x - dx < 6:
                        moved[i, y, x] = images[i, y - dy, x - dx]
        expected += [moved, moved[:, :, ::-1]]
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype and np.array_equal(one, other.reshape(9, -1))


@pytest.mark.parametrize("more", [{}, {"degrees": 30}, {"scale": 0.2, "degrees": 5.5}])
def test_motions_are_of_an_images_number_alone(more):
    copies = Copies(shifts=3, seed=5, **more)
    whole = copies.motions(40, first=0)
    assert np.array_equal(whole[:, 25:], copies.motions(15, first=25))
    used = np.array([True, True, "degrees" in more, "scale" in more, "scale" in more])
    for other in (whole[0], Copies(shifts=3, seed=6, **more).motions(40, first=0)[1]):
        assert np.array_equal((whole[1] != other).any(axis=0), used)


def test_a_copy_may_be_moved_out_of_its_image():
    """By far more than its height or width: it is 0 then, and takes no more memory."""
    images = RNG.random((40, 5, 7), dtype=np.float32)
    copies = Copies(shifts=1, max_shift=20_000, seed=1)
    motions = copies.motions(40, 0)
    motions[0, :25, :2] = [(y, x) for y in (-6, -5, 0, 4, 5) for x in (-8, -6, 0, 3, 7)]
    for moved, image, (dy, dx) in zip(
        next(copies.iter_copies(images, motions)),
        images,
        motions[0, :, :2].astype(int),
        strict=True,
    ):
        expected = np.zeros((5, 7))
        for y, x in np.ndindex(5, 7):
            if 0 <= y - dy < 5 and 0 <= x - dx < 7:
                expected[y, x] = image[y - dy, x - dx]
        assert np.array_equal(moved, expected)


def test_offsets_are_every_one_but_none_and_the_same_each_time():
    copies = Copies(shifts=2, max_shift=1, seed=1)
    offsets = copies.motions(2000, first=0)[:, :, :2]
    counts = Counter(map(tuple, offsets.reshape(-1, 2).astype(int)))
    assert len(counts) == 8 and (0, 0) not in counts and min(counts.values()) > 400
    for more in ({}, {"degrees": 30, "scale": 0.2}):
        same = replace(copies, **more).motions(2000, first=0)
        assert np.array_equal(offsets, same[:, :, :2])
        assert same[:, :, 2:].any() == bool(more)
    for other in (Copies(2, 1, seed=2).motions(2000, 0), copies.motions(2000, 7), offsets[::-1]):
        assert not np.array_equal(offsets, other[:, :, :2])
    recorded = [[-1, 1], [-1, -1], [0, -1], [1, 1], [1, -1], [-1, 0], [0, 1]]
    assert np.array_equal(offsets[0, :7], recorded)  # else published numbers would change


def test_angles_and_stretches_are_uniform_and_independent():
    motions = Copies(shifts=4, max_shift=0, degrees=30, scale=0.2).motions(5000, 0)
    assert motions.dtype == np.float32 and not motions[..., :2].any()
    drawn = motions[..., 2:] / [np.radians(30), 0.2, 0.2]
    columns = np.moveaxis(drawn, 1, 2).reshape(12, 5000)
    for column in columns:
        assert np.abs(np.histogram(column, 5, (-1, 1))[0] - 1000).max() < 150
    assert np.abs(np.corrcoef(columns) - np.eye(12)).max() < 0.07


def resampled_by_scipy(image, motion):
    """One channel, stretched, turned and moved."""
    *offset, angle, down, right = motion.astype(float)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    undone = np.linalg.inv(turn @ np.diag(np.exp([down, right])))
    middle = (np.array(image.shape) - 1) / 2
    start = middle - undone @ (middle + offset)
    return affine_transform(image.astype(float), undone, start, order=1, mode="grid-constant")


@pytest.mark.parametrize(
    ("shape", "dtype", "tolerance"),
    [
        ((7, 7), np.float32, 1e-4),
        ((7, 10), np.float64, 1e-9),
        ((8, 8, 3), np.uint8, 0.5 + 1e-6),
        ((5, 9, 3), np.float32, 1e-4),
        ((1, 6), np.float32, 1e-4),
    ],
)
def test_copies_are_stretched_turned_and_moved_as_scipy_does_it(shape, dtype, tolerance):
    copies = Copies(shifts=2, max_shift=3, degrees=170, scale=0.9, flip=True, seed=2)
    images = RNG.integers(0, 256, (30, *shape)).astype(dtype)
    motions = copies.motions(30, first=4)
    mirrored, *found = copies.iter_copies(images, motions)
    assert np.array_equal(mirrored, images[:, :, ::-1])
    for k in range(2):
        moved, mirrored = found[2 * k : 2 * k + 2]
        assert moved.dtype == dtype and np.array_equal(mirrored, moved[:, :, ::-1])
        channels = images.reshape(30, *shape[:2], -1)
        expected = [
            np.stack([resampled_by_scipy(one, motion) for one in np.moveaxis(image, 2, 0)], axis=2)
            for image, motion in zip(channels, motions[k], strict=True)
        ]
        assert np.abs(moved - np.reshape(expected, images.shape)).max() <= tolerance


def test_a_copy_is_turned_counter_clockwise_and_stretched_by_exact_factors():
    images = RNG.random((4, 9, 9), dtype=np.float32)
    motions = np.zeros((1, 4, 5), np.float32)
    motions[0, :, 2] = np.radians([90, -90, 180, 1e-6])
    turned = next(Copies(shifts=1, degrees=1).iter_copies(images, motions))
    for one, image, quarters in zip(turned, images, (1, -1, 2, 0), strict=True):
        assert np.allclose(one, np.rot90(image, quarters), atol=1e-5)
    motions[0, :, 2:] = 0, np.log(2), np.log(1 / 2)
    stretched = next(Copies(shifts=1, scale=0.9).iter_copies(images, motions))
    assert np.allclose(stretched[:, ::2, 2:7], images[:, 2:7, ::2], atol=1e-6)
    assert not stretched[:, :, [0, 1, 7, 8]].any()


def test_a_turned_copy_has_the_mass_of_its_image_and_a_stretched_one_its_factors():
    y, x = np.mgrid[:28, :28] - 13.5
    image = np.exp(-(y**2 + x**2 / 2) / 20).astype(np.float32)
    images = np.repeat(image[None], 50, axis=0)
    for more in ({"degrees": 10}, {"degrees": 45, "scale": 0.1}):
        copies = Copies(shifts=3, max_shift=2, **more)
        motions = copies.motions(50, 0)
        for copy, motion in zip(copies.iter_copies(images, motions), motions, strict=True):
            mass = copy.sum(axis=(1, 2)) / image.sum()
            assert np.allclose(mass, np.exp(motion[:, 3:].sum(axis=1)), rtol=0.01)
            assert copy.min() >= 0 and copy.max() <= 1


def test_copies_are_the_same_bits_in_whichever_chunks_they_are_made():
    copies = Copies(shifts=2, max_shift=1, degrees=20, scale=0.1, flip=True)
    motions = copies.motions(len(X), 0)
    whole = list(copies.iter_copies(X, motions))
    parts = [
        list(copies.iter_copies(X[start : start + 7], motions[:, start : start + 7]))
        for start in range(0, len(X), 7)
    ]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(one, np.concatenate(several))


def test_constant_bytes_stay_what_they_are_inside():
    images = np.full((40, 12, 12), 255, np.uint8)
    copies = Copies(shifts=1, max_shift=1, degrees=20, scale=0.1)
    moved = next(copies.iter_copies(images, copies.motions(40, 0)))
    assert (moved[:, 5:7, 5:7] == 255).all() and (moved < 255).any()


@pytest.mark.parametrize("size", [None, 11])
@pytest.mark.parametrize("alpha", [4.0, [0.4, 40.0]])
@pytest.mark.parametrize("more", [{}, {"degrees": 15, "scale": 0.1}])
def test_a_model_with_copies_is_fitted_on_all_of_them(size, alpha, more, mapped):
    augment = {"shifts": 2, "max_shift": 1, "flip": True, "seed": 3, **more}
    copies = Copies(**augment)
    every = np.concatenate([X, *copies.iter_copies(X, copies.motions(len(X), 0))])
    features = Reservoir(CONFIG, backend="cpu").transform(every)
    model = classifier(readout=RidgeReadout(alpha), augment=augment, batch_size=size)
    model.fit(X, LABELS, sample_weight=np.linspace(1, 2, 150))
    assert sum(mapped) == 6 * 150 and max(mapped) <= (size or 150)
    apart = RidgeReadout(model.readout_.alpha_)
    apart.fit(features, np.tile(LABELS, 6), sample_weight=np.tile(np.linspace(1, 2, 150), 6))
    assert np.allclose(
        model.decision_function(X), apart.decision_function(features[:150]), atol=1e-3
    )


@pytest.mark.parametrize("size", [None, 11])
def test_no_copy_of_an_image_held_out_is_trained_on_or_scored(size):
    """The alpha is that chosen by hand, and each role comes when `fit_chunks` can take it."""
    augment = {"shifts": 3, "max_shift": 2, "degrees": 5, "flip": False, "seed": 3}
    copies = Copies(**augment)
    noisy = np.where(RNG.random(150) < 0.4, RNG.integers(0, 3, 150), LABELS)
    held = stream.held_out_mask(150)
    assert 20 <= held.sum() <= 30
    sets = [X, *copies.iter_copies(X, copies.motions(150, 0))]
    F = [Reservoir(CONFIG, backend="cpu").transform(one) for one in sets]
    alphas = [1e-3, 1.0, 30.0, 1000.0, 1e5]
    train = np.concatenate([one[~held] for one in F]).astype(np.float64)
    scores = []
    for alpha in alphas:
        apart = RidgeReadout(alpha, task="classification").fit(train, np.tile(noisy[~held], 4))
        scores.append(apart.score(F[0][held], noisy[held]))
    best = max(zip(scores, alphas, strict=True))
    model = classifier(readout=RidgeReadout(alphas), augment=augment, batch_size=size)
    model.fit(X, noisy)
    assert (model.readout_.best_score_, model.readout_.alpha_) == best
    data = stream.TrainingSet(model.reservoirs_, X, noisy, None, 11, copies, held_out=held)
    roles = np.concatenate([chunk[3] for chunk in data.chunks()])
    assert np.array_equal(np.bincount(roles), [4 * (~held).sum(), held.sum(), 3 * held.sum()])
    first_late = int(np.argmax(roles == 2))
    assert (roles[first_late:] == 2).all()


@pytest.mark.parametrize(
    ("augment", "error", "message"),
    [
        ([4], TypeError, "mapping"),
        ({"rotate": 3}, ValueError, "unknown"),
        ({"shifts": -1}, ValueError, "shifts"),
        ({"shifts": 1.5}, ValueError, "shifts"),
        ({"shifts": 10**6}, ValueError, "shifts must be at most 1000"),
        ({"shifts": 1, "max_shift": 10**12}, ValueError, "max_shift must be at most 32768"),
        (
            {"shifts": 1, "max_shift": 99, "average": True},
            ValueError,
            "got 39601: make max_shift smaller",
        ),
        ({"shifts": 1, "degrees": 10**400}, ValueError, "degrees must be finite"),
        ({"shifts": 1, "max_shift": 0}, ValueError, "at least 1"),
        ({"flip": "yes"}, TypeError, "flip"),
        ({"seed": None}, ValueError, "seed"),
        ({"shifts": 1, "degrees": "10"}, TypeError, "degrees must be a number, got '10'"),
        ({"shifts": 1, "degrees": True}, TypeError, "degrees"),
        ({"shifts": 1, "degrees": None}, TypeError, "degrees"),
        ({"shifts": 1, "degrees": (-10, 10)}, TypeError, "degrees"),
        ({"shifts": 1, "degrees": -1}, ValueError, "degrees must be at least 0, got -1"),
        ({"shifts": 1, "degrees": 180}, ValueError, "below 180"),
        ({"shifts": 1, "degrees": math.nan}, ValueError, "degrees"),
        ({"shifts": 1, "scale": [0.9, 1.1]}, TypeError, "scale must be a number"),
        ({"shifts": 1, "scale": np.True_}, TypeError, "scale"),
        ({"shifts": 1, "scale": -0.1}, ValueError, "scale must be at least 0, got -0.1"),
        ({"shifts": 1, "scale": 1.0}, ValueError, "scale"),
        ({"shifts": 1, "scale": math.inf}, ValueError, "scale"),
        ({"degrees": 10}, ValueError, "add shifts"),
        ({"flip": True, "scale": 0.1}, ValueError, "add shifts"),
        (
            {"shifts": 1, "max_shift": 0, "scale": 0.1, "average": True},
            ValueError,
            "add flip or shifts",
        ),
        ({"flip": True, "average": 1}, TypeError, "average"),
        ({"average": True}, ValueError, "add flip or shifts"),
    ],
)
def test_bad_copies_are_refused(augment, error, message):
    with pytest.raises(error, match=message):
        classifier(augment=augment)


@pytest.mark.parametrize("labels", [LABELS, LABELS > 0], ids=["three classes", "two"])
@pytest.mark.parametrize("readout", [RidgeReadout(4.0), LogisticReadout()])
def test_a_decision_is_the_mean_over_image_and_mirror_image(labels, readout):
    mirrored = X.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
    options = {"readout": readout, "augment": {"flip": True}}
    alone = classifier(RANDOM, **options).fit(X, labels)
    model = clone(alone).set_params(augment={"flip": True, "average": True}).fit(X, labels)
    both = [alone.decision_function(images) for images in (X, mirrored)]
    assert np.allclose(model.decision_function(X), np.mean(both, axis=0), atol=1e-5)
    assert np.allclose(model.decision_function(mirrored), model.decision_function(X), atol=1e-5)
    columns = np.column_stack([-both[0] - both[1], both[0] + both[1]])
    best = (columns if labels is not LABELS else both[0] + both[1]).argmax(axis=1)
    assert np.array_equal(model.predict(X), model.classes_[best])
    assert not np.allclose(model.decision_function(X), both[0], atol=1e-3)
    if hasattr(model, "predict_proba"):
        assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


AUGMENT = {"shifts": 2, "max_shift": 1, "flip": True, "seed": 3}


@pytest.mark.parametrize("y", [VALUES, X[:, :2]], ids=["one value", "two"])
@pytest.mark.parametrize("readout", [RidgeReadout(4.0), Ridge(4.0)])
def test_a_regressor_is_trained_on_copies_which_keep_their_values(y, readout):
    copies = Copies(**AUGMENT)
    every = np.concatenate([X, *copies.iter_copies(X, copies.motions(len(X), 0))])
    features = Reservoir(CONFIG, backend="cpu").transform(every)
    weight = np.linspace(1, 2, 150)
    expected = Ridge(4.0).fit(features, np.concatenate([y] * 6), np.tile(weight, 6))
    model = regressor(readout=readout, augment=AUGMENT, batch_size=40).fit(X, y, weight)
    assert np.allclose(model.predict(X), expected.predict(features[:150]), atol=1e-3)
    if isinstance(readout, RidgeReadout):
        parts = regressor(readout=readout, augment=AUGMENT)
        for rows in (slice(0, 90), slice(90, 150)):
            parts.partial_fit(X[rows], y[rows], weight[rows])
        assert np.allclose(parts.predict(X), model.predict(X), atol=1e-4)


@pytest.mark.parametrize("readout", [None, RidgeReadout(4.0), KNeighborsRegressor()])
def test_a_regressor_predicts_the_mean_over_all_views(readout, tmp_path):
    alone = regressor(RANDOM, readout, augment=AUGMENT).fit(X, VALUES)
    average = {**AUGMENT, "average": True}
    model = clone(alone).set_params(augment=average).fit(X, VALUES)
    views = list(Copies(**average).views(X))
    assert len(views) == 18
    expected = np.mean([alone.predict(view) for view in views], axis=0)
    assert np.allclose(model.predict(X), expected, atol=1e-5)
    assert not np.allclose(model.predict(X), alone.predict(X), atol=1e-3)
    assert model.score(X, VALUES) == pytest.approx(r2_score(VALUES, expected), abs=1e-4)


def test_views_of_shifted_copies_are_all_that_an_image_is_when_moved():
    images = X[:3].reshape(3, 8, 8)
    views = list(Copies(shifts=1, max_shift=1, flip=True, average=True).views(images))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    expected = {
        moved[:, :, ::way].tobytes()
        for y in range(3)
        for x in range(3)
        for moved in [padded[:, y : y + 8, x : x + 8]]
        for way in (1, -1)
    }
    assert np.array_equal(views[0], images)
    assert len(views) == 18 and {view.tobytes() for view in views} == expected


def test_no_view_is_turned_or_stretched():
    options = {"shifts": 3, "max_shift": 1, "average": True}
    plain, turned = (
        list(Copies(**options, **more).views(X[:5])) for more in ({}, {"degrees": 20, "scale": 0.1})
    )
    assert len(plain) == 9 and np.array_equal(plain, turned)
    still = Copies(shifts=2, max_shift=0, degrees=20, flip=True, average=True)
    assert len(list(still.views(X[:5]))) == 2


def test_a_mean_decision_needs_a_readout_that_has_one():
    with pytest.raises(ValueError, match="decision_function, which KNeighborsClassifier lacks"):
        classifier(readout=KNeighborsClassifier(), augment={"flip": True, "average": True})
    model = classifier(augment={"flip": True, "average": True}).fit(X, np.zeros(150, int))
    assert not model.predict(X).any()  # one class


def test_copies_need_images_and_a_hold_out():
    with pytest.raises(ValueError, match="5 columns"):
        classifier(OTHER, augment={"flip": True}).fit(X[:, :5], LABELS)
    readout = RidgeReadout([1, 2], selection="loo")
    with pytest.raises(ValueError, match="selection must be 'holdout' where augment makes copies"):
        classifier(readout=readout, augment={"flip": True}).fit(X, LABELS)


# -- scikit-learn's ways -------------------------------------------------------------------------


def test_nested_parameters_clone_pickle_pipeline_and_grid_search():
    pipeline = Pipeline([("scale", MinMaxScaler()), ("model", classifier(readout=RidgeReadout()))])
    grid = {"model__config__steps": [2, 3], "model__readout__alpha": [0.1, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, LABELS)
    best = search.best_estimator_["model"]
    assert [*search.best_params_.values()] == [best.config.steps, best.readout.alpha]
    for copied in (pickle.loads(pickle.dumps(search.best_estimator_)), search.best_estimator_):
        assert np.array_equal(copied.predict(X), search.predict(X))
    assert not hasattr(clone(best), "readout_") and clone(best).config == best.config
    several = clone(classifier([CONFIG, OTHER]))
    assert several.configs == (CONFIG, OTHER) and "config__steps" not in several.get_params()


def test_parameters_are_set_together_or_not_at_all():
    model = classifier(readout=RidgeReadout(3.0))
    model.set_params(config__probe__pool=4, readout__alpha=5.0, batch_size=3)
    assert (model.config.probe.pool, model.readout.alpha, model.batch_size) == (4, 5.0, 3)
    for bad in (
        {"config__steps": -1},
        {"batch_size": 0},
        {"readout__C": 1.0},
        {"config__what": 1},
        {"what": 1},
    ):
        with pytest.raises(ValueError, match=r"at least|batch_size|no such"):
            model.set_params(**{"config__probe__pool": 1, **bad})
        assert (model.config.probe.pool, model.readout.alpha) == (4, 5.0)
    model.set_params(readout=LogisticReadout(), readout__C=2.0)
    assert model.readout.C == 2.0


class Untagged:
    """It has the methods, and is no estimator."""

    fit = predict = None


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"config": {"width": 4}}, TypeError, "ReservoirConfig, got dict"),
        ({"config": []}, ValueError, "at least one"),
        ({"config": [CONFIG, None]}, TypeError, "ReservoirConfig, got NoneType"),
        ({"backend": "gpu"}, ValueError, "unknown backend"),
        ({"exact": "yes"}, TypeError, "exact"),
        ({"device": 0}, ValueError, "device"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, ValueError, "batch_size"),
        ({"readout": "ridge"}, TypeError, "fit and predict"),
        ({"readout": RidgeReadout}, TypeError, "fit and predict"),
        ({"readout": Ridge()}, ValueError, "readout must do classification"),
        ({"readout": Untagged()}, TypeError, "readout must be a scikit-learn estimator"),
        ({"readout": RidgeReadout(task="regression")}, ValueError, "readout must do"),
    ],
)
def test_bad_parameters_are_refused_in_the_constructor(options, error, message):
    with pytest.raises(error, match=message):
        ReservoirClassifier(**{"config": CONFIG, "backend": "cpu", **options})
    with pytest.raises(ValueError, match="readout must do regression"):
        regressor(readout=LogisticReadout())


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_inputs_that_are_not_finite_are_named_before_anything_is_computed(bad, mapped):
    inputs = X.astype(np.float64)
    inputs[100, 3] = bad
    fitted = classifier().fit(X, LABELS)
    mapped.clear()
    for call in (
        lambda: classifier(batch_size=10).fit(inputs, LABELS),
        lambda: regressor().fit(inputs, VALUES),
        lambda: fitted.predict(inputs),
        lambda: fitted.score(inputs, LABELS),
    ):
        with pytest.raises(ValueError, match=r"X contains NaN|X contains infinity"):
            call()
    assert not mapped


def test_targets_that_do_not_fit_are_refused(mapped):
    with pytest.raises(ValueError, match="inconsistent"):
        classifier().fit(X, LABELS[:-1])
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X, VALUES)
    with pytest.raises(ValueError, match="y contains NaN"):
        regressor().fit(X, np.where(VALUES > 1, math.nan, VALUES))
    with pytest.raises(ValueError, match="0 sample"):
        classifier().fit(X[:0], LABELS[:0])
    with pytest.raises(ValueError, match="1d array"):
        classifier().fit(X, np.stack([LABELS, LABELS], axis=1))
    assert not mapped


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = classifier().fit(X, LABELS)
    before = model.decision_function(X)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X * 2, LABELS[:-1])
    with pytest.raises(ValueError, match="5 columns"):
        model.fit(X[:, :5], LABELS)
    assert np.array_equal(model.decision_function(X), before)


def test_unseen_classes_count_as_wrong_and_lengths_are_compared():
    model = classifier().fit(X, LABELS)
    other = np.where(LABELS == 2, 9, LABELS)
    expected = np.mean((model.predict(X) == LABELS) & (LABELS != 2))
    assert model.score(X, other) == pytest.approx(expected)
    with pytest.raises(ValueError, match="inconsistent"):
        model.score(X, LABELS[:-1])


@pytest.mark.parametrize("method", ["predict", "score", "decision_function", "save"])
def test_an_unfitted_model_says_so(method, tmp_path):
    arguments = {"score": (X, LABELS), "save": (tmp_path / "model.npz",)}.get(method, (X,))
    for error in (NotFittedError, RuntimeError):
        with pytest.raises(error, match=r"call fit\(X, y\)"):
            getattr(classifier(), method)(*arguments)


def test_constant_features_few_samples_and_single_classes():
    tiled = ReservoirConfig(8, 8, 4, 0, input_encoding="tile")  # three of four channels are 0
    assert classifier(tiled).fit(X, LABELS).score(X, LABELS) > 0.8
    wide = CONFIG.with_params(members=5, rule_params={"c": {"uniform": [0.2, 0.7]}}, probe__pool=4)
    assert classifier(wide, batch_size=16).fit(X, LABELS).score(X, LABELS) > 0.9  # D = 1280
    constant = classifier().fit(np.zeros_like(X), LABELS)
    assert set(constant.predict(X * 0)) == {np.bincount(LABELS).argmax()}
    single = classifier(batch_size=64).fit(X, np.full(150, "cat"))
    assert (single.predict(X) == "cat").all() and list(single.classes_) == ["cat"]


@pytest.mark.parametrize("y", [LABELS > 0, np.array(["a", "b", "c"])[LABELS], LABELS * 1.0])
def test_labels_keep_their_type(y):
    model = classifier().fit(X, y)
    assert model.predict(X).dtype == y.dtype and list(model.classes_) == sorted(set(y))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.7


def test_a_bar_is_shown_to_people_when_it_takes_long(monkeypatch, capsys):
    classifier().fit(X, LABELS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(training, "PROGRESS_DELAY_S", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    classifier(batch_size=50, augment={"flip": True}).fit(X, LABELS)
    assert "300/300" in capsys.readouterr().err
