"""Figures of banks: what they show is what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from pixelflow import Probe, Reservoir, ReservoirConfig, plotting
from pixelflow.plotting.banks import _ticks, group_by_members
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
    plain |= {"shown": ["figure"]}
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
    assert group_by_members(banks) == {
        "coupled 5x5 (random)": ["coupled_5x5_64", "coupled_5x5_8"],
        "deep (random)": ["deep"],
        "patches 8 (data patches)": ["patches_8"],
        "flips (random)": ["flips"],
        "a (random)": ["a", "b"],
    }


def test_families_of_one_label_are_told_apart():
    banks = {"x_1": bank(1), "x_2": bank(2), "x_3": bank(1, steps=2), "x_4": bank(2, steps=2)}
    assert list(group_by_members(banks)) == ["x (random)", "x (random), x_3"]


def measured(found):
    """Metrics of models given as name: (features, accuracy, seconds)."""
    rows, summary = [], {}
    for name, (size, accuracy, seconds) in found.items():
        rows += [{"model": name, "D": size, "fit_s": seconds + d} for d in (-0.25, 0.25)]
        summary[name] = {"mean_accuracy": accuracy, "low_accuracy": -1.0, "high_accuracy": 2.0}
    return {"rows": rows, "summary": summary}


def lines_of(axis):
    return [(line.get_xydata().tolist(), line.get_linestyle()) for line in axis.lines]


def test_where_accuracies_stand():
    banks = {"big": bank(8), "small": bank(4), "no_pooling": bank(4, steps=9, shown=["table"])}
    found = {"small": (100, 0.8, 3.0), "big": (200, 0.9, 5.0), "big_zero_steps": (200, 0.85, 1.0)}
    found |= {"raw_ridge": (64, 0.7, 0.5), "no_pooling": (100, 0.75, 3.0)}
    figure = plotting.bank_accuracies(measured(found), {"banks": banks})
    left, right = figure.axes
    drawn = lines_of(left)
    assert drawn[0] == ([[200, 0.85]], "--") and drawn[2][0] == [[64, 0.7]]
    assert drawn[1] == ([[100, 0.8], [200, 0.9]], "-")
    assert len(drawn) == 3, "what isn't shown in the figure"
    assert right.lines[1].get_xdata().tolist() == [3, 5]
    bars = [path for bar in left.collections for path in bar.get_segments()]
    assert all(0 < y < 1 for bar in bars for y in bar[:, 1]), "what log-odds can show"


def test_baselines_are_grey_and_those_of_several_sizes_a_line():
    plain = {"augment": None, "images": "grey", "n_train": None, "seeds": [0]}
    sizes = {"fourier_256": 256, "fourier_64": 64, "scattering": 100, "fourier_few": 64}
    baselines = {
        name: {**plain, "features": name.split("_")[0], "options": {"D": D}}
        for name, D in sizes.items()
    }
    baselines["fourier_few"]["n_train"] = 100
    found = {name: (D, 0.5 + D / 1024, 1.0) for name, D in sizes.items()}
    config = {"banks": {"a": bank(1)}, "baselines": baselines}
    figure = plotting.bank_accuracies(measured({"a": (10, 0.9, 1.0), **found}), config)
    (bank_line, *grey), drawn = figure.axes[0].lines, lines_of(figure.axes[0])
    assert drawn[0][0] == [[10, 0.9]]
    assert drawn[1] == ([[64, 0.5625], [256, 0.75]], "-"), "in the order of their size"
    assert [x for x, _ in drawn[2:]] == [[[64, 0.5625]], [[100, 0.59765625]]]
    assert bank_line.get_color() not in {line.get_color() for line in grey}
    assert len({line.get_color() for line in grey}) == 1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a (random)", "random Fourier features", "scattering"]


def test_of_many_lines_those_of_each_tier_have_panels_of_their_own():
    banks = {f"r{t}_{m}": bank(m, steps=t) for t in range(1, 6) for m in (1, 2)}
    banks |= {f"p_{m}": bank(m, "data patches") for m in (1, 2)}
    found = {
        name: (64 * bank["reservoirs"][0]["members"], 0.9, 1.0) for name, bank in banks.items()
    }
    found["raw_ridge"] = (5, 0.5, 1.0)
    figure = plotting.bank_accuracies(measured(found), {"banks": banks})
    assert len(figure.axes) == 4
    assert [len(axis.lines) for axis in figure.axes] == [6, 6, 2, 2], "baselines in each"
    assert [axis.get_title("left") for axis in figure.axes[::2]] == ["random", "data patches"]
    few = plotting.bank_accuracies(measured(found), {"banks": {"r1_1": banks["r1_1"]}})
    assert len(few.axes) == 2


@pytest.mark.parametrize("low", [1e-3, 0.3, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("high", [0.992, 0.996, 0.9995])
def test_accuracies_on_the_axis_do_not_touch(low, high):
    ticks = sorted(_ticks(low, high))
    assert 3 <= len(ticks) <= 15 and low <= ticks[0] and ticks[-1] <= high


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
