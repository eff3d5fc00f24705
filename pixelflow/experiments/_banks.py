"""Banks of reservoirs with a ridge readout, each compared with the same bank without steps.

The experiments `mnist`, `fashion_mnist` and `cifar10` use this module and `_classification`. Every
bank is trained for several seeds. The bank without steps has the same encoder and probe, and as
many features.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from pixelflow import ReservoirClassifier, RidgeReadout
from pixelflow.core import ReservoirConfig
from pixelflow.experiments import _gpus
from pixelflow.experiments._kept import digest, run_cached
from pixelflow.experiments._scores import Scored, Split
from pixelflow.models.copies import Copies
from pixelflow.readouts.arrays import namespace
from pixelflow.readouts.solvers import EIGEN

KEYS = ("tier", "reservoirs", "seeds", "augment", "images", "n_train", "zero_steps", "against")
KEYS += ("shown",)
SHOWN = ("table", "figure", "comparisons")  # the parts of the paper that can show a bank
ZERO_STEPS_SUFFIX = "_zero_steps"  # of the name of a bank without steps
MAX_WRONG = 24  # misclassified images in a result
N_WARM_UP = 10  # images that are used to compile a bank and to load libraries
Load = Callable[[str, int | None], Split]
logger = logging.getLogger(__name__)


def check(
    banks: Mapping[str, Mapping[str, Any]], images: Sequence[str], baselines: Iterable[str] = ()
) -> None:
    """Check the config's banks before data is loaded; ValueError or TypeError if one is wrong."""
    known = [*banks, *baselines]
    for name, bank in banks.items():
        check_entry(f"bank {name!r}", bank, KEYS, images)
        if set(bank["shown"]) - set(SHOWN):
            raise ValueError(f"bank {name!r}: shown must be some of {SHOWN}, got {bank['shown']}")
        for config in reservoirs(bank, 0):
            without_steps(config)
        unknown = [other for other in bank["against"] if other not in known or other == name]
        if unknown:
            raise ValueError(f"bank {name!r}: against must be others of {known}, got {unknown}")
        twin = f"{name}{ZERO_STEPS_SUFFIX}"
        if twin in banks:
            raise ValueError(f"bank {twin!r}: the name is reserved for bank {name!r} without steps")


def check_entry(
    title: str, entry: Mapping[str, Any], keys: Sequence[str], images: Sequence[str]
) -> None:
    """Check what banks and baselines have in common; `title` names the entry in errors."""
    wrong = sorted(set(keys) ^ set(entry))
    if wrong:
        raise ValueError(f"{title} must have the keys {keys}, missing or unknown: {wrong}")
    if entry["images"] not in images:
        raise ValueError(f"{title}: images must be one of {images}, got {entry['images']!r}")
    if not entry["seeds"] or len(set(entry["seeds"])) < len(entry["seeds"]):
        raise ValueError(f"{title}: seeds must be one or more that differ, got {entry['seeds']}")
    Copies.from_augment(entry["augment"])


def reservoirs(bank: Mapping[str, Any], seed: int) -> list[ReservoirConfig]:
    """The reservoir configs of one bank."""
    return [ReservoirConfig.from_dict({**fields, "seed": seed}) for fields in bank["reservoirs"]]


def without_steps(config: ReservoirConfig) -> ReservoirConfig:
    """The config with zero steps and as many features, because each snapshot becomes a member."""
    n_snapshots = len(config.probe.times(config.steps))
    return config.with_params(
        steps=0,
        probe__snapshots=None,
        members=n_snapshots * config.members,
        rule_params={},
        medium={},
    )


def best(rows: Sequence[Mapping[str, Any]], banks: Mapping[str, Any]) -> str:
    """The bank with the highest mean accuracy on held-out training images."""
    held = {name: [r["held_out"] for r in rows if r["model"] == name] for name in banks}
    return max(held, key=lambda name: float(np.mean(held[name])))


def run(
    banks: Mapping[str, Mapping[str, Any]], dataset: str, load: Load
) -> tuple[dict[str, list[Scored]], list[tuple[str, str]], dict[str, Any]]:
    """Train and score every bank, with `zero_steps` also its twin, for each of its seeds.

    Parameters
    ----------
    banks : mapping
        The banks by name; the config's schema describes one.
    dataset : str
        The data set's name in the rows.
    load : callable
        Returns the split for a bank's `images` ("grey" or "rgb") and `n_train`.

    Returns
    -------
    scored : dict of lists of Scored
    pairs : list of (str, str)
        The names to compare.
    errors : dict
        For each bank's first seed the "confusion" matrix (true, predicted), and "wrong", some
        misclassified test images as (number, label, prediction).
    """
    jobs, pairs = [], []
    for name, bank in banks.items():
        made = {seed: reservoirs(bank, seed) for seed in bank["seeds"]}
        jobs += [(bank, name, seed, configs) for seed, configs in made.items()]
        if bank["zero_steps"]:
            twin = f"{name}{ZERO_STEPS_SUFFIX}"
            jobs += [
                (bank, twin, seed, [without_steps(config) for config in configs])
                for seed, configs in made.items()
            ]
            pairs.append((name, twin))
        pairs += [(name, other) for other in bank["against"]]
    scored: dict[str, list[Scored]] = {}
    errors: dict[str, Any] = {}
    found = _gpus.map_jobs(partial(Trainer, dataset, load), jobs)
    for (_, label, *_), (one, wrong) in zip(jobs, found, strict=True):
        log_row(one.row)
        scored.setdefault(label, []).append(one)
        errors.setdefault(label, wrong)
    return scored, pairs, errors


