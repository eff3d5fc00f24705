"""Banks of reservoirs streamed into a ridge: each beside the same bank without its steps.

What `mnist`, `fashion_mnist` and `cifar10` share beside `_classification`: every bank is trained
for several seeds, and paired with a bank of as many features that its encoder and probe make alone.
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
from pixelflow.experiments._kept import digest, kept
from pixelflow.experiments._scores import Scored, Split
from pixelflow.models.copies import Copies
from pixelflow.readouts.arrays import namespace
from pixelflow.readouts.solvers import EIGEN

KEYS = ("tier", "reservoirs", "seeds", "augment", "images", "n_train", "zero_steps", "against")
KEYS += ("shown",)
SHOWN = ("table", "figure", "comparisons")  # where the paper shows a bank
ZERO_STEPS = "_zero_steps"  # what comes after the name of a bank without its steps
WRONG = 24  # images that a bank gets wrong, of which a result tells
WARM = 10  # images with which a bank is compiled and libraries start
Load = Callable[[str, int | None], Split]
logger = logging.getLogger(__name__)


def check(
    banks: Mapping[str, Mapping[str, Any]], images: Sequence[str], baselines: Iterable[str] = ()
) -> None:
    """Refuse a bank that can't be, of images of these kinds, before anything is loaded."""
    known = [*banks, *baselines]
    for name, bank in banks.items():
        check_entry(f"bank {name!r}", bank, KEYS, images)
        if set(bank["shown"]) - set(SHOWN):
            raise ValueError(f"bank {name!r} is shown in {bank['shown']}, of {SHOWN}")
        for config in reservoirs(bank, 0):
            without_steps(config)
        unknown = [other for other in bank["against"] if other not in known or other == name]
        if unknown:
            raise ValueError(f"bank {name!r} is compared with {unknown}, of {known}")
        if f"{name}{ZERO_STEPS}" in banks:
            raise ValueError(f"{name}{ZERO_STEPS!r} is the name of bank {name!r} without steps")


def check_entry(
    said: str, entry: Mapping[str, Any], keys: Sequence[str], images: Sequence[str]
) -> None:
    """Refuse what a bank can't have, nor a baseline."""
    wrong = sorted(set(keys) ^ set(entry))
    if wrong:
        raise ValueError(f"{said}: missing or unknown {wrong}; it has {keys}")
    if entry["images"] not in images:
        raise ValueError(f"{said} asks for images {entry['images']!r}, of {images}")
    if not entry["seeds"] or len(set(entry["seeds"])) < len(entry["seeds"]):
        raise ValueError(f"{said} needs seeds that differ, got {entry['seeds']}")
    Copies.checked(entry["augment"])


def reservoirs(bank: Mapping[str, Any], seed: int) -> list[ReservoirConfig]:
    """The configs of one bank."""
    return [ReservoirConfig.from_dict({**fields, "seed": seed}) for fields in bank["reservoirs"]]


def without_steps(config: ReservoirConfig) -> ReservoirConfig:
    """The same encoder and probe, no step, and as many features: more members for snapshots."""
    read = len(config.probe.times(config.steps))
    return config.with_params(
        steps=0, probe__snapshots=None, members=read * config.members, rule_params={}, medium={}
    )


def best(rows: Sequence[Mapping[str, Any]], banks: Mapping[str, Any]) -> str:
    """The bank with the highest mean accuracy on training images held out."""
    held = {name: [r["held_out"] for r in rows if r["model"] == name] for name in banks}
    return max(held, key=lambda name: float(np.mean(held[name])))


