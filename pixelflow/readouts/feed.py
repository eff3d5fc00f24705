"""What comes between a ridge readout's options and the stream that it is fed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.arrays import namespace, where
from pixelflow.readouts.chunks import checked_chunk, named
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
    chunk: Sequence[Any],
    classes: Any,
    weights: Any,
    closed: bool = False,
) -> Stream:
    """The stream, or a new one, with that chunk; an error names the chunk, and adds nothing."""
    with named(number, 0 if stream is None else stream.n_samples):
        checked = checked_chunk(readout, chunk, reset=stream is None)
        if stream is None:
            with where(checked.X):
                targets = Targets(readout.task, checked.y, classes, closed, weights)
                stream = begun(readout, checked.X, targets)
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


def again(readout: Any, stream: Stream, chunks: Chunks) -> Iterator[Rows]:
    """The samples of all chunks once more."""
    for chunk in chunks():
        yield stream.rows(*checked_chunk(readout, chunk, reset=False)[:3])


def class_weights(readout: Any, y: np.ndarray | None) -> Any:
    """The weight of each class; "balanced" from all labels."""
    if readout.class_weight != "balanced" or y is None:
        return readout.class_weight
    return balanced(*np.unique(y, return_counts=True))
