"""Fashion-MNIST by raw pixels, banks, and their ablations without steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.experiments._scores import Split, load_split
from pixelflow.tasks import fashion_mnist

KEYS = ("subset", "alphas", "banks", "baselines", "image")
best_bank, reservoirs = classification.banks.best, classification.banks.reservoirs
DATASETS = ("fashion_mnist",)
IMAGES = ("grey",)


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every model on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `fashion_mnist` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        As `_classification.run` returns.
    """
    classification.check(config, IMAGES)
    load = partial(split, config)
    return classification.run(config, "fashion_mnist", load("grey", config["subset"]), load)


def split(config: Mapping[str, Any], images: str, n_train: int | None) -> Split:
    """Load the images for a bank with these `images` and `n_train`."""
    return load_split(fashion_mnist.load, config, n_train)
