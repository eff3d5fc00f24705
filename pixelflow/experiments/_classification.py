"""Classification of a data set by raw pixels, rules, their ablations, random features and banks.

The experiments `mnist`, `fashion_mnist`, `cifar10` and `published` use this module. All models have
the same readout. Hyperparameters are chosen on held-out training images, and the test images are
used once per row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from pixelflow.core import Probe, ReservoirConfig
from pixelflow.experiments import _banks as banks
from pixelflow.experiments import _baselines as baselines
from pixelflow.experiments._companions import Transform, make_transform, non_affine
from pixelflow.experiments._features import fourier
from pixelflow.experiments._kept import digest, run_cached
from pixelflow.experiments._scores import Scored, Split, comparisons, summary
from pixelflow.readouts import LogisticReadout, RidgeReadout

KEYS = (
    "subset",
    "selection",
    "models",
    "alphas",
    "random_features",
    "banks",
    "baselines",
    "figure_steps",
    "image",
)
logger = logging.getLogger(__name__)


def run(config: Mapping[str, Any], dataset: str, split: Split, load: banks.Load) -> dict[str, Any]:
    """Train and score all models of a data set and return the metrics.

    Parameters
    ----------
    config : mapping
        The experiment's section of the config, whose schema describes it, and "seed". Without
        "models" there are only raw pixels, banks and their baselines.
    dataset : str
        The data set's name in the rows.
    split : Split
        The images for all models but banks and baselines.
    load : callable
        Returns the images for banks and baselines, as `banks.run` describes.

    Returns
    -------
    dict
        "rows": one per model and seed. "summary": for a model with several seeds the mean accuracy
        and its 95% interval over seeds; for another the accuracy, Wilson's interval for the number
        of test images, and for a rule its distance from an affine map. "comparisons": paired tests
        of each rule with its ablations and baselines, and of each bank with its twin without steps
        and with the entries of `against`. "selection": the held-out accuracies from which steps and
        kernel widths were chosen. "errors": confusion matrices and wrong images of the banks.
    """
    scored = {"raw_ridge": [raw(config, dataset, "raw_ridge", split)]}
    pairs: list[tuple[str, str]] = []
    selection: dict[str, dict[str, float]] = {}
    if "models" in config:
        of_rules, pairs, selection = _score_rules(config, dataset, split)
        scored |= of_rules
    of_banks, more_pairs, errors = banks.run(config["banks"], dataset, load)
    scored |= of_banks
    of_baselines, widths = baselines.run(config["baselines"], dataset, load)
    scored |= of_baselines
    return {
        "rows": [one.row for several in scored.values() for one in several],
        "summary": summary(scored),
        "comparisons": comparisons(scored, pairs + more_pairs),
        "n_train": len(split.X_train),
        "n_test": len(split.X_test),
        "selection": selection | widths,
        "errors": errors,
    }


def _score_rules(
    config: Mapping[str, Any], dataset: str, split: Split
) -> tuple[dict[str, list[Scored]], list[tuple[str, str]], dict[str, dict[str, float]]]:
    """Score the config's `models`, their ablations and random features.

    Returns the scores, the pairs to compare, and the held-out accuracies of the candidates.
    """
    scored: dict[str, list[Scored]] = {}
    pairs: list[tuple[str, str]] = []
    select = partial(_score_candidates, config, *_selection_set(config, split))
    seed, gammas = config["seed"], config["random_features"]["gammas"]
    selection: dict[str, dict[str, float]] = {}
    features: dict[int, str] = {}  # names of the random features, by their number
    for name, model in config["models"].items():
        selection[name] = select(
            name, {str(t): make_transform(reservoir_config(model, t, seed)) for t in model["steps"]}
        )
        steps = int(_best(selection[name]))
        runs = {name: (steps, True), f"{name}_zero_steps": (0, True)}
        if model["rule"] == "wave":  # the only rule whose nonlinearity can be removed
            runs[f"{name}_unclipped"] = (steps, False)
        for label, (t, clip) in runs.items():
            scored[label] = [_fit_reservoir(config, dataset, label, model, t, clip, split)]
        size = scored[name][0].row["D"]
        if size not in features:
            features[size] = f"random_features_as_{name}"
            selection[features[size]] = select(
                features[size], {str(g): fourier(size, g, seed, split.X_train) for g in gammas}
            )
            scored[features[size]] = _fit_random_features(
                config, dataset, features[size], size, selection[features[size]], split
            )
        pairs += [(name, other) for other in (*list(runs)[1:], "raw_ridge", features[size])]
    return scored, pairs, selection


def reservoir_config(model: Mapping[str, Any], steps: int, seed: int) -> ReservoirConfig:
    """The reservoir of one entry of a config's `models`, with that many steps."""
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


