"""MNIST: raw pixels, each rule, and each rule without its steps, by the same linear readout."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.core import Probe, Reservoir, ReservoirConfig
from pixelflow.readouts import LogisticReadout, RidgeReadout
from pixelflow.tasks import mnist

KEYS = ("subset", "models", "alphas", "logistic", "figure_steps", "digit")
DATASETS = ("mnist",)
logger = logging.getLogger(__name__)

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # X_train, y_train, X_test, y_test


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train every readout on the training images and score it once on the test images.

    Parameters
    ----------
    config : mapping
        The section `mnist` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        "rows", one per model, and the numbers of images, "n_train" and "n_test".
    """
    split = mnist.load(subset=config["subset"], seed=config["seed"])
    ridge = RidgeReadout(alpha=config["alphas"], selection="holdout")
    rows = [
        _row(config, "raw_ridge", 0, split, ridge, "ridge"),
        _row(config, "raw_logistic", 0, split, LogisticReadout(**config["logistic"]), "logistic"),
    ]
    for name, model in config["models"].items():
        for label, steps in ((name, model["steps"]), (f"{name}_zero_steps", 0)):
            reservoir = Reservoir(reservoir_config({**model, "steps": steps}, config["seed"]))
            X_train, y_train, X_test, y_test = split
            start = time.perf_counter()
            features = reservoir.transform(X_train), y_train, reservoir.transform(X_test), y_test
            seconds = time.perf_counter() - start
            rows.append(_row(config, label, steps, features, ridge, "ridge", seconds))
    return {"rows": rows, "n_train": len(split[0]), "n_test": len(split[2])}


def reservoir_config(model: Mapping[str, Any], seed: int) -> ReservoirConfig:
    """The reservoir of one entry of the config's `models`."""
    return ReservoirConfig(
        width=model["width"],
        height=model["height"],
        steps=model["steps"],
        rule=model["rule"],
        rule_params=model["rule_params"],
        input_encoding=model["encoder"],
        seed=seed,
        probe=Probe(channels=tuple(model["channels"])),
    )


def _row(
    config: Mapping[str, Any],
    model: str,
    steps: int,
    split: Split,
    readout: RidgeReadout | LogisticReadout,
    name: str,
    transform_s: float = 0.0,
) -> dict[str, Any]:
    """One trained readout, scored on the test images."""
    X_train, y_train, X_test, y_test = split
    start = time.perf_counter()
    readout.fit(X_train, y_train)
    fit_s = time.perf_counter() - start
    row = {
        "dataset": "mnist",
        "model": model,
        "tier": "random",
        "steps": steps,
        "D": X_train.shape[1],
        "seed": config["seed"],
        "accuracy": readout.score(X_test, y_test),
        "n_test": len(y_test),
        "fit_s": round(fit_s, 3),
        "transform_s": round(transform_s, 3),
        "readout": name,
    }
    logger.info("%(model)s: accuracy %(accuracy).4f, D %(D)d, fit %(fit_s).1f s", row)
    return row
