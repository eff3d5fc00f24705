"""Fashion-MNIST: raw pixels, banks, and the same without steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.experiments._scores import Split, loaded
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
        As `classification.run` says.
    """
    classification.check(config, IMAGES)
    load = partial(split, config)
    return classification.run(config, "fashion_mnist", load("grey", config["subset"]), load)


def split(config: Mapping[str, Any], images: str, n_train: int | None) -> Split:
    """What a bank of these `images` and `n_train` is trained and tested on."""
    return loaded(fashion_mnist.load, config, n_train)
