"""MNIST by raw pixels, rules, banks, their ablations without steps, and random features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.experiments._scores import Split, load_split
from pixelflow.tasks import mnist

KEYS = classification.KEYS
reservoir_config = classification.reservoir_config
best_bank, reservoirs = classification.banks.best, classification.banks.reservoirs
DATASETS = ("mnist",)
IMAGES = ("grey",)


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every model on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `mnist` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        As `_classification.run` returns.
    """
    classification.check(config, IMAGES)
    load = partial(split, config)
    return classification.run(config, "mnist", load("grey", config["subset"]), load)


def split(config: Mapping[str, Any], images: str, n_train: int | None) -> Split:
    """Load the images for a bank with these `images` and `n_train`."""
    return load_split(mnist.load, config, n_train)
