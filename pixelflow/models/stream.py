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

BATCH_BYTES = 256 * 2**20  # of the features in a batch, where `batch_size` is None
Chunk = tuple[Any, ...]  # features, y, sample_weight or None and, where images are held out, roles


class FeatureMaker(Protocol):
    """What computes features of inputs: a reservoir, or a baseline."""

    @property
    def feature_dim(self) -> int:
        """Number of features of one input."""
        ...

    def iter_features(self, X: Any, batch_size: int) -> Iterator[Any]:
        """Yield the features of one batch of inputs at a time, as `Reservoir.iter_features`."""
        ...


def resolve_batch_size(makers: Sequence[FeatureMaker], batch_size: int | None) -> int:
    """The number of inputs in a batch: `batch_size`, or as many as fill `BATCH_BYTES`."""
    if batch_size is not None:
        return int(batch_size)
    dim = sum(maker.feature_dim for maker in makers)
    return max(1, BATCH_BYTES // (dim * np.dtype(np.float32).itemsize))


def iter_feature_batches(
    makers: Sequence[FeatureMaker], X: np.ndarray, batch_size: int
) -> Iterator[Any]:
    """Yield the features (n, D) of one batch at a time, those of all makers side by side.

    The inputs must have been checked. Batches are CuPy arrays on backend "cuda", else NumPy arrays.
    """
    if len(makers) == 1:
        yield from _iter_unchecked(makers[0], X, batch_size)
        return
    dtype = np.float64 if X.dtype == np.float64 else np.float32
    for start in range(0, len(X), batch_size):
        rows = X[start : start + batch_size]
        out: Any = None
        first = 0
        for maker in makers:
            columns, done = slice(first, first + maker.feature_dim), 0
            for part in _iter_unchecked(maker, rows, batch_size):  # several if memory is short
                if out is None:
                    dim = sum(one.feature_dim for one in makers)
                    out = namespace(part).empty((len(rows), dim), dtype)
                out[done : done + len(part), columns] = part
                done += len(part)
                del part  # frees its memory before the next part is computed
            first = columns.stop
        yield out


def _iter_unchecked(maker: FeatureMaker, X: np.ndarray, batch_size: int) -> Iterator[Any]:
    with sklearn.config_context(assume_finite=True):  # the model has checked X already
        return maker.iter_features(X, batch_size)


def prefetch(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches of features, or chunks of samples; CuPy's only after the next is requested.

    So a GPU computes the next batch while the host uses this one; two batches are in memory.
    NumPy's batches are yielded at once, because they are complete when they arrive.
    """
    waiting: Any = None
    for batch in batches:
        if waiting is not None:
            yield waiting
        waiting = batch
        del batch  # frees its memory before the next batch is computed
        if namespace(waiting[0] if isinstance(waiting, tuple) else waiting) is np:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting


def map_batches(function: Callable[[Any], np.ndarray], batches: Iterator[Any]) -> np.ndarray:
    """Apply a function to each batch of features and concatenate the results."""
    found = []
    for batch in prefetch(batches):
        found.append(function(batch))
        del batch  # frees its memory before the next batch is computed
    return np.concatenate(found)


def held_out_mask(n: int) -> np.ndarray:
    """Which of n images are held out, bool (n,): the ones that a ridge without copies chooses."""
    held, priorities = drawn(0, n)
    order = np.flatnonzero(held)[np.argsort(priorities[held], kind="stable")]
    held[order[MOST:]] = False
    return held


@dataclass
class TrainingSet:
    """Training images and their copies, as chunks of features.

    Attributes
    ----------
    makers : sequence of FeatureMaker
    X, y : arrays
        Checked inputs and their labels or values.
    weight : array (N,), optional
        The samples' weights; a copy has the weight of its image.
    batch_size : int
        Number of inputs in a chunk.
    copies : Copies
    first : int
        Number of the first image among all images that the model is trained on.
    held_out : bool array (N,), optional
        The images that are held out, with their copies, while alpha is chosen.
    on_progress : callable
        Called with the number of samples of a chunk after the chunk has been used.
    """

    makers: Sequence[FeatureMaker]
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    batch_size: int
    copies: Copies
    first: int = 0
    held_out: np.ndarray | None = None
    on_progress: Callable[[int], object] = lambda n: None

    def __post_init__(self) -> None:
        self.motions = self.copies.motions(len(self.X), self.first)

    @property
    def feature_dim(self) -> int:
        """Number of features of one sample."""
        return sum(maker.feature_dim for maker in self.makers)

    @property
    def n_samples(self) -> int:
        """Number of samples, copies included."""
        return self.copies.n_per_image * len(self.X)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of all samples, copies included."""
        weight = len(self.X) if self.weight is None else self.weight.sum()
        return self.copies.n_per_image * float(weight)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all images and copies; the copies of images that are held out come last.

        Where images are held out, the fourth item of a chunk is each sample's role, which
        `RidgeReadout.fit_chunks` describes.
        """
        return prefetch(self._iter_all())

    def _iter_all(self) -> Iterator[Chunk]:
        if self.copies.n_per_image == 1:
            yield from self._iter_chunks(self.X, slice(None), None)
            return
        held = self.held_out
        for rows in self._slices(len(self.X)):
            numbers = np.arange(rows.start, rows.stop)
            roles = None if held is None else np.where(held[rows], HELD, TRAIN)
            yield from self._iter_chunks(self.X[rows], rows, roles)
            trained = numbers if held is None else numbers[~held[rows]]
            yield from self._iter_copies(trained, TRAIN)
        late = np.arange(0) if held is None else np.flatnonzero(held)
        for rows in self._slices(len(late)):
            yield from self._iter_copies(late[rows], LATER)

    def _slices(self, n: int) -> Iterator[slice]:
        for start in range(0, n, self.batch_size):
            yield slice(start, min(start + self.batch_size, n))

    def _iter_copies(self, numbers: np.ndarray, role: int) -> Iterator[Chunk]:
        """Yield chunks of the copies of the images with these numbers."""
        if len(numbers):
            roles = None if self.held_out is None else np.full(len(numbers), role)
            for X in self.copies.iter_copies(self.X[numbers], self.motions[:, numbers]):
                yield from self._iter_chunks(X, numbers, roles)

    def _iter_chunks(
        self, X: np.ndarray, rows: slice | np.ndarray, roles: np.ndarray | None
    ) -> Iterator[Chunk]:
        """Yield chunks of the inputs X: these rows of the training set, or copies of them."""
        y, done = self.y[rows], 0
        weight = None if self.weight is None else self.weight[rows]
        for features in iter_feature_batches(self.makers, X, self.batch_size):
            part = slice(done, done + len(features))
            chunk = (features, y[part], None if weight is None else weight[part])
            yield chunk if roles is None else (*chunk, roles[part])
            del features, chunk  # frees their memory before the next chunk is computed
            self.on_progress(part.stop - part.start)
            done = part.stop
