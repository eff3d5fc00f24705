"""The classifications against scikit-learn, on its small digits: what is chosen, used and said."""

import re

import numpy as np
import pytest
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from pixelflow import LogisticReadout, Reservoir, RidgeReadout, results, stats
from pixelflow.experiments import _classification as classification
from pixelflow.experiments import cifar10, mnist

pytestmark = pytest.mark.usefixtures("one_thread")
N_TRAIN, N_TEST = 700, 500  # of `digits`


def model(rule, steps, channels):
    size = {"width": 8, "height": 8, "channels": channels}
    return {"rule": rule, "steps": steps, "encoder": "tile", "rule_params": {}, **size}


CONFIG = {
    "seed": 3,
    "subset": 700,
    "selection": 500,
    "models": {
        "wave": model("wave", [9, 3, 1], [0, 1]),
        "diffusion_reaction": model("diffusion_reaction", [1, 2], [0, 1]),
        "life_like": model("life_like", [3, 1], [0]),
    },
    "alphas": [0.01, 1, 100],
    "random_features": {"gammas": [2.0, 0.02, 0.1], "seeds": [0, 5, 7]},
    "banks": {},
    "baselines": {},
    "figure_steps": [0, 1],
    "image": 0,
}
MODELS = CONFIG["models"]
SIZES = {"wave": 128, "diffusion_reaction": 128, "life_like": 64}
RANDOM = ("random_features_as_wave", "random_features_as_life_like")


def no_bank(images, n_train):
    """What a bank would see."""
    raise AssertionError("there is no bank")


@pytest.fixture(scope="module")
def metrics(digits):
    return classification.run(CONFIG, "digits", digits, no_bank)


def by_model(metrics):
    return {
        name: [row for row in metrics["rows"] if row["model"] == name]
        for name in dict.fromkeys(row["model"] for row in metrics["rows"])
    }


def free_wave(X, steps):
    """The wave without its clip, by NumPy: amplitudes and velocities of 8 x 8 cells."""
    u = X.reshape(-1, 8, 8)
    v = np.zeros_like(u)
    for _ in range(steps):
        around = sum(np.roll(u, shift, axis) for axis in (1, 2) for shift in (1, -1))
        v = (v + np.float32(0.25) * (around - 4 * u)) * np.float32(0.999)
        u = u + v
    return np.stack([u, v], axis=1).reshape(len(X), -1)


def features(row, metrics, digits):
    """Training and test features of a row, made without the experiment."""
    name = row["model"]
    if name in RANDOM:
        gammas = metrics["selection"][name]
        gamma = float(max(gammas, key=gammas.get))
        sampler = RBFSampler(gamma=gamma, n_components=row["D"], random_state=row["seed"])
        sampler.fit(digits.X_train)
        return sampler.transform(digits.X_train), sampler.transform(digits.X_test)
    if name == "raw_ridge":
        return digits.X_train, digits.X_test
    if name == "wave_unclipped":
        return free_wave(digits.X_train, row["steps"]), free_wave(digits.X_test, row["steps"])
    config = classification.reservoir_config(
        MODELS[name.removesuffix("_zero_steps")], row["steps"], CONFIG["seed"]
    )
    reservoir = Reservoir(config, backend="cpu")
    return reservoir.transform(digits.X_train), reservoir.transform(digits.X_test)


def rights(row, metrics, digits):
    """Which test images scikit-learn's ridge gets right from all features, zero columns too."""
    train, test = (F.astype(np.float64) for F in features(row, metrics, digits))
    ridge = RidgeClassifier(alpha=row["alpha"]).fit(train, digits.y_train)
    return ridge.predict(test) == digits.y_test


def test_there_is_a_row_for_every_model_its_zero_steps_and_random_features(metrics):
    keys = {"dataset", "model", "tier", "steps", "D", "seed", "accuracy", "n_test", "fit_s"}
    keys |= {"readout", "alpha", "n_train", "transform_s", "non_affine"}
    assert all(row.keys() == keys for row in metrics["rows"])
    rows = by_model(metrics)
    ablations = {"wave_unclipped", *(f"{name}_zero_steps" for name in MODELS)}
    expected = {"raw_ridge", *MODELS, *ablations, *RANDOM}
    assert rows.keys() == expected == metrics["summary"].keys()
    for name, several in rows.items():
        assert [row["seed"] for row in several] == ([0, 5, 7] if name in RANDOM else [3])
        for row in several:
            assert (row["dataset"], row["tier"], row["readout"]) == ("digits", "random", "ridge")
            assert (row["n_train"], row["n_test"]) == (N_TRAIN, N_TEST)
            assert row["alpha"] in CONFIG["alphas"]
            base = re.sub("random_features_as_|_zero_steps|_unclipped", "", name)
            assert row["D"] == SIZES.get(base, 64)
            evolved = name.removesuffix("_unclipped")
            assert row["steps"] == (rows[evolved][0]["steps"] if evolved in MODELS else 0)
    assert (metrics["n_train"], metrics["n_test"]) == (N_TRAIN, N_TEST)
    results.wrap("digits", CONFIG, metrics)  # refuses what has no place in JSON


