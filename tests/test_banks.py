"""Banks against scikit-learn and scipy, on its small digits: twins, accuracies, tests, refusals."""

import logging

import numpy as np
import pytest
import scipy.stats
from sections import section
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import confusion_matrix

from pixelflow import Probe, Reservoir, ReservoirConfig, experiments, results, stats
from pixelflow.experiments import _banks as banks
from pixelflow.experiments import _scores as scores
from pixelflow.experiments import cifar10, fashion_mnist, mnist

pytestmark = pytest.mark.usefixtures("one_thread")
N_TRAIN, N_TEST = 600, 400  # of `digits`
RANDOM = {
    "width": 8,
    "height": 8,
    "steps": 2,
    "rule": "coupled",
    "rule_params": {"k": 3, "gain": {"uniform": [0.8, 1.4]}},
    "input_encoding": "random",
    "encoder_params": {"k": 3},
    "members": 3,
    "probe": {"snapshots": [1, 2], "rectify": True, "pool": 4},
}
WAVE = {
    **{"width": 8, "height": 8, "steps": 3, "rule": "wave", "members": 2},
    "rule_params": {"c": [0.3, 0.6]},
    "input_encoding": "image",
    "probe": {
        "snapshots": [1, 3],
        "channels": [0],
        "rectify": True,
        "threshold": {"quantile": 0.3},
    },
}
PLAIN = {"images": "grey", "augment": None, "n_train": None, "zero_steps": True, "against": []}
PLAIN |= {"shown": ["table"]}
BANKS = {
    "coupled": {**PLAIN, "tier": "random", "reservoirs": [RANDOM], "seeds": [4, 0, 7]},
    "mixed": {
        **PLAIN,
        **{"tier": "random", "reservoirs": [RANDOM, WAVE], "seeds": [4, 0, 7]},
        **{"augment": {"flip": True}, "against": ["coupled", "few"]},
    },
    "few": {
        **PLAIN,
        **{"tier": "data patches", "seeds": [2], "n_train": 300, "zero_steps": False},
        "reservoirs": [{**RANDOM, "input_encoding": "patches", "members": 2}],
    },
}
SIZES = {"coupled": 3 * 2 * 4 * 2 * 16, "mixed": 768 + 2 * 2 * 2 * 64, "few": 512}


def loader(split, asked):
    def load(images, n_train):
        asked.append((images, n_train))
        return split._replace(X_train=split.X_train[:n_train], y_train=split.y_train[:n_train])

    return load


@pytest.fixture(scope="module")
def found(digits):
    """What `run` gives, with what it asked for, and predictions of every row."""
    asked, predictions = [], {}
    fit = banks.fit

    def told(split, configs, tier, augment, dataset, label, seed):
        one, predicted = fit(split, configs, tier, augment, dataset, label, seed)
        predictions[label, seed] = predicted
        return one, predicted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banks, "fit", told)
        scored, pairs, errors = banks.run(BANKS, "digits", loader(digits, asked))
    return scored, pairs, errors, asked, predictions


def test_every_bank_has_its_twin_without_steps_of_equal_size_and_seeds(found):
    scored, _, _, asked, _ = found
    assert asked == [("grey", None), ("grey", 300)]  # once for all that see the same
    assert list(scored) == ["coupled", "coupled_zero_steps", "mixed", "mixed_zero_steps", "few"]
    keys = {"dataset", "model", "tier", "steps", "D", "seed", "accuracy", "held_out", "n_train"}
    keys |= {"n_test", "load_s", "fit_s", "predict_s", "readout", "alpha"}
    for name, several in scored.items():
        bank = BANKS[name.removesuffix("_zero_steps")]
        for one, seed in zip(several, bank["seeds"], strict=True):
            row = one.row
            assert row.keys() == keys
            assert (row["model"], row["seed"], row["tier"]) == (name, seed, bank["tier"])
            assert row["D"] == SIZES[name.removesuffix("_zero_steps")]
            steps = max(fields["steps"] for fields in bank["reservoirs"])
            assert row["steps"] == (0 if "zero" in name else steps)
            assert (row["n_train"], row["n_test"]) == (bank["n_train"] or N_TRAIN, N_TEST)
            assert one.right.shape == (N_TEST,) and row["accuracy"] == one.right.mean()
    accuracies = [[one.row["accuracy"] for one in several] for several in scored.values()]
    assert all(len(set(each)) > 1 for each in accuracies[:4]), "seeds that change nothing"
    assert min(map(min, accuracies)) > 0.8
    results.wrap("digits", {}, {"rows": [one.row for each in scored.values() for one in each]})


