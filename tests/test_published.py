"""The rebuilt accuracies: the field's own draws and features, and what an affine map is."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from pixelflow import Reservoir, ReservoirConfig, stats
from pixelflow.core import rule
from pixelflow.experiments import _companions as companions
from pixelflow.experiments import published
from pixelflow.experiments._scores import Split

pytestmark = pytest.mark.usefixtures("one_thread")
N_TEST = 400


def row(name="wave", **changes):
    entry = {"dataset": "mnist", "subset": 300, "draws": 1, "rule": name, "width": 8, "height": 8}
    entry |= {"steps": 3, "clip": True, "max_iter": 200, "published": None, "against": []}
    return {**entry, **changes}


def numbered(n=5000):
    """Samples that are their own numbers, of ten classes of unequal size, as a loader has them."""
    y = np.random.default_rng(9).choice(10, n, p=np.arange(1, 11) / 55)
    y[:300] = np.arange(300) % 10
    X = np.arange(n, dtype=np.float32)[:, None]
    return X, y, X[:7], y[:7]


@pytest.fixture
def digits(monkeypatch):
    """Scikit-learn's digits in place of MNIST and CIFAR-10."""
    found = load_digits()
    X, y = (found.data / 16).astype(np.float32), found.target
    split = X[:-N_TEST], y[:-N_TEST], X[-N_TEST:], y[-N_TEST:]
    for name, (_, draw) in published._PROTOCOLS.items():
        monkeypatch.setitem(published._PROTOCOLS, name, (lambda: split, draw))
    monkeypatch.setattr(companions, "PAIRS", N_TEST // 2)
    return split


@pytest.fixture
def images():
    """Sparse strokes at full ink, where a wave overshoots."""
    return (np.random.default_rng(1).random((60, 784)) < 0.2).astype(np.float32)


# -- which images are trained on ---------------------------------------------------------------


def drawn(monkeypatch, dataset, **changes):
    """The seeds, and the numbers and labels of the training samples of each draw."""
    source = (numbered, published._PROTOCOLS[dataset][1])
    monkeypatch.setitem(published._PROTOCOLS, dataset, source)
    draws = list(published._draws(row(dataset=dataset, **changes), Split(*numbered())))
    for _, split in draws:
        assert np.array_equal(numbered()[1][split.X_train[:, 0].astype(int)], split.y_train)
        assert np.array_equal(split.X_test, numbered()[2])
        assert np.array_equal(split.y_test, numbered()[3])
    return [(seed, split.X_train[:, 0]) for seed, split in draws]


def test_mnist_is_drawn_as_scikit_learn_splits_images_and_labels(monkeypatch):
    X, y, *_ = numbered()
    found = drawn(monkeypatch, "mnist", subset=300, draws=3)
    assert [seed for seed, _ in found] == [0, 1, 2]
    for seed, numbers in found:
        images, *_ = train_test_split(X, y, train_size=300, stratify=y, random_state=seed)
        assert np.array_equal(numbers, images[:, 0])


def test_cifar10_is_drawn_class_by_class_by_numpys_generator(monkeypatch):
    """The same images; the field then shuffles them, which a sum over images doesn't see."""
    _, y, *_ = numbered()
    for seed, numbers in drawn(monkeypatch, "cifar10", subset=300, draws=3):
        rng = np.random.default_rng(seed)
        expected = []
        for label in range(10):
            (of_class,) = np.where(y == label)
            expected += rng.choice(of_class, size=30, replace=False).tolist()
        assert sorted(numbers) == sorted(expected) and len(set(expected)) == 300


def test_all_images_are_one_draw(monkeypatch):
    ((seed, numbers),) = drawn(monkeypatch, "mnist", subset=None, draws=5)
    assert seed == 0 and np.array_equal(numbers, np.arange(5000))


# -- what is read ------------------------------------------------------------------------------


def test_a_faint_wave_is_the_wave_without_its_clip(registry, images):
    """Bit for bit, against the same rule written without it."""

    @rule("test_free_wave", channels=("u", "v"), params={"c": 0.5, "damping": 0.999, "dt": 1.0})
    def free(at, p):
        u, v = at(0, 0, "u"), at(0, 0, "v")
        around = at(-1, 0, "u") + at(1, 0, "u") + at(0, -1, "u") + at(0, 1, "u")
        v = (v + p.dt * p.c * p.c * (around - 4 * u)) * p.damping
        return {"u": u + p.dt * v, "v": v}

    size = {"width": 28, "height": 28, "steps": 8}
    unclipped = published._transform(row(clip=False, **size))(images)
    config = ReservoirConfig(rule="test_free_wave", **size)
    expected = Reservoir(config).transform(images).reshape(60, 28, 28, 4)
    assert not expected[..., 2:].any()
    channel_by_channel = expected[..., :2].transpose(0, 3, 1, 2).reshape(60, -1)
    assert np.array_equal(unclipped, channel_by_channel)
    clipped = published._transform(row(**size))(images)
    assert np.abs(clipped - unclipped).max() > 0.1, "these images can't tell"


def test_how_far_a_square_is_from_affine():
    """f(x) = x^2 by hand: (a - b)^2 / 4 in the middle, over (a^2 - b^2) / 2."""
    rng = np.random.default_rng(0)
    X = rng.random((2 * companions.PAIRS, 5))
    a, b = X[: companions.PAIRS], X[companions.PAIRS :]
    expected = np.sqrt(((a - b) ** 4 / 16).mean() / ((a**2 - b**2) ** 2 / 4).mean())
    assert companions.non_affine(np.square, X) == pytest.approx(expected)
    weight = rng.random((5, 5))
    assert companions.non_affine(lambda X: X @ weight + 1, X) < 1e-12
    assert companions.non_affine(np.zeros_like, X) == 0, "a constant is affine"
    five = rng.random((5, 5))  # fewer inputs than it would take: two pairs, one left over
    expected = np.sqrt(
        ((five[:2] - five[2:4]) ** 4 / 16).mean()
        / ((five[:2] ** 2 - five[2:4] ** 2) ** 2 / 4).mean()
    )
    assert companions.non_affine(np.square, five) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "changes", "affine"),
    [
        ("diffusion_reaction", {}, True),  # v is 0 and stays so, u diffuses within [0, 1]
        ("wave", {"clip": False}, True),
        ("wave", {}, False),
        ("life_like", {}, False),
    ],
)
def test_which_reservoirs_are_affine(name, changes, affine, images, monkeypatch):
    monkeypatch.setattr(companions, "PAIRS", 30)
    size = {"width": 28, "height": 28, "steps": 8}
    found = companions.non_affine(published._transform(row(name, **size, **changes)), images)
    assert found < 1e-5 if affine else found > 0.02