class Trainer:
    """Trains banks; the images stay loaded for the next bank that uses the same ones.

    Parameters
    ----------
    dataset, load
        As for `run`.
    """

    def __init__(self, dataset: str, load: Load) -> None:
        self.dataset, self._load = dataset, load
        self._split_key: tuple[str, int | None] | None = None

    def __call__(
        self, bank: Mapping[str, Any], label: str, seed: int, configs: Sequence[ReservoirConfig]
    ) -> tuple[Scored, dict[str, Any]]:
        """Train and score one bank for one seed; also returns its errors, as `run` does."""
        self._load_split(bank["images"], bank["n_train"])
        job = (configs, bank["tier"], bank["augment"], self.dataset, label, seed)
        return run_cached(self._fit, job, self._digest)

    def _fit(self, *job: Any) -> tuple[Scored, dict[str, Any]]:
        one, predicted = fit(self._split, *job)
        one.row["load_s"] = self._load_s
        return one, _errors(self._split.y_test, predicted)

    def _load_split(self, images: str, n_train: int | None) -> None:
        key = (images, n_train)
        if key != self._split_key:
            start = time.perf_counter()
            self._split, self._split_key = self._load(*key), key
            self._load_s = round(time.perf_counter() - start, 3)
            self._digest = digest(self.dataset, self._split)


def fit(
    split: Split,
    configs: Sequence[ReservoirConfig],
    tier: str,
    augment: Mapping[str, Any] | None,
    dataset: str,
    label: str,
    seed: int,
) -> tuple[Scored, np.ndarray]:
    """Train one bank and score it once on the test images; also returns its predictions."""
    warm_up(configs, augment, split.X_train[:N_WARM_UP])
    model = ReservoirClassifier(list(configs), augment=augment)
    fields = {
        "dataset": dataset,
        "model": label,
        "tier": tier,
        "steps": max(config.steps for config in configs),
        "seed": seed,
    }
    return fit_and_score(model, split, fields)


def warm_up(
    configs: Sequence[ReservoirConfig], augment: Mapping[str, Any] | None, few: np.ndarray
) -> None:
    """Compile a bank's code with a few images and load libraries, so that neither is timed."""
    readout = RidgeReadout(1.0, "classification", standardize=True)  # solved in the dual form
    model = ReservoirClassifier(list(configs), readout, augment=augment)
    model.fit(few, np.arange(len(few)) % 2).predict(few)
    start_libraries(namespace(next(model.reservoirs_[0].iter_features(few, len(few)))))


@cache
def start_libraries(xp: Any) -> None:
    """Load the libraries that a ridge needs for arrays of this module."""
    X = np.random.default_rng(0).normal(size=(2 * EIGEN, EIGEN + 1)).astype(np.float32)
    RidgeReadout([1.0, 2.0], standardize=True).fit(xp.asarray(X), np.arange(len(X)) % 2)


def fit_and_score(model: Any, split: Split, fields: Mapping[str, Any]) -> tuple[Scored, np.ndarray]:
    """Fit a classifier with a ridge and score it once; also returns its predictions."""
    start = time.perf_counter()
    model.fit(split.X_train, split.y_train)
    fit_s = time.perf_counter() - start
    start = time.perf_counter()
    predicted = model.predict(split.X_test)
    predict_s = time.perf_counter() - start
    readout: Any = model.readout_
    right = predicted == split.y_test
    row = {
        **fields,
        "D": readout.n_features_in_,
        "accuracy": float(right.mean()),
        "held_out": readout.best_score_,
        "n_train": len(split.y_train),
        "n_test": len(split.y_test),
        "fit_s": round(fit_s, 3),
        "predict_s": round(predict_s, 3),
        "readout": "ridge",
        "alpha": readout.alpha_,
    }
    return Scored(row, right), predicted


def log_row(row: Mapping[str, Any]) -> None:
    """Log a row of `fit_and_score`."""
    logger.info(
        "%(model)s, seed %(seed)d, D %(D)d: held out %(held_out).4f, accuracy %(accuracy).4f, "
        "fit %(fit_s).1f s",
        row,
    )


def _errors(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    wrong = np.flatnonzero(labels != predicted)[:MAX_WRONG]
    return {
        "confusion": confusion_matrix(labels, predicted).tolist(),
        "wrong": [[int(i), int(labels[i]), int(predicted[i])] for i in wrong],
    }