def check(config: Mapping[str, Any], images: Sequence[str]) -> None:
    """Check the config before data is loaded; ValueError or TypeError if an entry is wrong."""
    models = config.get("models", {})
    for model in models.values():
        for steps in model["steps"]:
            reservoir_config(model, steps, config["seed"])
    baselines.check(config["baselines"], images)
    banks.check(config["banks"], images, config["baselines"])
    ends = ("", "_zero_steps", "_unclipped")
    taken = {"raw_ridge", "raw_rgb_ridge", *(f"{name}{end}" for name in models for end in ends)}
    taken |= {f"random_features_as_{name}" for name in models}
    of_models = [name for name in config["baselines"] if name in taken]
    if of_models:
        raise ValueError(f"baselines {of_models} must not have names of models")
    taken |= set(config["baselines"])
    doubled = [name for name in config["banks"] if {name, f"{name}_zero_steps"} & taken]
    if doubled:
        raise ValueError(f"banks {doubled} must not have names of models or baselines")


def fit(
    split: Split,
    readout: RidgeReadout | LogisticReadout,
    dataset: str,
    model: str,
    *,
    seed: int,
    steps: int = 0,
    transform: Transform | None = None,
) -> Scored:
    """Train a readout and score it on the test images.

    Features that are zero for all training images are left out, because their weights would be
    zero.
    """
    start = time.perf_counter()
    F_train, F_test = (X if transform is None else transform(X) for X in split[::2])
    transform_s = time.perf_counter() - start
    used = F_train.any(axis=0)
    ridge = isinstance(readout, RidgeReadout)
    dtype = np.float64 if ridge else np.float32  # float32 would round small penalties away
    start = time.perf_counter()
    readout.fit(F_train[:, used].astype(dtype), split.y_train)
    fit_s = time.perf_counter() - start
    right = readout.predict(F_test[:, used].astype(dtype)) == split.y_test
    row = {
        "dataset": dataset,
        "model": model,
        "tier": "random",
        "steps": steps,
        "D": F_train.shape[1],
        "seed": seed,
        "accuracy": float(right.mean()),
        "n_train": len(split.y_train),
        "n_test": len(split.y_test),
        "transform_s": round(transform_s, 3),
        "fit_s": round(fit_s, 3),
        "readout": "ridge" if ridge else "logistic",
        "alpha": readout.alpha_ if ridge else None,
        "non_affine": 0.0 if transform is None else non_affine(transform, split.X_test),
    }
    logger.info("%(model)s, seed %(seed)d: accuracy %(accuracy).4f, fit %(fit_s).1f s", row)
    return Scored(row, right)


def raw(config: Mapping[str, Any], dataset: str, model: str, split: Sequence[Any]) -> Scored:
    """Score the readout on raw pixels."""
    split = Split(*split)
    job = (config["alphas"], dataset, model, config["seed"])
    return run_cached(partial(_fit_raw, split), job, digest(split))


def _fit_raw(split: Split, alphas: Sequence[float], dataset: str, model: str, seed: int) -> Scored:
    return fit(split, _ridge(alphas), dataset, model, seed=seed)


def _ridge(alphas: Sequence[float]) -> RidgeReadout:
    return RidgeReadout(alpha=alphas, selection="holdout")


def _selection_set(config: Mapping[str, Any], split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The training images on which steps and kernel widths are chosen."""
    rows, _ = train_test_split(
        np.arange(len(split.X_train)),
        train_size=config["selection"],
        stratify=split.y_train,
        random_state=config["seed"],
    )
    return split.X_train[rows], split.y_train[rows]


def _score_candidates(
    config: Mapping[str, Any],
    X: np.ndarray,
    y: np.ndarray,
    model: str,
    candidates: Mapping[str, Transform],
) -> dict[str, float]:
    """The held-out accuracy of each candidate, with its best penalty."""
    accuracies = {}
    for name, transform in candidates.items():
        readout = _ridge(config["alphas"]).fit(transform(X).astype(np.float64), y)
        accuracies[name] = readout.best_score_
        logger.info("%s, candidate %s: held out %.4f", model, name, accuracies[name])
    return accuracies


def _best(accuracies: Mapping[str, float]) -> str:
    """The candidate with the highest accuracy, the first one if several have it."""
    return max(accuracies, key=lambda candidate: accuracies[candidate])


def _fit_reservoir(
    config: Mapping[str, Any],
    dataset: str,
    label: str,
    model: Mapping[str, Any],
    steps: int,
    clip: bool,
    split: Split,
) -> Scored:
    seed = config["seed"]
    transform = make_transform(reservoir_config(model, steps, seed), clip)
    transform(split.X_test[:1])  # compiles, which is not timed
    ridge = _ridge(config["alphas"])
    return fit(split, ridge, dataset, label, seed=seed, steps=steps, transform=transform)


def _fit_random_features(
    config: Mapping[str, Any],
    dataset: str,
    name: str,
    size: int,
    widths: Mapping[str, float],
    split: Split,
) -> list[Scored]:
    """Score `size` random Fourier features for each seed."""
    gamma = float(_best(widths))
    scored = []
    for seed in config["random_features"]["seeds"]:
        transform = fourier(size, gamma, seed, split.X_train)
        scored.append(
            fit(split, _ridge(config["alphas"]), dataset, name, seed=seed, transform=transform)
        )
    return scored
