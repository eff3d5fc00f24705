"""MNIST: raw pixels, each rule, the same without its steps, and random features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.tasks import mnist

KEYS = classification.KEYS
reservoir_config = classification.reservoir_config
DATASETS = ("mnist",)


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every model on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `mnist` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        As `classification.run` says.
    """
    classification.check_models(config)
    split = classification.Split(*mnist.load(subset=config["subset"], seed=config["seed"]))
    return classification.run(config, "mnist", split)
