"""Baselines of the banks: features without a reservoir, streamed into the same ridge.

Random Fourier features of any number, and scattering. On a GPU the features stay there.
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
from pixelflow.experiments._features import Streamed, fourier, kymatio_module, scattering
from pixelflow.experiments._kept import digest, kept
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
MOST = {"D": 2**24, "J": 16, "L": 64}  # above what any memory, image or angle has room for
MOST_WIDTHS = 1000  # of a kernel, to choose from
TIERS = {"fourier": "random", "scattering": "fixed"}
SELECTION = 10_000  # training images, at most, on which the width of a kernel is chosen,
CHOOSING = 12_288  # and of how many features at most: more would take longer than the fit itself
logger = logging.getLogger(__name__)


def check(baselines: Mapping[str, Mapping[str, Any]], images: Sequence[str]) -> None:
    """Refuse a baseline that can't be, of images of these kinds, before anything is loaded."""
    for name, baseline in baselines.items():
        said = f"baseline {name!r}"
        banks.check_entry(said, baseline, KEYS, images)
        if Copies.from_augment(baseline["augment"]).average:
            raise ValueError(f"{said} can't average decisions: leave average out of augment")
        kind, options = baseline["features"], baseline["options"]
        if kind not in OPTIONS:
            raise ValueError(f"{said} asks for features {kind!r}, of {list(OPTIONS)}")
        if name.partition("_")[0] != kind:  # figures tell by it what it is
            raise ValueError(f"{said} must have a name that begins with its features, {kind!r}")
        wrong = sorted(set(OPTIONS[kind]) ^ set(options))
        if wrong:
            raise ValueError(f"{said}: options missing or unknown {wrong}; it has {OPTIONS[kind]}")
        for key, value in options.items():
            _check_option(said, key, value)
        if kind == "scattering":
            if len(baseline["seeds"]) > 1:
                raise ValueError(f"{said} has nothing random: one seed, got {baseline['seeds']}")
            kymatio_module("frontend.numpy_frontend")


def _check_option(said: str, key: str, value: Any) -> None:
    if key != "gammas":
        integer(f"{said}: {key}", value, 1, MOST[key])
        return
    gammas = sequence(f"{said}: gammas", value, MOST_WIDTHS)
    if not gammas:
        raise ValueError(f"{said}: gammas must have at least one number, got none")
    for gamma in gammas:
        number(f"{said}: gammas", gamma, above=0)


def run(
    baselines: Mapping[str, Mapping[str, Any]], dataset: str, load: banks.Load
) -> tuple[dict[str, list[Scored]], dict[str, dict[str, float]]]:
    """Every baseline on each of its seeds.

    Parameters
    ----------
    baselines : mapping
        By name; the config's schema describes one.
    dataset : str
        Its name in the rows.
    load : callable
        Gives the split for a baseline's `images` and `n_train`, as to a bank.

    Returns
    -------
    scored : dict of lists of Scored
    selection : dict
        For each baseline with several kernel widths, the held-out accuracy of each.
    """
    scored: dict[str, list[Scored]] = {}
    selection: dict[str, dict[str, float]] = {}
    xp = arrays() if baselines else np  # backends are not probed for nothing
    for name, baseline in baselines.items():
        split = load(baseline["images"], baseline["n_train"])
        options = dict(baseline["options"])
        if baseline["features"] == "fourier":
            gammas = options.pop("gammas")
            if len(gammas) > 1:
                seed = baseline["seeds"][0]
                selection[name] = widths(name, options["D"], gammas, seed, split, xp)
                gammas = sorted(gammas, key=lambda gamma: -selection[name][str(gamma)])
            options["gamma"] = gammas[0]
        work, seen = partial(_fit, split, xp), digest(split)
        jobs = [(baseline, options, dataset, name, seed) for seed in baseline["seeds"]]
        scored[name] = [kept(work, job, seen) for job in jobs]
        for one in scored[name]:
            banks.told(one.row)
    return scored, selection


def arrays() -> Any:
    """CuPy where backend "auto" is cuda, whose features stay on the device; else NumPy."""
    return import_module("cupy") if "cuda" in available_backends() else np


def source(options: Mapping[str, Any], seed: int, X: np.ndarray, xp: Any) -> Streamed:
    """Random Fourier features of that D and gamma, or scattering of that J and L, of inputs X."""
    if "gamma" in options:
        transform = fourier(options["D"], options["gamma"], seed, X, xp)
    else:
        transform = scattering(options["J"], options["L"], X, xp)
    return Streamed(transform, transform(xp.asarray(X[:1])).shape[1], xp)


def widths(
    name: str, size: int, gammas: Sequence[float], seed: int, split: Split, xp: Any
) -> dict[str, float]:
    """For each gamma, the accuracy on images held out of (some of) the training images."""
    rows = np.arange(len(split.y_train))
    if len(rows) > SELECTION:
        rows, _ = train_test_split(
            rows, train_size=SELECTION, stratify=split.y_train, random_state=seed
        )
    X, y = split.X_train[rows], split.y_train[rows]
    found = {}
    for gamma in gammas:
        made = source({"D": min(size, CHOOSING), "gamma": gamma}, seed, X, xp)
        model = Classifier(made, None, len(X))  # whole: quicker where images are fewer than D
        found[str(gamma)] = model.fit(X, y).readout_.best_score_
        logger.info("%s, gamma %g: held out %.4f", name, gamma, found[str(gamma)])
    return found


class Classifier:
    """The ridge of `ReservoirClassifier`, trained on a stream of any features."""

    def __init__(
        self, made: Streamed, augment: Mapping[str, Any] | None, batch_size: int | None = None
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
    made = source(options, seed, split.X_train, xp)
    tier = TIERS[baseline["features"]]
    fields = {"dataset": dataset, "model": name, "tier": tier, "steps": 0, "seed": seed}
    next(made.iter_features(split.X_train, banks.WARM))  # compiles, which is not what is timed
    banks.start_libraries(xp)
    return banks.trained(Classifier(made, baseline["augment"]), split, fields)[0]