def by_hand(bank, seed, zero, alpha, split):
    """What scikit-learn's ridge says of features that are made without the experiment."""
    n, X, y = bank["n_train"] or N_TRAIN, split.X_train, split.y_train
    X, y = X[:n], y[:n]
    train, test = [], []
    for fields in bank["reservoirs"]:
        if zero:
            fields = {**fields, "members": 2 * fields["members"], "steps": 0}
            fields |= {"rule_params": {}, "probe": {**fields["probe"], "snapshots": [0]}}
        config = ReservoirConfig.from_dict({**fields, "seed": seed})
        reservoir = Reservoir(config, backend="cpu").fit(X)
        flipped = X.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
        copies = [X, flipped] if bank["augment"] else [X]
        train.append(np.concatenate([reservoir.transform(x) for x in copies]))
        test.append(reservoir.transform(split.X_test))
    F_train, F_test = (np.concatenate(F, axis=1).astype(np.float64) for F in (train, test))
    mean, deviation = F_train.mean(axis=0), F_train.std(axis=0)
    deviation[deviation == 0] = 1
    ridge = RidgeClassifier(alpha=alpha)
    ridge.fit((F_train - mean) / deviation, np.tile(y, len(F_train) // n))
    return ridge.predict((F_test - mean) / deviation)


def test_every_prediction_is_that_of_scikit_learns_ridge(found, digits):
    """With the same penalty; of near ties in float32 one in each hundred may differ."""
    scored, _, _, _, predictions = found
    for name, several in scored.items():
        bank = BANKS[name.removesuffix("_zero_steps")]
        for one in several:
            seed, alpha = one.row["seed"], one.row["alpha"]
            expected = by_hand(bank, seed, name not in BANKS, alpha, digits)
            assert (predictions[name, seed] == expected).mean() >= 0.99, name
            assert np.array_equal(one.right, predictions[name, seed] == digits.y_test)


def test_nothing_is_chosen_on_test_images(found, digits):
    shuffled = np.random.default_rng(0).permutation(digits.y_test)
    other = digits._replace(y_test=shuffled, X_test=digits.X_test[::-1])
    again, _, _ = banks.run(BANKS, "digits", loader(other, []))
    for name, several in found[0].items():
        for one, twin in zip(several, again[name], strict=True):
            chosen = ("D", "alpha", "held_out", "seed", "steps")
            assert [one.row[key] for key in chosen] == [twin.row[key] for key in chosen]
            assert twin.row["accuracy"] < 0.2 < one.row["accuracy"]


def test_penalties_are_in_proportion_to_the_images_trained_on(found):
    """Copies counted; and the best is of those that were held out."""
    for name, several in found[0].items():
        bank = BANKS[name.removesuffix("_zero_steps")]
        n = several[0].row["n_train"] * (2 if bank["augment"] else 1)
        for one in several:
            assert np.log10(one.row["alpha"] / n) == pytest.approx(
                round(np.log10(one.row["alpha"] / n))
            )
            assert 0.5 < one.row["held_out"] <= 1


def test_what_is_wrong_is_that_of_the_first_seed(found, digits):
    _, _, errors, _, predictions = found
    assert errors.keys() == found[0].keys()
    for name, told in errors.items():
        predicted = predictions[name, BANKS[name.removesuffix("_zero_steps")]["seeds"][0]]
        assert told["confusion"] == confusion_matrix(digits.y_test, predicted).tolist()
        wrong = np.flatnonzero(predicted != digits.y_test)[: banks.MAX_WRONG]
        assert told["wrong"] == [[i, digits.y_test[i], predicted[i]] for i in wrong]


def test_comparisons_are_what_scipy_says(found):
    scored, pairs, *_ = found
    assert pairs == [
        ("coupled", "coupled_zero_steps"),
        ("mixed", "mixed_zero_steps"),
        ("mixed", "coupled"),
        ("mixed", "few"),
    ]
    compared = scores.comparisons(scored, pairs)
    assert list(compared) == [f"{name}_against_{other}" for name, other in pairs]
    for (name, other), entry in zip(pairs, compared.values(), strict=True):
        ours, others = (np.array([one.right for one in scored[key]]) for key in (name, other))
        apart = ours.mean(axis=0) - others.mean(axis=0)
        test = scipy.stats.ttest_1samp(apart, 0)
        low, high = test.confidence_interval(0.95)
        expected = [apart.mean(), low, high, test.pvalue]
        keys = [f"{key}_accuracy" for key in ("difference", "low", "high")]
        assert [entry[key] for key in (*keys, "p")] == pytest.approx(expected)
        assert not {"gained", "lost"} & entry.keys()
        assert ("over_seeds" in entry) == (other != "few"), "few has one seed"
        if other != "few":
            each = ours.mean(axis=1) - others.mean(axis=1)
            low, high = scipy.stats.t.interval(0.95, 2, each.mean(), scipy.stats.sem(each))
            over = [entry["over_seeds"][key] for key in keys]
            assert over == pytest.approx([each.mean(), low, high])
    p = [entry["p"] for entry in compared.values()]
    assert [entry["p_holm"] for entry in compared.values()] == stats.holm(p)


def test_intervals_are_over_seeds_or_of_the_test_images(found):
    entries = scores.summary(found[0])
    for name, several in found[0].items():
        accuracies = [one.row["accuracy"] for one in several]
        expected = stats.over_seeds(accuracies) if name != "few" else None
        expected = expected or stats.proportion(round(accuracies[0] * N_TEST), N_TEST)
        entry = entries[name]
        assert entry["n_seeds"] == len(several) and "non_affine" not in entry
        assert [entry[f"{end}_accuracy"] for end in ("mean", "low", "high")] == list(expected)


@pytest.mark.parametrize(
    ("fields", "members", "dim"),
    [
        (RANDOM, 6, 6 * 4 * 2 * 16),
        (WAVE, 4, 4 * 2 * 64),
        ({**RANDOM, "probe": {}}, 3, 3 * 4 * 64),
        ({**RANDOM, "probe": {"snapshots": [0, 1, 2]}}, 9, 9 * 4 * 64),
    ],
)
def test_without_steps_there_are_as_many_features_of_more_members(fields, members, dim):
    config = ReservoirConfig.from_dict({**fields, "seed": 5})
    twin = banks.without_steps(config)
    assert (twin.steps, twin.members, twin.seed) == (0, members, 5)
    assert Reservoir(twin).feature_dim == Reservoir(config).feature_dim == dim
    assert twin.encoder_params == config.encoder_params
    assert twin.probe == Probe(**{**config.to_dict()["probe"], "snapshots": None})
    X = np.random.default_rng(0).random((50, 64), dtype=np.float32)
    first = Reservoir(config.with_params(steps=0, probe=Probe(snapshots=(0,)))).fit(X)
    own = Reservoir(twin.with_params(probe=Probe(snapshots=(0,)))).fit(X)
    shape = (50, -1, 4 * 64)
    kept = own.transform(X).reshape(shape)[:, : config.members]
    assert np.array_equal(first.transform(X).reshape(shape), kept), "the members that were there"


def test_the_best_bank_is_that_of_the_highest_held_out_accuracy():
    rows = [
        {"model": name, "held_out": held, "accuracy": 1 - held}
        for name, several in {
            "a": (0.7, 0.9),
            "b": (0.81, 0.81),
            "a_zero_steps": (1.0, 1.0),
        }.items()
        for held in several
    ]
    assert banks.best(rows, {"a": None, "b": None}) == "b"


COUPLED = BANKS["coupled"]
EXPERIMENTS = pytest.mark.parametrize(
    "experiment", [mnist, fashion_mnist, cifar10], ids=lambda module: module.DATASETS[0]
)


@EXPERIMENTS
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"colour": 1}, ValueError, r"'small' must have .* unknown: \['colour'\]"),
        ({"against": ["coupled"]}, ValueError, r"others of \['small'\], got \['coupled'\]"),
        ({"against": ["small"]}, ValueError, "against must be others of"),
        ({"images": "infrared"}, ValueError, "images must be one of .* got 'infrared'"),
        ({"shown": ["map"]}, ValueError, r"'small': shown must be some of .* got \['map'\]"),
        ({"seeds": []}, ValueError, "one or more that differ"),
        ({"seeds": [1, 1]}, ValueError, "one or more that differ"),
        ({"augment": {"turn": 3}}, ValueError, r"unknown \['turn'\]"),
        ({"augment": {"flip": 3}}, TypeError, "flip"),
        ({"augment": {"degrees": 10}}, ValueError, "add shifts"),
        ({"augment": {"shifts": 2, "scale": "big"}}, TypeError, "scale"),
        ({"reservoirs": [{**RANDOM, "rule": "conway"}]}, ValueError, "unknown rule 'conway'"),
        ({"reservoirs": [{**RANDOM, "wdith": 8}]}, ValueError, r"unknown \['wdith'\]"),
        (
            {"reservoirs": [{**RANDOM, "steps": 1}]},
            ValueError,
            "snapshots must be between 0 and steps=1",
        ),
    ],
)
def test_a_bank_that_cannot_be_is_refused_before_anything_is_loaded(
    experiment, change, error, message, monkeypatch
):
    def load(**_):
        raise AssertionError("loaded")

    monkeypatch.setattr(f"pixelflow.tasks.{experiment.DATASETS[0]}.load", load)
    with pytest.raises(error, match=message):
        experiment.run(section(experiment, {"small": {**COUPLED, **change}}, {}))


