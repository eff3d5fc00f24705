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

from pixelflow.core import Probe, ReservoirConfig, get_rule
from pixelflow.experiments import _classification as classification
from pixelflow.experiments._companions import Transform, transform_of
from pixelflow.experiments._scores import Scored, Split, comparisons, summary
from pixelflow.readouts import LogisticReadout
from pixelflow.tasks import cifar10, mnist

KEYS = ("rows",)
DATASETS = ("mnist", "cifar10")


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
        (`non_affine`). "comparisons": paired tests, of the mean over draws where there are several.
    """
    rows = config["rows"]
    transforms = {name: _transform(row) for name, row in rows.items()}
    for name, row in rows.items():
        missing = [other for other in row["against"] if other not in rows]
        if missing:
            raise ValueError(f"{name} is to be compared with {missing}, which are not in `rows`")
    scored: dict[str, list[Scored]] = {name: [] for name in rows}
    for dataset in dict.fromkeys(row["dataset"] for row in rows.values()):
        whole = Split(*_SOURCES[dataset][0]())
        for name, row in rows.items():
            if row["dataset"] == dataset:
                draws = _draws(row, whole)
                scored[name] = [_fit(name, row, transforms[name], *draw) for draw in draws]
    pairs = [(name, other) for name, row in rows.items() for other in row["against"]]
    return {
        "rows": [one.row for several in scored.values() for one in several],
        "summary": {name: _summary(rows[name], several) for name, several in scored.items()},
        "comparisons": comparisons(scored, pairs),
    }


def _transform(row: Mapping[str, Any]) -> Transform | None:
    """From pixels to features; None reads the pixels."""
    if row["rule"] is None:
        return None
    config = ReservoirConfig(
        width=row["width"],
        height=row["height"],
        steps=row["steps"],
        rule=row["rule"],
        probe=Probe(channels=tuple(range(len(get_rule(row["rule"]).channels)))),
    )
    return transform_of(config, row["clip"])


def _fit(
    name: str,
    row: Mapping[str, Any],
    transform: Transform | None,
    seed: int,
    split: Split,
) -> Scored:
    readout = LogisticReadout(C=1.0, max_iter=row["max_iter"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the row says it
        scored = classification.fit(
            split, readout, row["dataset"], name, seed=seed, steps=row["steps"], transform=transform
        )
    scored.row["n_iter"] = int(readout.n_iter_[0])
    scored.row["converged"] = scored.row["n_iter"] < row["max_iter"]
    return scored


def _summary(row: Mapping[str, Any], several: list[Scored]) -> dict[str, Any]:
    """Published, rebuilt, and what chance leaves open."""
    rebuilt = several[0].row["accuracy"]
    found = summary({"": several})[""]
    found |= {"published_accuracy": row["published"], "rebuilt_accuracy": rebuilt}
    if row["published"] is not None:
        found["off_by_accuracy"] = rebuilt - row["published"]
    found |= {key: several[0].row[key] for key in ("n_iter", "converged")}
    return found


def _draws(row: Mapping[str, Any], whole: Split) -> Iterator[tuple[int, Split]]:
    """Training images as published, then, where they are drawn, other draws."""
    if row["subset"] is None:
        yield 0, whole
        return
    draw = _SOURCES[row["dataset"]][1]
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
