"""The field's published accuracies, each rebuilt in its own protocol, and tested.

The protocol of pixelflow-rc's benchmarks: the encoder `tile`, the flattened texture, logistic
regression with C = 1, and, where they trained on fewer images, their way of drawing those. Its
texture has four channels of which a rule uses one or two; the others stay zero, get zero weights,
and are not read here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from pixelflow import stats
from pixelflow.core import Probe, Reservoir, ReservoirConfig, get_rule
from pixelflow.experiments import _classification as classification
from pixelflow.experiments._classification import Scored, Split
from pixelflow.readouts import LogisticReadout
from pixelflow.tasks import cifar10, mnist

KEYS = ("rows",)
DATASETS = ("mnist", "cifar10")
FAINT = 2.0**-6  # of an input, keeps a wave's amplitude off its clip; a power of two rounds nothing
PAIRS = 500  # of test images, to tell how far a rule is from an affine map


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train each published model as published, and score it on the test images.

    Parameters
    ----------
    config : mapping
        The section `published` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        "rows": one per model and draw of training images; draw 0 is the published one. "summary":
        what was `published`, what is `rebuilt` here, the mean and interval over draws, or of the
        number of test images, and how far the reservoir is from an affine map of its input
        (`non_affine`). "comparisons": paired tests of draw 0.
    """
    rows = config["rows"]
    for name, row in rows.items():
        missing = [other for other in row["against"] if other not in rows]
        if missing:
            raise ValueError(f"{name} is to be compared with {missing}, which are not in `rows`")
        _transform(row)
    scored: dict[str, list[Scored]] = {}
    for name, row in rows.items():
        scored[name] = [_fit(name, row, seed, split) for seed, split in _draws(row)]
    pairs = [(name, other) for name, row in rows.items() for other in row["against"]]
    return {
        "rows": [one.row for several in scored.values() for one in several],
        "summary": {name: _summary(rows[name], several) for name, several in scored.items()},
        "comparisons": classification.comparisons(
            {name: several[:1] for name, several in scored.items()}, pairs
        ),
    }


def _transform(row: Mapping[str, Any]) -> classification.Transform | None:
    """From pixels to features; None reads the pixels."""
    if row["rule"] is None:
        return None
    channels = tuple(range(len(get_rule(row["rule"]).channels)))
    config = ReservoirConfig(
        width=row["width"],
        height=row["height"],
        steps=row["steps"],
        rule=row["rule"],
        probe=Probe(channels=channels),
    )
    transform = Reservoir(config).transform
    if row["clip"]:
        return transform
    if row["rule"] != "wave":
        raise ValueError(f"only a wave is the same but for its clip when faint, not {row['rule']}")
    return lambda X: transform(X * np.float32(FAINT)) / np.float32(FAINT)


def _non_affine(transform: classification.Transform, X: np.ndarray) -> float:
    """Root mean square of f((a + b)/2) - (f(a) + f(b))/2 over that of (f(a) - f(b))/2.

    Zero of an affine map, whose features a linear readout could as well compute from the input.
    """
    a, b = X[:PAIRS], X[PAIRS : 2 * PAIRS]
    middle, (one, other) = transform((a + b) / 2), (transform(part) for part in (a, b))
    apart = np.sqrt(np.mean(((one - other) / 2) ** 2))
    return float(np.sqrt(np.mean((middle - (one + other) / 2) ** 2)) / apart)


def _fit(name: str, row: Mapping[str, Any], seed: int, split: Split) -> Scored:
    transform = _transform(row)
    readout = LogisticReadout(C=1.0, max_iter=row["max_iter"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the row says it
        scored = classification.fit(
            split, readout, row["dataset"], name, seed=seed, steps=row["steps"], transform=transform
        )
    scored.row["n_iter"] = int(readout.n_iter_[0])
    scored.row["converged"] = scored.row["n_iter"] < row["max_iter"]
    if seed == 0:
        affine = transform is None
        scored.row["non_affine"] = 0.0 if affine else _non_affine(transform, split.X_test)
    return scored


def _summary(row: Mapping[str, Any], several: list[Scored]) -> dict[str, Any]:
    """Published, rebuilt, and what chance leaves open."""
    rebuilt = several[0].row["accuracy"]
    found = classification.summary({"": several})[""]
    found |= {"published_accuracy": row["published"], "rebuilt_accuracy": rebuilt}
    found["non_affine"] = several[0].row.pop("non_affine")
    if row["published"] is not None:
        found["off_by_accuracy"] = rebuilt - row["published"]
        n_test = len(several[0].right)
        found["published_interval"] = stats.proportion(round(row["published"] * n_test), n_test)[1:]
    return found


def _draws(row: Mapping[str, Any]) -> Iterator[tuple[int, Split]]:
    """Training images as published, then, where they are drawn, other draws."""
    load, draw = _SOURCES[row["dataset"]]
    whole = Split(*load())
    if row["subset"] is None:
        yield 0, whole
        return
    for seed in range(row["draws"]):
        rows = draw(whole.y_train, row["subset"], seed)
        yield seed, Split(whole.X_train[rows], whole.y_train[rows], *whole[2:])


def _mnist_draw(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """The field's draw of MNIST's training images: scikit-learn's stratified split."""
    rows, _ = train_test_split(np.arange(len(y)), train_size=size, stratify=y, random_state=seed)
    return np.asarray(rows)


def _cifar10_draw(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """The field's draw of CIFAR-10's: as many of each class, by NumPy's generator."""
    rng = np.random.default_rng(seed)
    each = size // 10
    rows = [rng.choice(np.flatnonzero(y == label), each, replace=False) for label in range(10)]
    return np.concatenate(rows)


_SOURCES = {
    "mnist": (mnist.load, _mnist_draw),
    "cifar10": (lambda: cifar10.load(grayscale=True), _cifar10_draw),
}
