"""Baselines of banks against scikit-learn and kymatio: features, choices, rows, refusals."""

import sys

import fake_cupy
import numpy as np
import pytest
from kymatio.scattering2d.frontend.numpy_frontend import ScatteringNumPy2D
from sections import section
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import RidgeClassifier

from pixelflow.experiments import _banks as banks
from pixelflow.experiments import _baselines as baselines
from pixelflow.experiments import _classification as classification
from pixelflow.experiments import cifar10, fashion_mnist, mnist
from pixelflow.experiments._features import FunctionFeatures, fourier, scattering

pytestmark = pytest.mark.usefixtures("one_thread")
N_TRAIN, N_TEST = 600, 400  # of `digits`
PLAIN = {"images": "grey", "augment": None, "n_train": None}
FOURIER = {**PLAIN, "features": "fourier", "seeds": [4, 0]}
FOURIER |= {"options": {"D": 300, "gammas": [3.0, 0.03, 0.0001]}}
SCATTERING = {**PLAIN, "features": "scattering", "options": {"J": 2, "L": 8}, "seeds": [1]}
BASELINES = {
    "fourier_300": FOURIER,
    "fourier_flipped": {
        **FOURIER,
        **{"options": {"D": 900, "gammas": [0.05]}, "augment": {"flip": True}, "n_train": 400},
    },
    "scattering": SCATTERING,
}
KEYS = {"dataset", "model", "tier", "steps", "D", "seed", "accuracy", "held_out", "n_train"}
KEYS |= {"n_test", "fit_s", "predict_s", "readout", "alpha"}


def loader(split):
    def load(images, n_train):
        assert images == "grey"
        return split._replace(X_train=split.X_train[:n_train], y_train=split.y_train[:n_train])

    return load


@pytest.fixture(scope="module")
def found(digits):
    return baselines.run(BASELINES, "digits", loader(digits))


def random_images(n, *shape):
    return np.random.default_rng(0).random((n, int(np.prod(shape))), dtype=np.float32)


# -- features ------------------------------------------------------------------------------------


def test_random_features_are_scikit_learns():
    X = random_images(50, 8, 8)
    expected = RBFSampler(gamma=0.1, n_components=70, random_state=3).fit(X).transform(X)
    made = fourier(70, 0.1, 3, X)(X)
    assert made.dtype == np.float32 and np.array_equal(made, expected)


def test_random_features_multiply_to_the_kernel():
    X = random_images(20, 8, 8)
    made = fourier(20000, 0.1, 0, X)(X)
    kernel = np.exp(-0.1 * ((X[:, None] - X[None]) ** 2).sum(axis=2))
    assert np.abs(made @ made.T - kernel).max() < 0.04


@pytest.mark.parametrize(
    ("J", "L", "side", "depth", "dim"),
    [(2, 8, 28, 1, 81 * 64), (2, 8, 32, 3, 3 * 81 * 64), (3, 2, 8, 1, 19), (1, 3, 12, 1, 4 * 64)],
)
def test_scattering_has_coefficients_of_each_path_place_and_colour(J, L, side, depth, dim):
    X = random_images(3, side, side, depth)
    made = scattering(J, L, X)(X)
    assert made.shape == (3, dim) and made.dtype == np.float32 and made.flags.c_contiguous


def test_scattering_is_kymatios_of_the_padded_image():
    X = random_images(5, 28, 28)
    padded = np.zeros((5, 32, 32), np.float32)
    padded[:, 2:30, 2:30] = X.reshape(5, 28, 28)
    expected = ScatteringNumPy2D(2, (32, 32), L=8)(padded).reshape(5, -1)
    assert np.array_equal(scattering(2, 8, X)(X), expected)


def test_each_colour_has_the_features_of_its_grey_image():
    X = random_images(4, 8, 8, 3)
    made = scattering(2, 4, X)(X).reshape(4, 3, -1)
    for channel in range(3):
        grey = X.reshape(4, 64, 3)[:, :, channel]
        assert np.array_equal(made[:, channel], scattering(2, 4, grey)(grey))


