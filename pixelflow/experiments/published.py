"""The field's published accuracies, each rebuilt with its own protocol.

The protocol of pixelflow-rc's benchmarks is: the encoder `tile`, the flattened texture, logistic
regression with C = 1, and for fewer training images its way of drawing them. Its texture has four
channels, of which a rule uses one or two. The other channels are not read here, because they stay
zero and would get zero weights.
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
from pixelflow.experiments._companions import Transform, make_transform
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
        the `published` accuracy, the `rebuilt` one, the mean accuracy and its interval over draws
        (for a single draw Wilson's interval), and the reservoir's distance from an affine map of
        its input (`non_affine`). "comparisons": paired tests, of the mean over several draws.
    """
    rows = config["rows"]
    transforms = {name: _transform(row) for name, row in rows.items()}
    for name, row in rows.items():
        missing = [other for other in row["against"] if other not in rows]
        if missing:
            raise ValueError(f"rows.{name}.against must be names of rows, got {missing}")
    scored: dict[str, list[Scored]] = {name: [] for name in rows}
    for dataset in dict.fromkeys(row["dataset"] for row in rows.values()):
        whole = Split(*_PROTOCOLS[dataset][0]())
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
    """The function from pixels to features; None for raw pixels."""
    if row["rule"] is None:
        return None
    config = ReservoirConfig(
        width=row["width"],
        height=row["height"],
        steps=row["steps"],
        rule=row["rule"],
        probe=Probe(channels=tuple(range(len(get_rule(row["rule"]).channels)))),
    )
    return make_transform(config, row["clip"])


def _fit(
    name: str,
    row: Mapping[str, Any],
    transform: Transform | None,
    seed: int,
    split: Split,
) -> Scored:
    readout = LogisticReadout(C=1.0, max_iter=row["max_iter"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the row has "converged"
        scored = classification.fit(
            split, readout, row["dataset"], name, seed=seed, steps=row["steps"], transform=transform
        )
    scored.row["n_iter"] = int(readout.n_iter_[0])
    scored.row["converged"] = scored.row["n_iter"] < row["max_iter"]
    return scored


def _summary(row: Mapping[str, Any], several: list[Scored]) -> dict[str, Any]:
    """The published and the rebuilt accuracy, and the interval of the latter."""
    rebuilt = several[0].row["accuracy"]
    found = summary({"": several})[""]
    found |= {"published_accuracy": row["published"], "rebuilt_accuracy": rebuilt}
    if row["published"] is not None:
        found["off_by_accuracy"] = rebuilt - row["published"]
    found |= {key: several[0].row[key] for key in ("n_iter", "converged")}
    return found


def _draws(row: Mapping[str, Any], whole: Split) -> Iterator[tuple[int, Split]]:
    """Yield the published training images, then further random draws if they are a subset."""
    if row["subset"] is None:
        yield 0, whole
        return
    draw = _PROTOCOLS[row["dataset"]][1]
    for seed in range(row["draws"]):
        rows = draw(whole.y_train, row["subset"], seed)
        yield seed, Split(whole.X_train[rows], whole.y_train[rows], *whole[2:])


def _draw_mnist(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw MNIST's training images as the field does: by scikit-learn's stratified split."""
    rows, _ = train_test_split(np.arange(len(y)), train_size=size, stratify=y, random_state=seed)
    return np.asarray(rows)


def _draw_cifar10(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw CIFAR-10's training images as the field does: equally many of each class."""
    rng = np.random.default_rng(seed)
    each = size // 10
    rows = [rng.choice(np.flatnonzero(y == label), each, replace=False) for label in range(10)]
    return np.concatenate(rows)


_PROTOCOLS = {  # how a data set is loaded and how its training images are drawn
    "mnist": (mnist.load, _draw_mnist),
    "cifar10": (lambda: cifar10.load(grayscale=True), _draw_cifar10),
}
