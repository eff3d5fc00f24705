"""What comes between a ridge readout's options and the stream that it is fed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pixelflow.checks import brief, naming
from pixelflow.readouts.arrays import namespace, where
from pixelflow.readouts.chunks import checked_chunk, parts_of
from pixelflow.readouts.labels import plain
from pixelflow.readouts.model import Model
from pixelflow.readouts.options import checked_options
from pixelflow.readouts.stream import Stream
from pixelflow.readouts.sums import Rows
from pixelflow.readouts.targets import Targets, balanced

Chunks = Callable[[], Iterable[tuple[Any, ...]]]
SLICE = 8192  # samples of a matrix in memory that are streamed at once


def begun(readout: Any, X: Any, targets: Targets) -> Stream:
    """A stream without samples yet, for features like X."""
    holdout = readout.selection == "holdout"
    options = checked_options(readout), readout.standardize, holdout
    return Stream(namespace(X), X, targets, *options)


def added(
    readout: Any,
    stream: Stream | None,
    number: int,
    chunk: Any,
    classes: Any,
    weights: Any,
    closed: bool = False,
) -> Stream:
    """The stream, or a new one, with that chunk; an error names the chunk, and adds nothing."""
    first = 0 if stream is None else stream.n_samples
    with naming(f"chunk {number} (from sample {first} on) is refused and nothing of it added"):
        checked = checked_chunk(readout, chunk, reset=stream is None)
        if stream is None:
            with where(checked.X):
                targets = Targets(checked.task, checked.y, classes, closed, weights)
                stream = begun(readout, checked.X, targets)
        elif closed:
            stream.targets.check_classes(classes)
        stream.add(stream.rows(checked.X, checked.y, checked.sample_weight), checked.roles)
        stream.n_chunks += 1
    return stream


def sliced(
    stream: Stream, X: Any, y: np.ndarray, sample_weight: np.ndarray | None
) -> Iterator[Rows]:
    """Samples in memory, some at a time."""
    for a in range(0, len(X), SLICE):
        part = slice(a, a + SLICE)
        weights = None if sample_weight is None else sample_weight[part]
        yield stream.rows(X[part], y[part], weights)


def of_chunks(readout: Any, chunks: Chunks, classes: Any, y: Any) -> Model:
    """The model of all chunks; see `RidgeReadout.fit_chunks`."""
    loo = len(checked_options(readout)) > 1 and readout.selection == "loo"
    if y is not None:
        y = plain("y", y)
    elif readout.class_weight == "balanced":
        y = _all_labels(chunks)
    weights = class_weights(readout, y)
    stream: Stream | None = None
    for number, chunk in enumerate(_iterated(chunks), 1):
        stream = added(readout, stream, number, chunk, classes, weights)
    if stream is None:
        raise ValueError("there are no chunks to fit on: chunks() gave an empty iterator")
    stream.targets.check_class_weight()
    rows = partial(_again, readout, stream, chunks)
    return stream.solve(rows if loo else None)


def _iterated(chunks: Chunks) -> Iterator[Any]:
    """A new iterator over all chunks."""
    if not callable(chunks):
        raise TypeError(f"chunks must be a callable that returns an iterator, got {brief(chunks)}")
    found = chunks()
    if not isinstance(found, Iterable):
        raise TypeError(f"chunks must return an iterator over chunks, got {brief(found)}")
    return iter(found)


def _again(readout: Any, stream: Stream, chunks: Chunks) -> Iterator[Rows]:
    """The samples of all chunks once more."""
    for chunk in _iterated(chunks):
        yield stream.rows(*checked_chunk(readout, chunk, reset=False)[:3])


def _all_labels(chunks: Chunks) -> np.ndarray:
    """The labels of all chunks."""
    with naming("chunks"):
        return np.concatenate([plain("y", parts_of(chunk)[1]) for chunk in _iterated(chunks)])


def class_weights(readout: Any, y: np.ndarray | None) -> Any:
    """The weight of each class; "balanced" from all labels."""
    if readout.class_weight != "balanced" or y is None:
        return readout.class_weight
    return balanced(*np.unique(y, return_counts=True))
