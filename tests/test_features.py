"""Encoders and probes against their definitions: from inputs to features."""

import math

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from pixelflow import (
    Probe,
    Reservoir,
    ReservoirConfig,
)


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
