"""Features of a model's inputs as a stream of batches, so that they are never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import sklearn

from pixelflow.models.copies import Copies
from pixelflow.readouts.arrays import namespace
from pixelflow.readouts.inputs import HELD, LATER, TRAIN
from pixelflow.readouts.selection import MOST, drawn

BATCH_BYTES = 256 * 2**20  # of features in a batch, where `batch_size` leaves the choice
Chunk = tuple[Any, ...]  # features, y, sample_weight or None and, perhaps, roles


class Source(Protocol):
    """What makes features of inputs: a reservoir, or what it is compared with."""

    @property
    def feature_dim(self) -> int:
        """How many features an input has."""
        ...

    def iter_features(self, X: Any, batch_size: int) -> Iterator[Any]:
        """Features of a batch of inputs after the other, as `Reservoir.iter_features`."""
        ...


def rows_at_once(reservoirs: Sequence[Source], batch_size: int | None) -> int:
    """How many inputs make a batch."""
    if batch_size is not None:
        return int(batch_size)
    dim = sum(reservoir.feature_dim for reservoir in reservoirs)
    return max(1, BATCH_BYTES // (dim * np.dtype(np.float32).itemsize))


def features(reservoirs: Sequence[Source], X: np.ndarray, size: int) -> Iterator[Any]:
    """Features (n, D) of checked inputs, batch after batch, all reservoirs' side by side.

    CuPy arrays on backend "cuda", else NumPy arrays.
    """
    if len(reservoirs) == 1:
        yield from _batches(reservoirs[0], X, size)
        return
    for start in range(0, len(X), size):
        rows = X[start : start + size]
        out: Any = None
        first = 0
        for reservoir in reservoirs:
            columns, done = slice(first, first + reservoir.feature_dim), 0
            for part in _batches(reservoir, rows, size):  # several where memory is short
                if out is None:
                    dim = sum(one.feature_dim for one in reservoirs)
                    out = namespace(part).empty((len(rows), dim), np.float32)
                out[done : done + len(part), columns] = part
                done += len(part)
                del part  # else it would live until the next is there
            first = columns.stop
        yield out


def _batches(reservoir: Source, X: np.ndarray, size: int) -> Iterator[Any]:
    with sklearn.config_context(assume_finite=True):  # it was checked at the model's door
        return reservoir.iter_features(X, size)


def ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Each batch of features, or chunk of samples, when the next has been asked for, of CuPy's.

    So a GPU has work while the host prepares more, and holds two batches. What is NumPy's has been
    computed when it is there, and is passed on as it comes.
    """
    waiting: Any = None
    for batch in batches:
        if waiting is not None:
            yield waiting
        waiting = batch
        del batch  # else it would live until the next is there
        if namespace(waiting[0] if isinstance(waiting, tuple) else waiting) is np:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting


def asked(ask: Callable[[Any], np.ndarray], batches: Iterator[Any]) -> np.ndarray:
    """What `ask` gives for batches of features, one below the other; none outlives its turn."""
    found = []
    for batch in ahead(batches):
        found.append(ask(batch))
        del batch  # else it would live until the next is there
    return np.concatenate(found)


def held_out(n: int) -> np.ndarray:
    """Which of n images are held out (bool): those that a ridge without copies would hold out."""
    held, priorities = drawn(0, n)
    order = np.flatnonzero(held)[np.argsort(priorities[held], kind="stable")]
    held[order[MOST:]] = False
    return held


@dataclass
class Training:
    """A training set as chunks of features, its copies among them.

    Attributes
    ----------
    reservoirs : sequence of Source
    X, y : arrays
        Checked inputs and their labels or values.
    weight : array (N,), optional
        Of the samples; a copy has its image's.
    size : int
        Inputs in a chunk.
    copies : Copies
    first : int
        How many images were trained on before.
    held : bool array (N,), optional
        Images that are held out while alpha is chosen, and their copies with them.
    told : callable
        Is told the number of samples of each chunk when it is asked for the next.
    """

    reservoirs: Sequence[Source]
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    size: int
    copies: Copies
    first: int = 0
    held: np.ndarray | None = None
    told: Callable[[int], Any] = lambda n: None

    def __post_init__(self) -> None:
        self.motions = self.copies.motions(len(self.X), self.first)

    @property
    def n_samples(self) -> int:
        """How many samples there are, copies among them."""
        return self.copies.count * len(self.X)

    @property
    def total(self) -> float:
        """What all samples weigh, copies among them."""
        return self.copies.count * float(len(self.X) if self.weight is None else self.weight.sum())

    def chunks(self) -> Iterator[Chunk]:
        """Every image and its copies, those of the images held out at the end.

        Where images are held out, a chunk's fourth item has each sample's role, as `fit_chunks`
        of a ridge takes it.
        """
        return ahead(self._all())

    def _all(self) -> Iterator[Chunk]:
        if self.copies.count == 1:
            yield from self._chunks(self.X, slice(None), None)
            return
        held = self.held
        for rows in self._slices(len(self.X)):
            numbers = np.arange(rows.start, rows.stop)
            roles = None if held is None else np.where(held[rows], HELD, TRAIN)
            yield from self._chunks(self.X[rows], rows, roles)
            yield from self._copied(numbers if held is None else numbers[~held[rows]], TRAIN)
        late = np.arange(0) if held is None else np.flatnonzero(held)
        for rows in self._slices(len(late)):
            yield from self._copied(late[rows], LATER)

    def _slices(self, n: int) -> Iterator[slice]:
        for start in range(0, n, self.size):
            yield slice(start, min(start + self.size, n))

    def _copied(self, numbers: np.ndarray, role: int) -> Iterator[Chunk]:
        """Chunks of the copies of images with these numbers."""
        if len(numbers):
            roles = None if self.held is None else np.full(len(numbers), role)
            for X in self.copies.of(self.X[numbers], self.motions[:, numbers]):
                yield from self._chunks(X, numbers, roles)

    def _chunks(self, X: np.ndarray, rows: Any, roles: np.ndarray | None) -> Iterator[Chunk]:
        """Chunks of inputs that are, or are copied from, these rows."""
        y, done = self.y[rows], 0
        weight = None if self.weight is None else self.weight[rows]
        for found in features(self.reservoirs, X, self.size):
            part = slice(done, done + len(found))
            chunk = (found, y[part], None if weight is None else weight[part])
            yield chunk if roles is None else (*chunk, roles[part])
            del found, chunk  # else they would live until the next is there
            self.told(part.stop - part.start)
            done = part.stop
