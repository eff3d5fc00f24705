"""A readout trained on a stream of chunks, in whichever way it can be."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from pixelflow.models.stream import Training, held_out
from pixelflow.readouts import RidgeReadout
from pixelflow.readouts.arrays import namespace, to_host

ALPHAS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the default readout, for each sample trained on
PATIENCE = 3  # seconds after which a progress bar is shown


def default_readout(task: str, total: float = 1.0) -> RidgeReadout:
    """What a model without a readout of its own fits, on samples that weigh so much."""
    return RidgeReadout(path(total), task, standardize=True)


def path(total: float) -> list[float]:
    """The default readout's alphas."""
    return [alpha * total for alpha in ALPHAS]


def several_alphas(readout: Any) -> bool:
    """Whether the readout holds samples out to choose among its alphas."""
    return isinstance(readout, RidgeReadout) and np.size(np.asarray(readout.alpha)) > 1


def fit_readout(readout: Any, training: Training, classes: np.ndarray | None) -> None:
    """Fit it on all chunks: streamed if it can be, else on the whole matrix of features.

    Where it chooses among alphas, images are held out with their copies. A bar tells how far it is.
    """
    if training.copies.count > 1 and several_alphas(readout):
        if readout.selection != "holdout":
            raise ValueError("augment needs selection='holdout': 'loo' leaves copies in")
        training.held = held_out(len(training.X))
    ridge = isinstance(readout, RidgeReadout)
    with _progress(training):
        if ridge and not _few(training):
            readout.fit_chunks(training.chunks, classes=classes, y=training.y)
        elif hasattr(readout, "partial_fit") and not ridge:
            partial_fit_readout(readout, training, classes)
        else:
            _fit_whole(readout, training)


def _few(training: Training) -> bool:
    """Whether samples are fewer than features and one batch: ridge is quicker on them whole."""
    n, dim = training.n_samples, sum(one.feature_dim for one in training.reservoirs)
    return training.held is None and n <= min(dim, training.size)


def partial_fit_readout(readout: Any, training: Training, classes: np.ndarray | None) -> None:
    """Go on fitting it on all chunks."""
    options: dict[str, Any] = {} if classes is None else {"classes": classes}
    together = isinstance(readout, RidgeReadout) and _together(training)
    for features, y, weight in [_whole(readout, training)] if together else training.chunks():
        if not isinstance(readout, RidgeReadout):
            features = to_host(features)
        if weight is not None:
            options["sample_weight"] = weight
        readout.partial_fit(features, y, **options)


@contextmanager
def unharmed(readout: Any, training: Training) -> Iterator[None]:
    """A readout that fails within is as it was before, whatever has been added to it already.

    A ridge adds one chunk whole or not at all, so that its large sums need no copy for that.
    """
    several, ridge = training.n_samples > training.size, isinstance(readout, RidgeReadout)
    at_once = ridge and _together(training)
    before = copy.deepcopy(vars(readout)) if several and not at_once else dict(vars(readout))
    stream: Any = before.get("_partial") if ridge else None
    alphas = [] if stream is None else stream.alphas
    try:
        yield
    except BaseException:
        if stream is not None:
            stream.alphas = alphas
        vars(readout).clear()
        vars(readout).update(before)
        raise


def _together(training: Training) -> bool:
    """Whether all batches take less memory, in float32, than a ridge's sums, in float64."""
    dim = sum(one.feature_dim for one in training.reservoirs)
    return training.size < training.n_samples <= 2 * dim


def check_takes_weights(readout: Any, method: str) -> None:
    """Raise where a readout can't be told the samples' weights."""
    if not has_fit_parameter(readout, "sample_weight"):
        raise ValueError(f"sample_weight: {type(readout).__name__}.{method} takes none")


def _fit_whole(readout: Any, training: Training) -> None:
    features, y, weight = _whole(readout, training)
    readout.fit(features, y, **({} if weight is None else {"sample_weight": weight}))


def _whole(readout: Any, training: Training) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """All chunks as one."""
    n = training.n_samples
    whole, ys, weights, done = None, [], [], 0
    for features, y, weight in training.chunks():
        if not isinstance(readout, RidgeReadout):
            features = to_host(features)
        if whole is None:
            whole = namespace(features).empty((n, features.shape[1]), np.float32)
        whole[done : done + len(features)] = features
        done += len(features)
        ys.append(y)
        weights.append(weight)
    weight = None if training.weight is None else np.concatenate(weights)
    return whole, np.concatenate(ys), weight


@contextmanager
def _progress(training: Training) -> Iterator[None]:
    """A bar over samples, where a terminal or a notebook shows it and it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets goes without a bar
        from tqdm.auto import tqdm
    n = training.n_samples
    with tqdm(total=n, desc="fit", unit=" samples", delay=PATIENCE, disable=None) as bar:
        training.told = bar.update
        yield
