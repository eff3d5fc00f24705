"""Figures of banks: what they show is what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from pixelflow import Probe, Reservoir, ReservoirConfig, plotting
from pixelflow.plotting.banks import families
from pixelflow.plotting.textures import trajectories

CONFIG = ReservoirConfig(
    width=8,
    height=6,
    steps=3,
    rule="coupled",
    rule_params={"k": 3, "gain": [0.9, 1.1, 1.3]},
    input_encoding="random",
    members=3,
    probe=Probe(snapshots=(1, 3), rectify=True, pool=2),
)
X = np.random.default_rng(0).random((40, 36), dtype=np.float32)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_textures_of_every_member_are_those_it_evolves_through():
    found = trajectories(CONFIG, X[0], (0, 1, 3))
    assert found.shape == (3, 3, 6, 8, 4)
    start = found[:, 0]
    for i, steps in ((1, 1), (2, 3)):
        assert np.array_equal(Reservoir(CONFIG).evolve(start[None], steps=steps)[0], found[:, i])
    assert len({member.tobytes() for member in start}) == 3


def test_an_encoder_that_learns_does_so_of_the_training_inputs():
    patches = CONFIG.with_params(input_encoding="patches", encoder_params={"k": 3})
    with pytest.raises(NotFittedError):
        trajectories(patches, X[0], (0, 1))
    one, other = (trajectories(patches, X[0], (0, 1), fit) for fit in (X[:20], X[20:]))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, trajectories(patches, X[0], (0, 1), X[:20]))


def test_a_row_for_two_channels_of_each_member_shown():
    figure = plotting.bank_evolution(CONFIG, X[0], (0, 1, 2, 3), members=2)
    assert len(figure.axes) == 4 * 4
    shown = trajectories(CONFIG, X[0], (0, 1, 2, 3))
    for axis, image in zip(figure.axes[4:8], shown[0, ..., 1], strict=True):
        assert np.array_equal(axis.images[0].get_array(), image)
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == ["1, R", "1, G", "2, R", "2, G"]


def bank(members, tier="random", steps=1, **more):
    reservoirs = [{"members": members, "steps": steps}, {"members": 2, "rule": "wave"}]
    plain = {"tier": tier, "augment": None, "images": "grey", "n_train": None, "seeds": [0]}
    return {**plain, "reservoirs": reservoirs, **more}


def test_a_line_joins_banks_that_differ_in_members_only():
    banks = {
        "coupled_5x5_64": bank(64, against=["deep"], seeds=[0, 1]),
        "deep": bank(8, steps=4),
        "coupled_5x5_8": bank(8),
        "patches_8": bank(8, tier="data patches"),
        "flips": bank(8, augment={"flip": True}),
        "a": bank(8, images="rgb"),
        "b": bank(4, images="rgb"),
    }
    assert families(banks) == {
        "coupled 5x5 (random)": ["coupled_5x5_64", "coupled_5x5_8"],
        "deep (random)": ["deep"],
        "patches 8 (data patches)": ["patches_8"],
        "flips (random)": ["flips"],
        "a (random)": ["a", "b"],
    }


def test_families_of_one_label_are_told_apart():
    banks = {"x_1": bank(1), "x_2": bank(2), "x_3": bank(1, steps=2), "x_4": bank(2, steps=2)}
    assert list(families(banks)) == ["x (random)", "x (random), x_3"]


def test_where_accuracies_stand():
    banks = {"big": bank(8), "small": bank(4)}
    rows, summary = [], {}
    found = {"small": (100, 0.8, 3.0), "big": (200, 0.9, 5.0), "big_zero_steps": (200, 0.85, 1.0)}
    grey = {"raw_ridge": (64, 0.7, 0.5), "fourier_200": (200, 0.6, 1.0)}
    grey |= {"random_features_as_wave": (90, 0.5, 1.0), "scattering": (80, 0.65, 2.0)}
    for name, (size, accuracy, seconds) in {**found, **grey}.items():
        rows += [{"model": name, "D": size, "fit_s": seconds + d} for d in (-0.25, 0.25)]
        summary[name] = {"mean_accuracy": accuracy, "low_accuracy": -1.0, "high_accuracy": 2.0}
    figure = plotting.bank_accuracies({"rows": rows, "summary": summary}, banks)
    left, right = figure.axes
    drawn = [(line.get_xydata().tolist(), line.get_linestyle()) for line in left.lines]
    assert drawn[0] == ([[100, 0.8], [200, 0.9]], "-")
    assert drawn[1] == ([[200, 0.85]], "--") and drawn[2][0] == [[64, 0.7]]
    assert [points for points, _ in drawn[3:]] == [[[200, 0.6]], [[90, 0.5]], [[80, 0.65]]]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[2:] == ["raw pixels", "random features", "scattering"]
    assert right.lines[0].get_xdata().tolist() == [3, 5]
    bars = [path for bar in left.collections for path in bar.get_segments()]
    assert all(0 < y < 1 for bar in bars for y in bar[:, 1]), "what log-odds can show"


@pytest.mark.parametrize("colour", [False, True])
def test_mistakes_show_the_images_and_their_names(colour):
    images = np.random.default_rng(1).random((9, 48 if colour else 16), dtype=np.float32)
    errors = {"confusion": [[5, 2], [1, 0]], "wrong": [[7, 0, 1], [2, 1, 0], [4, 0, 1]]}
    figure = plotting.mistakes(errors, images, ("cat", "frog"))
    matrix, *pictures = figure.axes
    assert matrix.images[0].get_array().tolist() == [[0, 2], [1, 0]]
    assert sorted(text.get_text() for text in matrix.texts) == ["1", "2", "5"]
    titles = [axis.get_title() for axis in pictures if axis.images]
    assert titles == ["cat\nfrog", "frog\ncat", "cat\nfrog"]
    shape = (4, 4, 3) if colour else (4, 4)
    assert np.array_equal(pictures[0].images[0].get_array(), images[7].reshape(shape))
    digits = plotting.mistakes(errors, images, "01")
    assert digits.axes[1].get_title() == "0 as 1"


def test_nothing_wrong_is_said():
    figure = plotting.mistakes({"confusion": [[5]], "wrong": []}, X, "0")
    assert any(text.get_text() == "none wrong" for sub in figure.subfigs for text in sub.texts)
