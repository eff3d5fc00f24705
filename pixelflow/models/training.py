"""Training a readout on a stream of chunks, in whichever way the readout can be trained."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from pixelflow.models.stream import TrainingSet, held_out_mask
from pixelflow.readouts import RidgeReadout
from pixelflow.readouts.arrays import namespace, to_host

ALPHAS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the default readout, per unit of sample weight
PROGRESS_DELAY_S = 3  # seconds until a progress bar appears


def default_readout(task: str, total_weight: float = 1.0) -> RidgeReadout:
    """The readout of a model that was given none, for samples of this total weight."""
    return RidgeReadout(default_alphas(total_weight), task, standardize=True)


def default_alphas(total_weight: float) -> list[float]:
    """The default readout's alphas, proportional to the total weight of the samples."""
    return [alpha * total_weight for alpha in ALPHAS]


def has_several_alphas(readout: object) -> bool:
    """Whether the readout holds samples out to choose among its alphas."""
    return isinstance(readout, RidgeReadout) and np.size(np.asarray(readout.alpha)) > 1


def fit_readout(readout: Any, training: TrainingSet, classes: np.ndarray | None) -> None:
    """Fit a readout on all chunks: on the stream if it can, else on the whole feature matrix.

    A readout that chooses among alphas holds images out together with their copies. A progress bar
    counts the samples.
    """
    if training.copies.n_per_image > 1 and has_several_alphas(readout):
        if readout.selection != "holdout":
            raise ValueError(
                "readout: selection must be 'holdout' where augment makes copies, got 'loo', "
                "which scores an image after training on its copies"
            )
        training.held_out = held_out_mask(len(training.X))
    ridge = isinstance(readout, RidgeReadout)
    with _progress_bar(training):
        if ridge and not _is_small(training):
            readout.fit_chunks(training.chunks, classes=classes, y=training.y)
        elif hasattr(readout, "partial_fit") and not ridge:
            partial_fit_readout(readout, training, classes)
        else:
            _fit_in_memory(readout, training)


def _is_small(training: TrainingSet) -> bool:
    """Whether a ridge is faster in memory: all samples are one batch, and no more than features."""
    n = training.n_samples
    return training.held_out is None and n <= min(training.feature_dim, training.batch_size)


def partial_fit_readout(readout: Any, training: TrainingSet, classes: np.ndarray | None) -> None:
    """Call the readout's `partial_fit` on all chunks, or once on all samples if that is cheaper."""
    options: dict[str, Any] = {} if classes is None else {"classes": classes}
    together = isinstance(readout, RidgeReadout) and _is_smaller_than_sums(training)
    for features, y, weight in [_gather(readout, training)] if together else training.chunks():
        if not isinstance(readout, RidgeReadout):
            features = to_host(features)
        if weight is not None:
            options["sample_weight"] = weight
        readout.partial_fit(features, y, **options)


@contextmanager
def restore_on_error(readout: object, training: TrainingSet) -> Iterator[None]:
    """Restore the readout's state if `partial_fit` fails within, even after some chunks.

    A ridge adds a chunk completely or not at all. So where all samples are one chunk, its large
    sums need no copy.
    """
    several, ridge = training.n_samples > training.batch_size, isinstance(readout, RidgeReadout)
    at_once = ridge and _is_smaller_than_sums(training)
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


def _is_smaller_than_sums(training: TrainingSet) -> bool:
    """Whether several batches, in float32, take less memory than a ridge's sums, in float64."""
    return training.batch_size < training.n_samples <= 2 * training.feature_dim


def check_accepts_weights(readout: object, method: str) -> None:
    """Raise ValueError if this method of the readout takes no sample weights."""
    if not has_fit_parameter(readout, "sample_weight"):
        name = type(readout).__name__
        raise ValueError(f"sample_weight must be None, because {name}.{method} takes none")


def _fit_in_memory(readout: Any, training: TrainingSet) -> None:
    features, y, weight = _gather(readout, training)
    readout.fit(features, y, **({} if weight is None else {"sample_weight": weight}))


def _gather(readout: object, training: TrainingSet) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Features, y and weights of all samples; features are on the host unless it is a ridge."""
    whole, ys, weights, done = None, [], [], 0
    for features, y, weight in training.chunks():
        if not isinstance(readout, RidgeReadout):
            features = to_host(features)
        if whole is None:
            shape = (training.n_samples, features.shape[1])
            whole = namespace(features).empty(shape, features.dtype)
        whole[done : done + len(features)] = features
        done += len(features)
        ys.append(y)
        weights.append(weight)
    weight = None if training.weight is None else np.concatenate(weights)
    return whole, np.concatenate(ys), weight


@contextmanager
def _progress_bar(training: TrainingSet) -> Iterator[None]:
    """Show a bar over the samples in a terminal or a notebook, if fitting takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns in a notebook without ipywidgets
        from tqdm.auto import tqdm
    with tqdm(
        total=training.n_samples,
        desc="fit",
        unit=" samples",
        delay=PROGRESS_DELAY_S,
        disable=None,
    ) as bar:
        training.on_progress = bar.update
        yield
