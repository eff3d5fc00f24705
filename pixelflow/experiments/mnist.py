"""MNIST: raw pixels, each rule, and each rule without its steps, by the same linear readout."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from pixelflow.core import Probe, Reservoir, ReservoirConfig
from pixelflow.readouts import LogisticReadout, RidgeReadout
from pixelflow.tasks import mnist

KEYS = ("subset", "selection", "models", "alphas", "logistic", "figure_steps", "digit")
DATASETS = ("mnist",)
HELD_OUT = 1 / 6  # of the images on which a model's steps are chosen
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
        "rows", one per model, the numbers of images "n_train" and "n_test", and "selection", the
        held-out accuracies from which each model's steps were chosen.
    """
    for model in config["models"].values():  # a wrong one is refused before anything is trained
        for steps in model["steps"]:
            reservoir_config(model, steps, config["seed"])
    split = mnist.load(subset=config["subset"], seed=config["seed"])
    ridge = RidgeReadout(alpha=config["alphas"], selection="holdout")
    rows = [
        _row(config, "raw_ridge", 0, split, ridge)[0],
        _row(config, "raw_logistic", 0, split, LogisticReadout(**config["logistic"]))[0],
    ]
    selection = {}
    for name, model in config["models"].items():
        selection[name] = _held_out_accuracies(config, model, split)
        steps = int(max(selection[name], key=lambda steps: selection[name][steps]))
        evolved, right = _reservoir_row(config, name, model, steps, split)
        ablation, right_before = _reservoir_row(config, f"{name}_zero_steps", model, 0, split)
        evolved["gained"] = int((right & ~right_before).sum())
        evolved["lost"] = int((right_before & ~right).sum())
        rows += [evolved, ablation]
    counts = {"n_train": len(split[0]), "n_test": len(split[2])}
    return {"rows": rows, **counts, "selection": selection}


def reservoir_config(model: Mapping[str, Any], steps: int, seed: int) -> ReservoirConfig:
    """The reservoir of one entry of the config's `models`, with that many steps."""
    return ReservoirConfig(
        width=model["width"],
        height=model["height"],
        steps=steps,
        rule=model["rule"],
        rule_params=model["rule_params"],
        input_encoding=model["encoder"],
        seed=seed,
        probe=Probe(channels=tuple(model["channels"])),
    )


def _held_out_accuracies(
    config: Mapping[str, Any], model: Mapping[str, Any], split: Split
) -> dict[str, float]:
    """For each candidate number of steps, the accuracy on training images held out."""
    X, y, *_ = split
    few, _ = train_test_split(
        np.arange(len(X)), train_size=config["selection"], stratify=y, random_state=config["seed"]
    )
    train, held = train_test_split(
        few, test_size=HELD_OUT, stratify=y[few], random_state=config["seed"]
    )
    accuracies = {}
    for steps in model["steps"]:
        features = Reservoir(reservoir_config(model, steps, config["seed"])).transform
        readout = RidgeReadout(alpha=config["alphas"]).fit(_wide(features(X[train])), y[train])
        accuracies[str(steps)] = readout.score(_wide(features(X[held])), y[held])
        logger.info("%s, %d steps: held out %.4f", model["rule"], steps, accuracies[str(steps)])
    return accuracies


def _reservoir_row(
    config: Mapping[str, Any], name: str, model: Mapping[str, Any], steps: int, split: Split
) -> tuple[dict[str, Any], np.ndarray]:
    X_train, y_train, X_test, y_test = split
    reservoir = Reservoir(reservoir_config(model, steps, config["seed"]))
    reservoir.transform(X_test[:1])  # compiles, which is not what is timed
    start = time.perf_counter()
    features = reservoir.transform(X_train), y_train, reservoir.transform(X_test), y_test
    transform_s = time.perf_counter() - start
    readout = RidgeReadout(alpha=config["alphas"], selection="holdout")
    row, right = _row(config, name, steps, features, readout)
    return {**row, "transform_s": round(transform_s, 3)}, right


def _row(
    config: Mapping[str, Any],
    model: str,
    steps: int,
    split: Split,
    readout: RidgeReadout | LogisticReadout,
) -> tuple[dict[str, Any], np.ndarray]:
    """One trained readout, scored on the test images, and which of those it got right."""
    X_train, y_train, X_test, y_test = split
    start = time.perf_counter()
    readout.fit(_wide(X_train), y_train)
    fit_s = time.perf_counter() - start
    right = readout.predict(_wide(X_test)) == y_test
    ridge = isinstance(readout, RidgeReadout)
    row = {
        "dataset": "mnist",
        "model": model,
        "tier": "random",
        "steps": steps,
        "D": X_train.shape[1],
        "seed": config["seed"],
        "accuracy": float(right.mean()),
        "n_test": len(y_test),
        "fit_s": round(fit_s, 3),
        "readout": "ridge" if ridge else "logistic",
        "alpha": readout.alpha_ if ridge else None,
    }
    logger.info("%(model)s: accuracy %(accuracy).4f, D %(D)d, fit %(fit_s).1f s", row)
    return row, right


def _wide(features: np.ndarray) -> np.ndarray:
    """Features in float64: small penalties are lost in the rounding of float32."""
    return features.astype(np.float64)