def test_every_accuracy_is_scikit_learns_from_all_columns(metrics, digits):
    """So leaving out zero columns changes nothing, and random features are RBFSampler's."""
    assert not digits.X_train.any(axis=0).all()
    for row in metrics["rows"]:
        assert row["accuracy"] == rights(row, metrics, digits).mean(), row["model"]


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_columns_that_only_test_images_fill_get_no_weight(digits, kind):
    filled = digits._replace(X_test=digits.X_test.copy())
    filled.X_test[:, ~digits.X_train.any(axis=0)] = 100
    readout = RidgeReadout(1.0) if kind == "ridge" else LogisticReadout(C=1.0, max_iter=50)
    scored = classification.fit(filled, readout, "digits", "raw", seed=0)
    ours = {"ridge": RidgeClassifier(alpha=1.0), "logistic": LogisticRegression(max_iter=50)}[kind]
    expected = ours.fit(digits.X_train, digits.y_train).predict(filled.X_test) == digits.y_test
    assert scored.row["readout"] == kind and np.array_equal(scored.right, expected)
    assert scored.row["accuracy"] == expected.mean() > 0.8


def test_the_candidate_that_is_best_on_held_out_images_is_taken(metrics):
    selection = metrics["selection"]
    rows = by_model(metrics)
    assert selection.keys() == {*MODELS, *RANDOM}
    for name, entry in MODELS.items():
        assert list(selection[name]) == [str(steps) for steps in entry["steps"]]
        best = max(entry["steps"], key=lambda steps: selection[name][str(steps)])
        assert rows[name][0]["steps"] == best
    for name in RANDOM:
        assert list(selection[name]) == ["2.0", "0.02", "0.1"]
    firsts = [next(iter(found)) == max(found, key=found.get) for found in selection.values()]
    assert not all(firsts), "this data can't tell the best from the first"


def test_nothing_is_chosen_on_test_images(metrics, digits):
    shuffled = np.random.default_rng(0).permutation(digits.y_test)
    other = classification.run(CONFIG, "digits", digits._replace(y_test=shuffled), no_bank)
    assert other["selection"] == metrics["selection"]
    chosen = ("model", "steps", "alpha", "seed")
    for row, twin in zip(other["rows"], metrics["rows"], strict=True):
        assert [row[key] for key in chosen] == [twin[key] for key in chosen]
        assert row["accuracy"] < 0.2 < twin["accuracy"]


def test_test_images_are_used_once_a_row(metrics, digits, monkeypatch):
    predict, sizes = RidgeReadout.predict, []
    monkeypatch.setattr(
        RidgeReadout, "predict", lambda self, X: (sizes.append(len(X)), predict(self, X))[1]
    )
    again = classification.run(CONFIG, "digits", digits, no_bank)
    assert sizes == [N_TEST] * len(metrics["rows"])
    timeless = [
        [{k: v for k, v in row.items() if not k.endswith("_s")} for row in found["rows"]]
        for found in (again, metrics)
    ]
    assert timeless[0] == timeless[1], "the same config gives the same rows"


def test_how_far_each_model_is_from_affine(metrics):
    """The clip is all that a wave has; nothing reacts in a texture without v."""
    far = {name: entry["non_affine"] for name, entry in metrics["summary"].items()}
    affine = {"raw_ridge", "wave_unclipped", *(f"{name}_zero_steps" for name in MODELS)}
    assert {name for name in far if far[name] < 1e-5} == {*affine, "diffusion_reaction"}
    assert far["wave"] > 0.01 and far["life_like"] > 0.1 and far[RANDOM[0]] > 0.1
    for row in metrics["rows"]:
        assert row["seed"] != CONFIG["seed"] or row["non_affine"] == far[row["model"]]


