"""Baselines of the banks: features without a reservoir, with the same ridge readout.

They are random Fourier features and scattering coefficients. On a GPU the features stay there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Self

import numpy as np
from sklearn.model_selection import train_test_split

from pixelflow import available_backends
from pixelflow.checks import integer, number, sequence
from pixelflow.experiments import _banks as banks
from pixelflow.experiments._features import FunctionFeatures, fourier, kymatio_module, scattering
from pixelflow.experiments._kept import digest, run_cached
from pixelflow.experiments._scores import Scored, Split
from pixelflow.models.copies import Copies
from pixelflow.models.stream import (
    TrainingSet,
    iter_feature_batches,
    map_batches,
    resolve_batch_size,
)
from pixelflow.models.training import default_readout, fit_readout

KEYS = ("features", "options", "seeds", "augment", "images", "n_train")
OPTIONS = {"fourier": ("D", "gammas"), "scattering": ("J", "L")}
LARGEST = {"D": 2**24, "J": 16, "L": 64}  # values allowed; larger ones would not fit in memory
MAX_GAMMAS = 1000  # candidates for the kernel's width
TIERS = {"fourier": "random", "scattering": "fixed"}
MAX_SELECTION_IMAGES = 10_000  # training images on which the kernel's width is chosen
MAX_SELECTION_FEATURES = 12_288  # with more, choosing the width would take longer than the fit
logger = logging.getLogger(__name__)


def check(baselines: Mapping[str, Mapping[str, Any]], images: Sequence[str]) -> None:
    """Check the config's baselines before data is loaded; raises ValueError or TypeError."""
    for name, baseline in baselines.items():
        title = f"baseline {name!r}"
        banks.check_entry(title, baseline, KEYS, images)
        if Copies.from_augment(baseline["augment"]).average:
            raise ValueError(f"{title}: augment must be without average, which baselines lack")
        kind, options = baseline["features"], baseline["options"]
        if kind not in OPTIONS:
            raise ValueError(f"{title}: features must be one of {list(OPTIONS)}, got {kind!r}")
        if name.partition("_")[0] != kind:  # figures recognise the kind by the name
            raise ValueError(f"{title} must have a name that begins with its features, {kind!r}")
        wrong = sorted(set(OPTIONS[kind]) ^ set(options))
        if wrong:
            raise ValueError(
                f"{title}: options must be {OPTIONS[kind]}, missing or unknown: {wrong}"
            )
        for key, value in options.items():
            _check_option(title, key, value)
        if kind == "scattering":
            if len(baseline["seeds"]) > 1:
                raise ValueError(
                    f"{title}: seeds must be one, because scattering is not random, "
                    f"got {baseline['seeds']}"
                )
            kymatio_module("frontend.numpy_frontend")


def _check_option(title: str, key: str, value: Any) -> None:
    if key != "gammas":
        integer(f"{title}: {key}", value, 1, LARGEST[key])
        return
    gammas = sequence(f"{title}: gammas", value, MAX_GAMMAS)
    if not gammas:
        raise ValueError(f"{title}: gammas must have at least one number, got none")
    for gamma in gammas:
        number(f"{title}: gammas", gamma, above=0)


def run(
    baselines: Mapping[str, Mapping[str, Any]], dataset: str, load: banks.Load
) -> tuple[dict[str, list[Scored]], dict[str, dict[str, float]]]:
    """Train and score every baseline for each of its seeds.

    Parameters
    ----------
    baselines : mapping
        The baselines by name; the config's schema describes one.
    dataset : str
        The data set's name in the rows.
    load : callable
        Returns the split for a baseline's `images` and `n_train`, as for a bank.

    Returns
    -------
    scored : dict of lists of Scored
    selection : dict
        For each baseline with several kernel widths, the held-out accuracy of each width.
    """
    scored: dict[str, list[Scored]] = {}
    selection: dict[str, dict[str, float]] = {}
    xp = array_module() if baselines else np  # probing the backends takes time
    for name, baseline in baselines.items():
        split = load(baseline["images"], baseline["n_train"])
        options = dict(baseline["options"])
        if baseline["features"] == "fourier":
            gammas = options.pop("gammas")
            if len(gammas) > 1:
                seed = baseline["seeds"][0]
                selection[name] = score_gammas(name, options["D"], gammas, seed, split, xp)
                gammas = sorted(gammas, key=lambda gamma: -selection[name][str(gamma)])
            options["gamma"] = gammas[0]
        work, seen = partial(_fit, split, xp), digest(split)
        jobs = [(baseline, options, dataset, name, seed) for seed in baseline["seeds"]]
        scored[name] = [run_cached(work, job, seen) for job in jobs]
        for one in scored[name]:
            banks.log_row(one.row)
    return scored, selection


def array_module() -> Any:
    """CuPy if backend "cuda" can run, so that features stay on the device; else NumPy."""
    return import_module("cupy") if "cuda" in available_backends() else np


def feature_maker(
    options: Mapping[str, Any], seed: int, X: np.ndarray, xp: Any
) -> FunctionFeatures:
    """Make random Fourier features (options D, gamma) or scattering (J, L) for inputs like X."""
    if "gamma" in options:
        transform = fourier(options["D"], options["gamma"], seed, X, xp)
    else:
        transform = scattering(options["J"], options["L"], X, xp)
    return FunctionFeatures(transform, transform(xp.asarray(X[:1])).shape[1], xp)


def score_gammas(
    name: str, size: int, gammas: Sequence[float], seed: int, split: Split, xp: Any
) -> dict[str, float]:
    """The held-out accuracy of each gamma, on at most `MAX_SELECTION_IMAGES` training images."""
    rows = np.arange(len(split.y_train))
    if len(rows) > MAX_SELECTION_IMAGES:
        rows, _ = train_test_split(
            rows, train_size=MAX_SELECTION_IMAGES, stratify=split.y_train, random_state=seed
        )
    X, y = split.X_train[rows], split.y_train[rows]
    found = {}
    for gamma in gammas:
        made = feature_maker({"D": min(size, MAX_SELECTION_FEATURES), "gamma": gamma}, seed, X, xp)
        model = Classifier(made, None, len(X))  # one batch: faster if images are fewer than D
        found[str(gamma)] = model.fit(X, y).readout_.best_score_
        logger.info("%s, gamma %g: held out %.4f", name, gamma, found[str(gamma)])
    return found


class Classifier:
    """The ridge of `ReservoirClassifier`, trained on batches of any features."""

    def __init__(
        self,
        made: FunctionFeatures,
        augment: Mapping[str, Any] | None,
        batch_size: int | None = None,
    ) -> None:
        self.made, self.copies = [made], Copies.from_augment(augment)
        self.size = resolve_batch_size(self.made, batch_size)

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        data = TrainingSet(self.made, X, y, None, self.size, self.copies)
        self.readout_ = default_readout("classification", data.total_weight)
        fit_readout(self.readout_, data, np.unique(y))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return map_batches(self.readout_.predict, iter_feature_batches(self.made, X, self.size))


def _fit(
    split: Split,
    xp: Any,
    baseline: Mapping[str, Any],
    options: Mapping[str, Any],
    dataset: str,
    name: str,
    seed: int,
) -> Scored:
    made = feature_maker(options, seed, split.X_train, xp)
    tier = TIERS[baseline["features"]]
    fields = {"dataset": dataset, "model": name, "tier": tier, "steps": 0, "seed": seed}
    next(made.iter_features(split.X_train, banks.N_WARM_UP))  # compiles, which is not timed
    banks.start_libraries(xp)
    return banks.fit_and_score(Classifier(made, baseline["augment"]), split, fields)[0]
