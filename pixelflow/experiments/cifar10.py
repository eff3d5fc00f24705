"""CIFAR-10 in grey: raw pixels, each rule, the same without its steps, and random features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelflow.experiments import _classification as classification
from pixelflow.tasks import cifar10

KEYS = classification.KEYS
reservoir_config = classification.reservoir_config
DATASETS = ("cifar10",)


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every model on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `cifar10` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        As `classification.run` says, and the row "raw_rgb_ridge": what grey gives away.
    """
    classification.check_models(config)
    load = {"subset": config["subset"], "seed": config["seed"]}
    metrics = classification.run(
        config, "cifar10", classification.Split(*cifar10.load(**load, grayscale=True))
    )
    colour = classification.raw(config, "cifar10", "raw_rgb_ridge", cifar10.load(**load))
    metrics["rows"].insert(1, colour.row)
    metrics["summary"] |= classification.summary({"raw_rgb_ridge": [colour]})
    return metrics