def test_intervals_are_over_seeds_or_of_the_test_images(metrics):
    for name, rows in by_model(metrics).items():
        accuracies = [row["accuracy"] for row in rows]
        if name in RANDOM:
            expected = stats.over_seeds(accuracies)
        else:
            expected = stats.proportion(round(accuracies[0] * N_TEST), N_TEST)
        entry = metrics["summary"][name]
        keys = ("mean_accuracy", "low_accuracy", "high_accuracy")
        assert entry["n_seeds"] == len(rows)
        assert [entry[key] for key in keys] == pytest.approx(list(expected), abs=1e-12)


def test_comparisons_are_those_of_the_same_images(metrics, digits):
    rows, found = by_model(metrics), metrics["comparisons"]
    right = {
        name: np.array([rights(row, metrics, digits) for row in several])
        for name, several in rows.items()
    }
    expected = {}
    for name in MODELS:
        random = RANDOM[SIZES[name] == SIZES["life_like"]]
        baselines = [f"{name}_zero_steps", "raw_ridge", random]
        baselines[1:1] = ["wave_unclipped"] if name == "wave" else []
        for other in baselines:
            kind = "random_features" if other in RANDOM else other
            expected[f"{name}_against_{kind}"] = (right[name], right[other])
    assert list(found) == list(expected)
    for key, (ours, others) in expected.items():
        entry = found[key]
        assert entry["difference_accuracy"] == pytest.approx(ours.mean() - others.mean())
        assert entry["low_accuracy"] <= entry["difference_accuracy"] <= entry["high_accuracy"]
        assert entry["p"] == pytest.approx(stats.paired(ours, others).p)
        if len(others) == 1:
            assert entry["gained"] == (ours & ~others).sum()
            assert entry["lost"] == (others & ~ours).sum()
        else:
            assert not {"gained", "lost"} & entry.keys()
    corrected = stats.holm([entry["p"] for entry in found.values()])
    assert [entry["p_holm"] for entry in found.values()] == corrected
    assert any(entry["p_holm"] > entry["p"] for entry in found.values())


@pytest.mark.parametrize("experiment", [mnist, cifar10])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "conway"}, "unknown rule 'conway'"),
        ({"encoder": "spiral"}, "spiral"),
        ({"width": 0}, "width"),
        ({"channels": [4]}, "channel"),
        ({"steps": [1, -1]}, "steps"),
        ({"rule_params": {"speed": 1.0}}, "speed"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_anything_is_loaded(
    experiment, change, message, monkeypatch
):
    def load(**_):
        raise AssertionError("loaded")

    monkeypatch.setattr(f"pixelflow.tasks.{experiment.DATASETS[0]}.load", load)
    models = {**MODELS, "wave": {**MODELS["wave"], **change}}
    with pytest.raises(ValueError, match=message):
        experiment.run({**CONFIG, "models": models})


def test_mnist_is_loaded_with_the_configs_subset_and_seed(metrics, digits, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "pixelflow.tasks.mnist.load", lambda **given: (asked.append(given), tuple(digits))[1]
    )
    found = mnist.run(CONFIG)
    assert asked == [{"subset": 700, "seed": 3}]
    assert found["summary"] == metrics["summary"]
    assert {row["dataset"] for row in found["rows"]} == {"mnist"}


def test_cifar10_is_read_in_grey_and_its_colours_as_a_row(metrics, digits, monkeypatch):
    """Colours that make a difference, so that the row must be of just these."""
    rng = np.random.default_rng(0)
    coloured = {
        key: np.concatenate([X, rng.random((len(X), 128), np.float32)], axis=1)
        for key, X in (("X_train", digits.X_train), ("X_test", digits.X_test))
    }
    colours = digits._replace(**coloured)

    def load(subset, seed, grayscale=False):
        assert (subset, seed) == (700, 3)
        return tuple(digits if grayscale else colours)

    monkeypatch.setattr("pixelflow.tasks.cifar10.load", load)
    found = cifar10.run(CONFIG)
    raw, colour = found["rows"][:2]
    assert (raw["model"], raw["D"]) == ("raw_ridge", 64)
    assert (colour["model"], colour["D"], colour["dataset"]) == ("raw_rgb_ridge", 192, "cifar10")
    ridge = RidgeClassifier(alpha=colour["alpha"])
    ridge.fit(colours.X_train.astype(np.float64), colours.y_train)
    n_right = int((ridge.predict(colours.X_test) == colours.y_test).sum())
    entry = found["summary"].pop("raw_rgb_ridge")
    assert colour["accuracy"] == entry["mean_accuracy"] == n_right / N_TEST
    assert entry["low_accuracy"] == stats.proportion(n_right, N_TEST).low
    assert found["summary"] == metrics["summary"]
    assert found["comparisons"] == metrics["comparisons"]