@pytest.mark.parametrize("experiment", [mnist, fashion_mnist])
def test_colours_of_grey_images_are_refused_before_anything_is_loaded(experiment, monkeypatch):
    monkeypatch.setattr(f"pixelflow.tasks.{experiment.DATASETS[0]}.load", None)
    with pytest.raises(ValueError, match=r"'small': images must be one of .* got 'rgb'"):
        experiment.run(section(experiment, {"small": {**COUPLED, "images": "rgb"}}, {}))


@pytest.mark.parametrize("name", ["wave", "raw_ridge", "wave_unclipped", "random_features_as_wave"])
def test_a_bank_takes_no_models_name(name):
    model = {"rule": "wave", "steps": [1], "encoder": "tile", "width": 8, "height": 8}
    model |= {"channels": [0], "rule_params": {}}
    config = {**section(mnist, {name: COUPLED}, {}), "models": {"wave": model}}
    with pytest.raises(ValueError, match=f"banks .*{name}.* must not have names of models"):
        mnist.run(config)
    with pytest.raises(ValueError, match="reserved for bank 'a' without steps"):
        mnist.run(section(mnist, {"a": COUPLED, "a_zero_steps": COUPLED}, {}))


@EXPERIMENTS
def test_an_experiment_runs_its_banks_on_the_images_they_ask_for(
    experiment, digits, monkeypatch, caplog
):
    """Of the whole section's subset, or as many as the bank is trained on."""
    (name,), asked = experiment.DATASETS, []

    def load(subset, seed, grayscale=False):
        asked.append((subset, seed, grayscale))
        X, y, *test = digits
        return X[:subset], y[:subset], *test

    monkeypatch.setattr(f"pixelflow.tasks.{name}.load", load)
    monkeypatch.setattr("pixelflow.tasks.fetch.checksums", lambda _: {})
    fewer = {**COUPLED, "n_train": 300, "seeds": [0], "against": ["more"], "zero_steps": False}
    more = {**COUPLED, "n_train": 9999, "seeds": [0]}
    with caplog.at_level(logging.INFO, "pixelflow"):
        config = section(experiment, {"fewer": fewer, "more": more}, {})
        found = experiments.run(name, config)["metrics"]
    grey = name == "cifar10"
    asked_of = [(500, 3, grey), (300, 3, grey), (500, 3, grey)]
    assert asked == (asked_of if name != "cifar10" else [(500, 3, False), *asked_of])
    models = ["raw_ridge", "fewer", "more", "more_zero_steps"]
    models[1:1] = ["raw_rgb_ridge"] if name == "cifar10" else []
    assert [row["model"] for row in found["rows"]] == models
    assert list(found["comparisons"]) == ["fewer_against_more", "more_against_more_zero_steps"]
    assert all({"gained", "lost"} <= entry.keys() for entry in found["comparisons"].values())
    assert found["errors"].keys() == {"fewer", "more", "more_zero_steps"}
    assert "more_zero_steps, seed 0, D 768: held out" in caplog.text
