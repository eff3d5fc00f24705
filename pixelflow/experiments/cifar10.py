"""CIFAR-10 by raw pixels, rules, banks, their ablations without steps, and random features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.experiments._scores import Split, load_split, summary
from pixelflow.tasks import cifar10

KEYS = classification.KEYS
reservoir_config = classification.reservoir_config
best_bank, reservoirs = classification.banks.best, classification.banks.reservoirs
DATASETS = ("cifar10",)
IMAGES = ("grey", "rgb")


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every model on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `cifar10` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        As `_classification.run` returns, with the row "raw_rgb_ridge" for raw pixels in colour.
    """
    classification.check(config, IMAGES)
    load = partial(split, config)
    colour = classification.raw(config, "cifar10", "raw_rgb_ridge", load("rgb", config["subset"]))
    metrics = classification.run(config, "cifar10", load("grey", config["subset"]), load)
    metrics["rows"].insert(1, colour.row)
    metrics["summary"] |= summary({"raw_rgb_ridge": [colour]})
    return metrics


def split(config: Mapping[str, Any], images: str, n_train: int | None) -> Split:
    """Load the images for a bank with these `images` and `n_train`."""
    return load_split(cifar10.load, config, n_train, grayscale=images == "grey")
