"""The encoders of images against plain loops: shifts, random, whiten and patches."""

import math
import os
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends.numba import run
from pixelflow.core.boundaries import BOUNDARIES

PAD = {"periodic": "wrap", "reflect": "symmetric", "zero": "constant"}
BACKENDS = tuple(os.environ.get("PIXELFLOW_TEST_BACKENDS", "cpu,numba,moderngl,cuda").split(","))
OTHERS = tuple(name for name in BACKENDS if name != "cpu")  # cpu's is compared with plain loops
LEARNING = ("whiten", "patches")


def reservoir(encoding, options=None, backend="cpu", height=6, width=7, **fields):
    """Of no step: its features are the textures as encoded, each member's."""
    fields = {"rule": "wave", "members": 2, "steps": 0, "probe": Probe(), **fields}
    config = ReservoirConfig(
        width, height, input_encoding=encoding, encoder_params=options or {}, **fields
    )
    return Reservoir(config, backend=backend)


def encoded(made, X):
    c = made.config
    return made.transform(X).reshape(len(X), c.members, c.height, c.width, c.channels)


def shown(X, height=6, width=7):
    """What the cells show of images (N, h, w[, 3]): float32 (N, H, W, depth), by plain loops."""
    X = X * np.float32(1 / 255) if X.dtype == np.uint8 else np.asarray(X, np.float32)
    X = X[..., None] if X.ndim == 3 else X
    _, rows, columns, depth = X.shape
    out = np.zeros((len(X), height, width, depth), np.float32)
    top, left = max(0, (height - rows) // 2), max(0, (width - columns) // 2)
    for y in range(min(rows, height)):
        for x in range(min(columns, width)):
            source = (
                y * rows // height if rows > height else y,
                x * columns // width if columns > width else x,
            )
            out[:, top + y, left + x] = X[:, source[0], source[1]]
    return out


def seen_by_cells(images, k, boundary):
    """Windows (N, H, W, k * k * depth) around each cell; even ones reach further right and down."""
    before, after = (k - 1) // 2, k // 2
    _, height, width, _ = images.shape
    ends = ((0, 0), (before, after), (before, after), (0, 0))
    padded = np.pad(images, ends, mode=PAD[boundary])
    parts = [padded[:, y : y + height, x : x + width] for y in range(k) for x in range(k)]
    return np.concatenate(parts, axis=3)


def of_unit_contrast(windows, contrast):
    centred = windows - windows.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + contrast**2)


def images(kind):
    rng = np.random.default_rng(5)
    return {
        "grey": rng.random((4, 6, 7), dtype=np.float32),
        "small": rng.random((4, 3, 4), dtype=np.float32),
        "large": rng.random((4, 13, 9), dtype=np.float32),
        "rgb": rng.random((4, 6, 7, 3), dtype=np.float32),
        "bytes": rng.integers(0, 256, (4, 9, 5), dtype=np.uint8),
        "rgb bytes": rng.integers(0, 256, (4, 9, 5, 3), dtype=np.uint8),
    }[kind]