# -- the result --------------------------------------------------------------------------------


ROWS = {
    "raw": row(None, draws=3, published=0.9),
    "wave": row(draws=3, published=0.91, against=["raw"]),
    "life": row("life_like", draws=3, against=["raw", "wave"]),
    "short": row("diffusion_reaction", dataset="cifar10", subset=105, max_iter=4, published=0.5),
    "long": row("diffusion_reaction", dataset="cifar10", subset=105, against=["short"]),
}


@pytest.fixture
def metrics(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return published.run({"seed": 0, "rows": ROWS})


def right(entry, seed, digits):
    """Scikit-learn's logistic regression on the whole texture, as the field does it."""
    X, y, X_test, y_test = digits
    X, _, y, _ = train_test_split(X, y, train_size=300, stratify=y, random_state=seed)
    if entry["rule"]:
        reservoir = Reservoir(ReservoirConfig(8, 8, rule=entry["rule"], steps=entry["steps"]))
        X, X_test = reservoir.transform(X), reservoir.transform(X_test)
        assert X.shape[1] == 8 * 8 * 4
    model = LogisticRegression(C=1.0, max_iter=entry["max_iter"]).fit(X, y)
    return model.predict(X_test) == y_test


def test_accuracies_are_those_of_the_whole_texture(metrics, digits):
    """The channels that are left out, always zero, don't change what is learnt."""
    found = {(r["model"], r["seed"]): r for r in metrics["rows"]}
    assert len(found) == len(metrics["rows"]) == 3 * 3 + 2
    for name in ("raw", "wave", "life"):
        for seed in range(3):
            expected = right(ROWS[name], seed, digits).mean()
            assert found[name, seed]["accuracy"] == pytest.approx(expected, abs=1.01 / N_TEST)
            assert found[name, seed]["readout"] == "logistic"
            assert found[name, seed]["n_train"] == 300
    assert found["wave", 0]["D"] == 128 and found["life", 0]["D"] == 64


def test_a_fit_that_was_stopped_short_says_so(metrics):
    found = {r["model"]: r for r in metrics["rows"]}
    assert not found["short"]["converged"] and found["short"]["n_iter"] == 4
    assert found["short"]["n_train"] == 100, "as many of each class"
    assert found["wave"]["converged"] and 4 < found["wave"]["n_iter"] < 200


def test_the_summary_is_of_all_draws_beside_what_was_published(metrics):
    assert metrics["summary"].keys() == ROWS.keys()
    for name, entry in metrics["summary"].items():
        accuracies = [r["accuracy"] for r in metrics["rows"] if r["model"] == name]
        first = next(r for r in metrics["rows"] if r["model"] == name)
        assert (entry["n_iter"], entry["converged"]) == (first["n_iter"], first["converged"])
        claim = ROWS[name]["published"]
        assert entry["rebuilt_accuracy"] == accuracies[0], "draw 0 is the published one"
        assert entry["published_accuracy"] == claim
        assert entry["mean_accuracy"] == pytest.approx(np.mean(accuracies))
        assert entry["n_seeds"] == len(accuracies)
        if claim is None:
            assert "off_by_accuracy" not in entry
        else:
            assert entry["off_by_accuracy"] == accuracies[0] - claim
        if len(accuracies) > 1:
            expected = stats.over_seeds(accuracies)
        else:
            expected = stats.proportion(round(accuracies[0] * N_TEST), N_TEST)
        assert (entry["low_accuracy"], entry["high_accuracy"]) == pytest.approx(expected[1:])
    assert metrics["summary"]["raw"]["non_affine"] == 0
    assert metrics["summary"]["short"]["non_affine"] < 1e-5
    assert metrics["summary"]["life"]["non_affine"] > 0.1


def test_comparisons_are_over_all_draws(metrics, digits):
    """Of one draw each, they count images besides."""
    summary = metrics["summary"]
    pairs = [("wave", "raw"), ("life", "raw"), ("life", "wave"), ("long", "short")]
    assert list(metrics["comparisons"]) == [f"{a}_against_{b}" for a, b in pairs]
    for (name, other), entry in zip(pairs, metrics["comparisons"].values(), strict=True):
        difference = summary[name]["mean_accuracy"] - summary[other]["mean_accuracy"]
        assert entry["difference_accuracy"] == pytest.approx(difference)
        assert entry["low_accuracy"] < difference < entry["high_accuracy"]
        assert ("gained" in entry) == ("lost" in entry) == (name == "long")
    counted = metrics["comparisons"]["long_against_short"]
    assert counted["gained"] - counted["lost"] == round(counted["difference_accuracy"] * N_TEST)
    rights = [[right(ROWS[name], seed, digits) for seed in range(3)] for name in ("life", "raw")]
    expected = stats.paired(*rights)
    found = metrics["comparisons"]["life_against_raw"]
    assert found["low_accuracy"] == pytest.approx(expected.low, abs=2 / N_TEST)
    assert metrics["comparisons"]["life_against_raw"]["p_holm"] < 1e-6


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"wave": row(against=["raw", "zero"]), "raw": row(None)},
            r"rows\.wave\.against .*\['zero'\]",
        ),
        ({"gray_scott": row("diffusion_reaction", clip=False)}, "got False for diffusion_reaction"),
        ({"life": row("life_like", clip=False)}, "got False for life_like"),
        ({"conway": row("conway")}, "unknown rule 'conway'"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused_before_anything_is_loaded(rows, message, monkeypatch):
    def load():
        raise AssertionError("loaded")

    monkeypatch.setitem(published._PROTOCOLS, "mnist", (load, published._draw_mnist))
    with pytest.raises(ValueError, match=message):
        published.run({"seed": 0, "rows": rows})