def test_an_even_image_has_its_own_level_and_no_waves():
    X = np.full((1, 32 * 32), 0.7, np.float32)
    level, *waves = scattering(2, 4, X)(X).reshape(-1, 64)
    assert level == pytest.approx(0.7, abs=1e-4)
    assert np.abs(waves).max() < 1e-4


def test_images_smaller_than_the_scale_are_refused():
    X = random_images(2, 8, 8)
    with pytest.raises(ValueError, match=r"J must be at most 3 .* padded to 8 pixels, got 4"):
        scattering(4, 8, X)


def test_features_come_in_batches_of_the_size_asked_for():
    X = random_images(10, 8, 8)
    transform = fourier(30, 0.1, 0, X)
    parts = list(FunctionFeatures(transform, 30).iter_features(X, 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert np.allclose(np.concatenate(parts), transform(X), atol=1e-6)


@pytest.mark.parametrize("options", [{"D": 300, "gamma": 0.03}, {"J": 2, "L": 3}], ids=str)
def test_on_a_device_all_is_the_same_and_stays_there(options, digits, monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    X, y, X_test, _ = digits
    models = []
    for xp in (np, cupy):
        made = baselines.feature_maker(options, 5, X, xp)
        assert all(isinstance(part, xp.ndarray) for part in made.iter_features(X, 200))
        models.append(baselines.Classifier(made, {"flip": True}, batch_size=250).fit(X, y))
    ours, theirs = models
    assert ours.made[0].feature_dim == theirs.made[0].feature_dim
    assert ours.readout_.best_score_ == theirs.readout_.best_score_
    assert np.allclose(ours.readout_.coef_, theirs.readout_.coef_, atol=1e-6)
    assert np.array_equal(ours.predict(X_test), theirs.predict(X_test))


@pytest.mark.parametrize("there", [True, False])
def test_features_are_cupys_where_cuda_runs(there, monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    names = {"cuda": "a GPU", "cpu": "NumPy"} if there else {"cpu": "NumPy"}
    monkeypatch.setattr(baselines, "available_backends", lambda: names)
    assert baselines.array_module() is (cupy if there else np)


def test_without_a_baseline_no_backend_is_probed(monkeypatch):
    monkeypatch.setattr(baselines, "available_backends", None)
    assert baselines.run({}, "digits", None) == ({}, {})


# -- what is trained, chosen and said ------------------------------------------------------------


def test_rows_are_like_a_banks(found):
    scored, selection = found
    assert list(scored) == list(BASELINES) and list(selection) == ["fourier_300"]
    for name, dim, n_train in (
        ("fourier_300", 300, 600),
        ("fourier_flipped", 900, 400),
        ("scattering", 81 * 4, 600),
    ):
        for one, seed in zip(scored[name], BASELINES[name]["seeds"], strict=True):
            row = one.row
            assert row.keys() == KEYS and (row["dataset"], row["model"]) == ("digits", name)
            assert (row["D"], row["n_train"], row["n_test"]) == (dim, n_train, N_TEST)
            assert (row["seed"], row["steps"], row["readout"]) == (seed, 0, "ridge")
            assert row["tier"] == ("fixed" if name == "scattering" else "random")
            assert one.right.shape == (N_TEST,) and row["accuracy"] == one.right.mean() > 0.8


def by_hand(F_train, y, F_test, alpha):
    """What scikit-learn's ridge says of standardised features."""
    mean, deviation = F_train.mean(axis=0), F_train.std(axis=0)
    deviation[deviation == 0] = 1
    ridge = RidgeClassifier(alpha=alpha).fit((F_train - mean) / deviation, y)
    return ridge.predict((F_test - mean) / deviation)


def test_what_is_right_is_what_scikit_learn_says(found, digits):
    """Near ties in float32 aside, of which there may be one in each hundred."""
    for name, gamma in (("fourier_300", 0.03), ("fourier_flipped", 0.05)):
        for one in found[0][name]:
            row, X, y = one.row, digits.X_train, digits.y_train
            X, y = X[: row["n_train"]], y[: row["n_train"]]
            if name == "fourier_flipped":
                flipped = X.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
                X, y = np.concatenate([X, flipped]), np.tile(y, 2)
            sampler = RBFSampler(gamma=gamma, n_components=row["D"], random_state=row["seed"])
            F = [sampler.fit(X).transform(x).astype(np.float64) for x in (X, digits.X_test)]
            right = by_hand(F[0], y, F[1], row["alpha"]) == digits.y_test
            assert (right == one.right).mean() >= 0.99, name


def test_the_width_is_the_best_on_training_images_held_out(found):
    widths = found[1]["fourier_300"]
    assert list(widths) == ["3.0", "0.03", "0.0001"] and max(widths, key=widths.get) == "0.03"


def test_nothing_is_chosen_on_test_images(found, digits):
    shuffled = np.random.default_rng(0).permutation(digits.y_test)
    other = digits._replace(y_test=shuffled, X_test=digits.X_test[::-1])
    again, selection = baselines.run(BASELINES, "digits", loader(other))
    assert selection == found[1]
    for name, several in found[0].items():
        for one, twin in zip(several, again[name], strict=True):
            chosen = ("D", "alpha", "held_out", "seed")
            assert [one.row[key] for key in chosen] == [twin.row[key] for key in chosen]
            assert twin.row["accuracy"] < 0.2 < one.row["accuracy"]


def test_the_same_seed_gives_the_same_and_another_does_not(found, digits):
    again, _ = baselines.run({"fourier_300": FOURIER}, "digits", loader(digits))
    rights = [[one.right for one in run["fourier_300"]] for run in (found[0], again)]
    assert np.array_equal(*rights)
    assert not np.array_equal(*rights[0])


def test_a_width_is_chosen_on_some_images_and_features_where_there_are_many(digits, monkeypatch):
    monkeypatch.setattr(baselines, "MAX_SELECTION_IMAGES", 300)
    monkeypatch.setattr(baselines, "MAX_SELECTION_FEATURES", 200)
    asked, fit = [], baselines.Classifier.fit

    def told(self, X, y):
        asked.append((X.shape, self.made[0].feature_dim, np.bincount(y).min()))
        return fit(self, X, y)

    monkeypatch.setattr(baselines.Classifier, "fit", told)
    scored, _ = baselines.run({"fourier": FOURIER}, "digits", loader(digits))
    chosen, trained = asked[:3], asked[3:]
    assert {each[:2] for each in chosen} == {((300, 64), 200)} and min(chosen)[2] >= 28
    assert [each[:2] for each in trained] == [((600, 64), 300)] * 2
    assert [one.row["D"] for one in scored["fourier"]] == [300, 300]


# -- what the experiments make of them -----------------------------------------------------------

BANK = {
    **{"tier": "random", "seeds": [4, 0], "zero_steps": False, "images": "grey"},
    **{"augment": None, "n_train": None, "shown": ["table"], "against": ["fourier", "scattering"]},
    "reservoirs": [
        {
            **{"width": 8, "height": 8, "steps": 2, "rule": "coupled", "rule_params": {"k": 3}},
            **{"input_encoding": "random", "encoder_params": {"k": 3}, "members": 2},
            "probe": {"snapshots": [1, 2], "rectify": True, "pool": 4},
        }
    ],
}


def test_a_bank_is_compared_with_its_baselines(digits):
    config = section(mnist, {"small": BANK}, {"fourier": FOURIER, "scattering": SCATTERING})
    classification.check(config, mnist.IMAGES)
    metrics = classification.run(config, "digits", digits, loader(digits))
    assert [row["model"] for row in metrics["rows"]] == [
        "raw_ridge",
        *["small"] * 2,
        *["fourier"] * 2,
        "scattering",
    ]
    assert {"fourier", "scattering"} <= metrics["summary"].keys()
    assert list(metrics["comparisons"]) == ["small_against_fourier", "small_against_scattering"]
    assert "over_seeds" in metrics["comparisons"]["small_against_fourier"]
    assert list(metrics["selection"]) == ["fourier"] and list(metrics["errors"]) == ["small"]


@pytest.mark.parametrize("experiment", [mnist, fashion_mnist, cifar10])
@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("fourier", {"colour": 1}, ValueError, r"'fourier' must have .* unknown: \['colour'\]"),
        (
            "fourier",
            {"augment": {"flip": True, "average": True}},
            ValueError,
            "must be without average",
        ),
        ("fourier", {"features": "fouier"}, ValueError, r"features must be one of .* got 'fouier'"),
        ("random_12", {}, ValueError, "'random_12' must have a name that begins with"),
        ("scattering", {}, ValueError, "'scattering' must have a name that begins with"),
        ("fourier", {"options": {"D": 3}}, ValueError, r"missing or unknown: \['gammas'\]"),
        (
            "fourier",
            {"options": {**FOURIER["options"], "J": 2}},
            ValueError,
            r"missing or unknown: \['J'\]",
        ),
        ("fourier", {"options": {"D": 0, "gammas": [1]}}, ValueError, "D must be at least 1"),
        ("fourier", {"options": {"D": 2.5, "gammas": [1]}}, TypeError, "D must be an integer"),
        ("fourier", {"options": {"D": 9, "gammas": []}}, ValueError, "gammas must have at least"),
        ("fourier", {"options": {"D": 9, "gammas": 1.0}}, TypeError, "gammas must be a sequence"),
        ("fourier", {"options": {"D": 9, "gammas": [-1]}}, ValueError, "gammas must be above 0"),
        ("fourier", {"images": "infrared"}, ValueError, "images must be one of .* got 'infrared'"),
        ("fourier", {"seeds": []}, ValueError, "one or more that differ"),
        ("fourier", {"augment": {"turn": 3}}, ValueError, r"unknown \['turn'\]"),
        ("fourier", {"augment": {"flip": 3}}, TypeError, "flip"),
        ("fourier", {"augment": {"degrees": 10}}, ValueError, "add shifts"),
        ("fourier", {"augment": {"shifts": 2, "scale": "big"}}, TypeError, "scale"),
        (
            "scattering",
            {**SCATTERING, "seeds": [0, 1]},
            ValueError,
            "scattering is not random, got",
        ),
        (
            "scattering",
            {**SCATTERING, "options": {"J": -1, "L": 8}},
            ValueError,
            "J must be at least 1, got -1",
        ),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_before_anything_is_loaded(
    experiment, name, change, error, message, monkeypatch
):
    monkeypatch.setattr(f"pixelflow.tasks.{experiment.DATASETS[0]}.load", None)
    with pytest.raises(error, match=message):
        experiment.run(section(experiment, {}, {name: {**FOURIER, **change}}))


def test_a_bank_is_compared_with_what_there_is():
    with pytest.raises(ValueError, match=r"others of \['small', 'fourier'\], got \['scattering'\]"):
        banks.check({"small": BANK}, ("grey",), {"fourier": FOURIER})


def test_names_are_of_one_model_or_bank_or_baseline():
    bank = {**BANK, "against": []}
    with pytest.raises(
        ValueError, match=r"banks \['fourier'\] must not have names of models or base"
    ):
        mnist.run(section(mnist, {"fourier": bank}, {"fourier": FOURIER}))
    model = {"rule": "wave", "steps": [1], "encoder": "tile", "width": 8, "height": 8}
    config = section(mnist, {}, {"fourier": FOURIER})
    config["models"] = {"fourier": {**model, "channels": [0], "rule_params": {}}}
    with pytest.raises(ValueError, match=r"baselines \['fourier'\] must not have names of models"):
        mnist.run(config)


def test_where_kymatio_is_missing_it_is_named_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("pixelflow.tasks.mnist.load", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "kymatio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kymatio", None)
    with pytest.raises(ImportError, match=r"needs kymatio .*pip install 'pixelflow\[baselines\]'"):
        mnist.run(section(mnist, {}, {"scattering": SCATTERING}))