KINDS = ("grey", "small", "large", "rgb", "bytes", "rgb bytes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_shifts_are_moved_scaled_copies(boundary, kind):
    """Every channel is one of the few images that it may be: found by trying all offsets."""
    X = images(kind)
    options = {"reach": 2, "scale": [[0.5, 0.5], [-1.0, -0.25], [0.25, 1.0]], "offset": [0.0, 0.5]}
    made = reservoir("shifts", options, boundary=boundary, channels=5)
    got, plain = encoded(made, X), shown(X)
    depth = plain.shape[3]
    padded = np.pad(plain, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=PAD[boundary])
    offsets, scales = (0.0, 0.5, 0.5, 0.5, 0.5), ((0.5, 0.5), (-1.0, -0.25), *[(0.25, 1.0)] * 3)
    for m in range(2):
        for c in range(5):
            moved = [
                padded[:, 2 - dy : 8 - dy, 2 - dx : 9 - dx, colour]
                for dy in (range(-2, 3) if c >= depth else (0,))
                for dx in (range(-2, 3) if c >= depth else (0,))
                for colour in (range(depth) if c >= depth else (c,))
            ]
            without = got[:, m, ..., c] - np.float32(offsets[c])
            factors = [(without * i).sum() / max((i * i).sum(), 1e-30) for i in moved]
            errors = [np.abs(without - f * i).max() for f, i in zip(factors, moved, strict=True)]
            best = int(np.argmin(errors))
            assert errors[best] < 1e-6
            assert scales[c][0] - 1e-6 <= factors[best] <= scales[c][1] + 1e-6
    assert not np.array_equal(got[:, 0, ..., 4], got[:, 1, ..., 4])


def test_shifts_without_reach_or_range_are_the_image_itself():
    X = images("grey")
    got = encoded(reservoir("shifts", {"reach": 1, "scale": [[1, 1]], "offset": [0]}), X)
    assert np.array_equal(got[:, :, ..., 0], np.broadcast_to(X[:, None], got.shape[:-1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_random_is_one_linear_map_of_the_window_around_each_cell(boundary, kind):
    """The map is what least squares finds; with the bias it explains every cell."""
    X = images(kind)
    got = encoded(reservoir("random", {"k": 3, "bias": 0.5}, boundary=boundary), X)
    windows = seen_by_cells(shown(X), 3, boundary).reshape(-1, 9 * shown(X).shape[3])
    design = np.column_stack([windows, np.ones(len(windows))]).astype(np.float64)
    for m in range(2):
        target = got[:, m].reshape(-1, 4)
        solution, *_ = np.linalg.lstsq(design, target, rcond=None)
        assert np.abs(design @ solution - target).max() < 1e-5


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    "options",
    [
        {"k": 4},
        {"contrast": 0.2},
        {"scale": 3.0, "squash": "clip"},
        {"threshold": 0.2, "squash": "rectify"},
        {"threshold": 0.1, "squash": "root"},
    ],
)
def test_random_draws_its_kernels_from_seed_and_member(options, boundary):
    """scale N(0, 1)/sqrt(T) from each member's own stream, then as the definition says."""
    X = images("rgb")
    full = {"k": 5, "scale": 1.0, "contrast": 0.0, "bias": 0.3, "threshold": 0.0, **options}
    squash = options.get("squash", "none")
    made = reservoir("random", {"bias": 0.3, **options}, boundary=boundary, seed=4)
    got = encoded(made, X)
    windows = seen_by_cells(shown(X), full["k"], boundary).astype(np.float64)
    if full["contrast"]:
        windows = of_unit_contrast(windows, full["contrast"])
    taps = windows.shape[-1]
    for m in range(2):
        rng = made.config.generator("encoder", m)
        kernel = rng.standard_normal((4, taps)) * full["scale"] / np.sqrt(taps)
        expected = windows @ kernel.T + rng.standard_normal(4) * 0.3 - full["threshold"]
        assert squash == "none" or (np.abs(expected) > 1).any() or (expected < 0).any()
        low, high = {"none": (-np.inf, np.inf), "clip": (-1, 1)}.get(squash, (0, np.inf))
        power = 2 if squash == "root" else 1  # a root near 0 magnifies what was rounded before
        assert np.abs(got[:, m] ** power - np.clip(expected, low, high)).max() < 1e-5


@pytest.mark.parametrize("contrast", [0.0, 0.1])
def test_whitened_windows_have_unit_covariance_and_zero_mean(contrast):
    """Of the whole of what it was fitted on: directions of unit length see unit variance."""
    rng = np.random.default_rng(0)
    smooth = rng.random((300, 12, 12)).cumsum(axis=1).cumsum(axis=2)
    X = (smooth / smooth.max()).astype(np.float32)
    options = {"k": 3, "epsilon": 1e-9, "contrast": contrast, "samples": 40_000}
    made = reservoir("whiten", options, height=12, width=12, members=8).fit(X)
    inside = encoded(made, X)[:, :, 1:-1, 1:-1]
    deviations, means = inside.std(axis=(0, 2, 3)), inside.mean(axis=(0, 2, 3))
    if contrast:  # windows without their mean have one direction less, in which nothing varies
        assert (deviations < 1.05).all() and (deviations > 0.3).all()
    else:
        assert np.abs(deviations - 1).max() < 0.05
    assert np.abs(means).max() < 0.05


@pytest.mark.parametrize("kind", ["grey", "rgb", "bytes"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("encoding", LEARNING)
def test_learned_maps_are_whitened_directions_of_the_windows(encoding, boundary, kind):
    """scale d W (w - mean): W is ZCA and, for patches, d are windows; all by plain loops."""
    X = images(kind)
    k, count = 3, 500
    options = {"k": k, "samples": count, "scale": 2.0, "epsilon": 0.3, "contrast": 0.2}
    made = reservoir(encoding, options, boundary=boundary).fit(X)
    pixels = (X * np.float32(1 / 255) if X.dtype == np.uint8 else X).astype(np.float64)
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]

    def drawn(rng, n):
        i = rng.integers(len(pixels), size=n)
        top = rng.integers(pixels.shape[1] - k + 1, size=n)
        left = rng.integers(pixels.shape[2] - k + 1, size=n)
        places = zip(i, top, left, strict=True)
        return np.array([pixels[i, y : y + k, x : x + k].ravel() for i, y, x in places])

    windows = of_unit_contrast(drawn(made.config.generator("windows", 0), count), 0.2)
    values, vectors = np.linalg.eigh(np.cov(windows.T))
    whitening = vectors @ np.diag((np.maximum(values, 0) + 0.3) ** -0.5) @ vectors.T
    mean = windows.mean(axis=0)
    seen = of_unit_contrast(seen_by_cells(shown(X), k, boundary).astype(np.float64), 0.2)
    for m in range(2):
        rng = made.config.generator("encoder", m)
        if encoding == "whiten":
            directions = rng.standard_normal((4, len(mean)))
        else:
            directions = (of_unit_contrast(drawn(rng, 4), 0.2) - mean) @ whitening
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        expected = 2 * (seen - mean) @ whitening @ directions.T
        got = encoded(made, X)[:, m]
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("encoding", LEARNING)
def test_encoders_that_learn_need_fit_and_keep_what_they_learned(encoding):
    X = images("grey")
    made = reservoir(encoding, {"k": 2, "samples": 50})
    with pytest.raises(NotFittedError):
        made.transform(X)
    expected = made.fit(X).transform(X)
    assert np.array_equal(pickle.loads(pickle.dumps(made)).transform(X), expected)
    assert np.array_equal(made.fit(X).transform(X), expected)
    assert np.array_equal(made.transform(X[1:3]), expected[1:3])
    copied = clone(made)
    assert copied.config == made.config and copied.get_params()["config__encoder_params"] == {
        "k": 2,
        "samples": 50,
    }
    with pytest.raises(NotFittedError):
        copied.transform(X)
    assert not np.array_equal(copied.fit(X[:2]).transform(X), expected)
    with pytest.raises(ValueError, match="20 x 20 don't fit images 6 x 7"):
        reservoir(encoding, {"k": 20}).fit(X)
    with pytest.raises(ValueError, match="5 columns"):
        reservoir(encoding).fit(np.zeros((2, 5)))


@pytest.mark.parametrize("encoding", ["shifts", "random", *LEARNING])
def test_a_member_encodes_the_same_whatever_their_number(encoding):
    X = images("rgb")
    options = {} if encoding == "shifts" else {"k": 3}
    few, many = (encoded(reservoir(encoding, options, members=m).fit(X), X) for m in (2, 3))
    assert np.abs(few - many[:, :2]).max() <= 1e-6
    assert not np.array_equal(many[:, 0], many[:, 2])
    other = encoded(reservoir(encoding, options, seed=1).fit(X), X)
    assert not np.array_equal(few, other)


@pytest.mark.parametrize("backend", OTHERS, indirect=True)
@pytest.mark.parametrize("kind", ["small", "rgb bytes"])
@pytest.mark.parametrize("encoding", ["shifts", "random", *LEARNING])
def test_every_backend_encodes_the_same(encoding, kind, backend):
    """Shifts to the bit, after steps too; sums of products to their rounding."""
    X = np.concatenate([images(kind)] * 30)
    squash = {"random": "root", "whiten": "rectify"}.get(encoding, "clip")
    options = {} if encoding == "shifts" else {"k": 3, "contrast": 0.1, "squash": squash}
    probe = Probe(snapshots=(0, 2), rectify=True, threshold=0.1, pool=3)
    for fields in ({"channels": 4}, {"channels": 3}, {"steps": 2, "probe": probe}):
        expected, got = (
            reservoir(encoding, options, name, **fields).fit(X).transform(X)
            for name in ("cpu", backend)
        )
        if encoding == "shifts" and "probe" not in fields:
            assert np.array_equal(got, expected)
        near = 1e-3 if squash == "root" else 1e-5  # a root magnifies what was rounded near 0
        assert np.abs(got - expected).max() <= near * np.abs(expected).max()


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("contrast", [0, 0.2])
def test_threads_of_numba_begin_and_end_anywhere(contrast, threads, n, monkeypatch):
    """A block of textures may begin between an image's members, and go on with other images."""
    monkeypatch.setattr(run, "n_threads", lambda: threads)
    X = np.random.default_rng(0).random((n, 6, 7), dtype=np.float32)
    expected, got = (
        reservoir("random", {"k": 3, "contrast": contrast}, name, members=5).fit(X).transform(X)
        for name in ("cpu", "numba")
    )
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("backend", ["cpu", "numba"])
@pytest.mark.parametrize("encoding", ["shifts", "random"])
def test_no_images_and_images_as_columns(encoding, backend):
    made = reservoir(encoding, backend=backend)
    assert made.transform(np.zeros((0, 36))).shape == (0, made.feature_dim)
    square = np.random.default_rng(0).random((3, 5, 5, 3), dtype=np.float32)
    assert np.array_equal(made.transform(square), made.transform(square.reshape(3, 75)))


BAD = [
    ("shifts", {"k": 3}, ValueError, "unknown ['k']; shifts knows"),
    ("shifts", {"reach": 0}, ValueError, "at least 1"),
    ("shifts", {"reach": 1.5}, TypeError, "must be an integer"),
    ("shifts", {"reach": True}, TypeError, "must be an integer"),
    ("shifts", {"scale": 1.0}, TypeError, "numbers in 2 axes"),
    ("shifts", {"scale": [[1.0, 0.0]]}, ValueError, "low <= high"),
    ("shifts", {"scale": [[1.0, 2.0, 3.0]]}, ValueError, "(low, high) pairs"),
    ("shifts", {"scale": [[1.0], [1.0, 2.0]]}, TypeError, "a number or numbers"),
    ("shifts", {"scale": [[0.0, math.inf]]}, ValueError, "finite"),
    ("shifts", {"offset": 0.5}, TypeError, "numbers in 1 axes"),
    ("shifts", {"offset": []}, ValueError, "numbers, one for each channel"),
    ("shifts", {"offset": ["x"]}, TypeError, "a number or numbers"),
    ("random", {"reach": 3}, ValueError, "unknown ['reach']; random knows"),
    ("random", {"epsilon": 0.1}, ValueError, "unknown ['epsilon']"),
    ("random", {"k": 0}, ValueError, "at least 1"),
    ("random", {"k": "5"}, TypeError, "must be an integer"),
    ("random", {"scale": [1.0]}, TypeError, "a number"),
    ("random", {"scale": math.nan}, ValueError, "finite"),
    ("random", {"bias": -1.0}, ValueError, "must be at least 0, got -1.0"),
    ("random", {"contrast": -0.1}, ValueError, "must be at least 0, got -0.1"),
    ("random", {"squash": "tanh"}, ValueError, "known are ['clip', 'none', 'rectify', 'root']"),
    ("random", {"squash": 1}, ValueError, "known are ['clip', 'none', 'rectify', 'root']"),
    ("whiten", {"samples": 1}, ValueError, "at least 2"),
    ("whiten", {"epsilon": 0}, ValueError, "must be above 0, got 0"),
    ("whiten", {"bias": 0.1}, ValueError, "unknown ['bias']"),
    ("patches", {"epsilon": -0.1}, ValueError, "must be at least 0, got -0.1"),
    ("patches", {"epsilon": "small"}, TypeError, "a number"),
    ("image", {"k": 3}, ValueError, "unknown ['k']; image knows []"),
    ("random", [("k", 3)], TypeError, "must be a mapping"),
]


@pytest.mark.parametrize(("encoding", "options", "error", "message"), BAD)
def test_bad_options_are_refused(encoding, options, error, message):
    with pytest.raises(error) as raised:
        ReservoirConfig(input_encoding=encoding, encoder_params=options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("shifts", {"reach": 2, "scale": [[1, 1], [-1, 0.5]], "offset": [0, 1]}),
        ("random", {"k": np.int64(3), "bias": np.float32(0.5), "squash": "clip"}),
        ("whiten", {"k": 4, "epsilon": 0.01, "samples": 1000}),
        ("patches", {"contrast": 0.5, "scale": 2}),
    ],
)
def test_options_are_part_of_the_config(encoding, options):
    config = ReservoirConfig(input_encoding=encoding, encoder_params=options)
    again = ReservoirConfig.from_json(config.to_json())
    assert again == config and hash(again) == hash(config)
    assert pickle.loads(pickle.dumps(config)) == config
    assert config != ReservoirConfig(input_encoding=encoding)
    assert set(config.encoder_options) >= set(config.encoder_params) == set(options)
    with pytest.raises(TypeError, match="frozen"):
        config.encoder_params["k"] = 7
