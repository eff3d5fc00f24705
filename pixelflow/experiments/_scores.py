"""Accuracies of models on the same test images, with intervals and paired tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pixelflow import stats


class Split(NamedTuple):
    """Training and test inputs (n, D), and labels (n,)."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load_split(
    load: Callable[..., Any], config: Mapping[str, Any], n_train: int | None, **options: Any
) -> Split:
    """Load a data set with the smaller of `n_train` and the config's `subset` training images."""
    smaller = [n for n in (n_train, config["subset"]) if n is not None]
    return Split(*load(subset=min(smaller, default=None), seed=config["seed"], **options))


class Scored(NamedTuple):
    """A row of a result, and for each test image whether it was classified correctly."""

    row: dict[str, Any]
    right: np.ndarray


class Difference(NamedTuple):
    """The mean difference over the seeds, and its 95% interval."""

    difference: float
    low: float
    high: float


def summary(scored: Mapping[str, list[Scored]]) -> dict[str, dict[str, Any]]:
    """Accuracy and 95% interval of each model: over its seeds, or for a single run Wilson's."""
    found = {}
    for name, several in scored.items():
        if len(several) > 1:
            interval = stats.over_seeds([one.row["accuracy"] for one in several])
        else:
            interval = stats.proportion(int(several[0].right.sum()), len(several[0].right))
        found[name] = {"n_seeds": len(several), **_accuracies(interval._asdict())}
        if "non_affine" in several[0].row:
            found[name]["non_affine"] = several[0].row["non_affine"]
    return found


def comparisons(
    scored: Mapping[str, list[Scored]], pairs: list[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Paired tests on the test images; `p_holm` is corrected for the number of pairs.

    If both models have the same seeds, "over_seeds" is the mean difference and its interval.
    """
    found = {}
    for name, other in pairs:
        rights = [np.array([one.right for one in scored[key]]) for key in (name, other)]
        seeds = [[one.row["seed"] for one in scored[key]] for key in (name, other)]
        test = stats.paired(*rights)
        entry: dict[str, Any] = {**_accuracies(test._asdict()), "p": test.p}
        if len(rights[0]) == len(rights[1]) == 1:
            entry["gained"] = int((rights[0] & ~rights[1]).sum())
            entry["lost"] = int((rights[1] & ~rights[0]).sum())
        elif seeds[0] == seeds[1]:
            each = stats.over_seeds(np.mean(rights[0], axis=1) - np.mean(rights[1], axis=1))
            entry["over_seeds"] = _accuracies(Difference(*each)._asdict())
        kind = "random_features" if other.startswith("random_features") else other
        found[f"{name}_against_{kind}"] = entry
    corrected = stats.holm([entry["p"] for entry in found.values()])
    for entry, p in zip(found.values(), corrected, strict=True):
        entry["p_holm"] = p
    return found


def _accuracies(interval: Mapping[str, float]) -> dict[str, float]:
    """The fields of an interval, with "_accuracy" added to their names."""
    return {f"{key}_accuracy": value for key, value in interval.items() if key != "p"}