def run(
    banks: Mapping[str, Mapping[str, Any]], dataset: str, load: Load
) -> tuple[dict[str, list[Scored]], list[tuple[str, str]], dict[str, Any]]:
    """Every bank and, where asked for, its like without steps, on each of its seeds.

    Parameters
    ----------
    banks : mapping
        By name; the config's schema describes one.
    dataset : str
        Its name in the rows.
    load : callable
        Gives the split for a bank's `images` ("grey" or "rgb") and `n_train`.

    Returns
    -------
    scored : dict of lists of Scored
    pairs : list of (str, str)
        Whom to compare with whom.
    errors : dict
        Of each bank's first seed: the "confusion" matrix (true, predicted) and some of the "wrong"
        test images, as (number, label, prediction).
    """
    jobs, pairs = [], []
    for name, bank in banks.items():
        made = {seed: reservoirs(bank, seed) for seed in bank["seeds"]}
        jobs += [(bank, name, seed, configs) for seed, configs in made.items()]
        if bank["zero_steps"]:
            twin = f"{name}{ZERO_STEPS}"
            jobs += [
                (bank, twin, seed, [without_steps(config) for config in configs])
                for seed, configs in made.items()
            ]
            pairs.append((name, twin))
        pairs += [(name, other) for other in bank["against"]]
    scored: dict[str, list[Scored]] = {}
    errors: dict[str, Any] = {}
    found = _gpus.done(partial(Trainer, dataset, load), jobs)
    for (_, label, *_), (one, wrong) in zip(jobs, found, strict=True):
        told(one.row)
        scored.setdefault(label, []).append(one)
        errors.setdefault(label, wrong)
    return scored, pairs, errors


class Trainer:
    """Trains banks, and keeps the images that the last one saw, for the next.

    Parameters
    ----------
    dataset, load
        As for `run`.
    """

    def __init__(self, dataset: str, load: Load) -> None:
        self.dataset, self._load = dataset, load
        self._of: tuple[Any, ...] = ()

    def __call__(
        self, bank: Mapping[str, Any], label: str, seed: int, configs: Sequence[ReservoirConfig]
    ) -> tuple[Scored, dict[str, Any]]:
        """One bank of one seed, and what it gets wrong."""
        self._see(bank["images"], bank["n_train"])
        job = (configs, bank["tier"], bank["augment"], self.dataset, label, seed)
        return kept(self._fit, job, self._digest)

    def _fit(self, *job: Any) -> tuple[Scored, dict[str, Any]]:
        one, predicted = fit(self._split, *job)
        one.row["load_s"] = self._load_s
        return one, _errors(self._split.y_test, predicted)

    def _see(self, *of: Any) -> None:
        if of != self._of:
            start = time.perf_counter()
            self._split, self._of = self._load(*of), of
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
    """One bank, trained and used once on the test images; what it said of them."""
    warm(configs, augment, split.X_train[:WARM])
    model = ReservoirClassifier(list(configs), augment=augment)
    fields = {
        "dataset": dataset,
        "model": label,
        "tier": tier,
        "steps": max(config.steps for config in configs),
        "seed": seed,
    }
    return trained(model, split, fields)


def warm(
    configs: Sequence[ReservoirConfig], augment: Mapping[str, Any] | None, few: np.ndarray
) -> None:
    """Compile a bank's code on a few images, and start libraries: what is not to be timed."""
    readout = RidgeReadout(1.0, "classification", standardize=True)  # by the dual equations
    model = ReservoirClassifier(list(configs), readout, augment=augment)
    model.fit(few, np.arange(len(few)) % 2).predict(few)
    start_libraries(namespace(next(model.reservoirs_[0].iter_features(few, len(few)))))


@cache
def start_libraries(xp: Any) -> None:
    """Start the libraries that a ridge needs on arrays of this module."""
    X = np.random.default_rng(0).normal(size=(2 * EIGEN, EIGEN + 1)).astype(np.float32)
    RidgeReadout([1.0, 2.0], standardize=True).fit(xp.asarray(X), np.arange(len(X)) % 2)


def trained(model: Any, split: Split, fields: Mapping[str, Any]) -> tuple[Scored, np.ndarray]:
    """A classifier with a ridge, fitted and used once on the test images; what it said of them."""
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


def told(row: Mapping[str, Any]) -> None:
    """Log a row of `trained`."""
    logger.info(
        "%(model)s, seed %(seed)d, D %(D)d: held out %(held_out).4f, accuracy %(accuracy).4f, "
        "fit %(fit_s).1f s",
        row,
    )


def _errors(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    wrong = np.flatnonzero(labels != predicted)[:WRONG]
    return {
        "confusion": confusion_matrix(labels, predicted).tolist(),
        "wrong": [[int(i), int(labels[i]), int(predicted[i])] for i in wrong],
    }
