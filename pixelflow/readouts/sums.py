"""Weighted sums of features and targets: all that a ridge readout keeps of its training samples."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from pixelflow.readouts.arrays import (
    Array,
    namespace,
    outside_pool,
    product_dtype,
    sum_dtype,
    writeable,
)
from pixelflow.readouts.symmetric import add_square, tiles

ROWS = 4096  # multiplied at once, however they arrive, so that sums don't depend on that
HEAVY = 2**10  # times as much as others: from here on they lose digits unless the shift is there


class Rows(NamedTuple):
    """Samples as they are added: features on their device, the rest on the host."""

    X: Array  # (n, D)
    targets: np.ndarray  # (n, K) float64
    weights: np.ndarray  # (n,) float64, times the weights of classes
    own_weights: np.ndarray  # (n,) float64, without

    @property
    def n_samples(self) -> int:
        return len(self.own_weights)

    def origin(self) -> Array:
        """Features of one sample, of the first that weighs anything."""
        return self.X[int(np.argmax(self.weights > 0))]

    def part(self, start: int, stop: int | None = None) -> Rows:
        """The samples from `start` to before `stop`, as views."""
        return Rows(*(values[start:stop] for values in self))

    def take(self, rows: np.ndarray) -> Rows:
        """The samples with these numbers, which ascend."""
        if len(rows) == self.n_samples:
            return self
        on_device = namespace(self.X).asarray(rows)
        return Rows(self.X[on_device], *(values[rows] for values in self[1:]))


def widened(targets: np.ndarray, width: int) -> np.ndarray:
    """A copy of targets, with columns of zeros for labels that came up later."""
    return np.pad(targets, ((0, 0), (0, width - targets.shape[1])))


def joined(parts: list[Rows]) -> Rows:
    """The samples of all parts, whose targets may have got more columns on the way."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.targets.shape[1] for part in parts)
    targets = [widened(part.targets, width) for part in parts]
    rest = (np.concatenate([part[i] for part in parts]) for i in (2, 3))
    X = namespace(parts[0].X).concatenate([part.X for part in parts])
    return Rows(X, np.concatenate(targets), *rest)


class Moments(NamedTuple):
    """All that is summed over samples, except the products of features with each other."""

    weight: float
    first: Array  # (D,) weighted features
    cross: Array  # (D, K) weighted features times targets
    targets: np.ndarray  # (K,) weighted targets
    squares: np.ndarray  # (K,) weighted squares of targets
    own_weight: float  # the last three with the samples' own weights
    own_first: Array  # (D,)
    own_squares: Array  # (D,)

    def plus(self, other: Moments) -> Moments:
        """The sums over both; either may lack the last columns of targets."""
        xp = namespace(self.first)
        width = max(len(self.targets), len(other.targets))
        padded = []
        for one in (self, other):
            missing = width - len(one.targets)
            cross = xp.concatenate([one.cross, xp.zeros((len(one.cross), missing))], axis=1)
            targets, squares = (np.pad(part, (0, missing)) for part in (one.targets, one.squares))
            padded.append(one._replace(cross=cross, targets=targets, squares=squares))
        return Moments(*(a + b for a, b in zip(*padded, strict=True)))


def weighted_moments(rows: Rows, with_squares: bool) -> Moments:
    """The sums over some samples, whose features it multiplies by the roots of their weights.

    Features are squared only `with_squares`; else these sums are zero.
    """
    xp = namespace(rows.X)

    def on_device(values: np.ndarray) -> Array:
        return xp.asarray(values.astype(rows.X.dtype))

    roots = np.sqrt(rows.weights)
    own_first = on_device(rows.own_weights) @ rows.X
    own_squares = xp.zeros_like(own_first)
    for a, b in tiles(rows.X.shape[1]) if with_squares else ():
        own_squares[a:b] = on_device(rows.own_weights) @ rows.X[:, a:b] ** 2
    if np.any(roots != 1):
        rows.X[...] *= on_device(roots)[:, None]
    found = Moments(
        float(rows.weights.sum()),
        on_device(roots) @ rows.X,
        rows.X.T @ on_device(rows.targets * roots[:, None]),
        rows.weights @ rows.targets,
        rows.weights @ rows.targets**2,
        float(rows.own_weights.sum()),
        own_first,
        own_squares,
    )
    of_features = ("first", "cross", "own_first", "own_squares")
    return found._replace(**{key: getattr(found, key).astype(np.float64) for key in of_features})


class Sums:
    """Sums over samples, of features relative to a shift: about their means.

    Without that shift, float32 products of features with large means would drown their
    deviations. They are multiplied in `dtype`; of `gram` (D, D) only the upper triangle is added
    to. Features are squared too where they are to be standardised.
    """

    def __init__(
        self, xp: ModuleType, size: int, feature_dtype: DTypeLike, standardize: bool
    ) -> None:
        self.size, self.feature_dtype = size, np.dtype(feature_dtype)
        self.standardize = standardize
        self.dtype = product_dtype(xp, size, feature_dtype)
        self.gram_dtype = sum_dtype(xp, size)
        none = np.zeros(0)
        zeros = xp.zeros(size)
        self.moments = Moments(0.0, zeros, xp.zeros((size, 0)), none, none, 0.0, zeros, zeros)
        self.shift: Array = None  # until there are samples
        self.n_samples = 0
        self._gram: Array = None  # and the block: made when they are needed, for they are large
        self._block: Array = None
        self._pending: list[Rows] = []
        self._filled = 0

    @property
    def xp(self) -> ModuleType:
        """The module that its arrays are of."""
        return namespace(self.moments.first)

    @property
    def gram(self) -> Array:
        """The products of features with each other (D, D)."""
        if self._gram is None:
            with outside_pool(self.xp, self.size, self.gram_dtype):
                self._gram = self.xp.zeros((self.size, self.size), self.gram_dtype)
        self._gram = writeable(self._gram)
        return self._gram

    def centre_on(self, rows: Rows, before: float) -> None:
        """Move the shift to the mean of samples that outweigh all others.

        A heavy sample far from the shift has a product with itself that is so large that what the
        others add is rounded away.

        Parameters
        ----------
        rows : Rows
            The next samples, to be added or held out.
        before : float
            The weight of all samples before, including those held out.
        """
        total, positive = float(rows.weights.sum()), rows.weights[rows.weights > 0]
        if before > 0:
            heavy = total > HEAVY * before
        else:
            heavy = len(positive) > 0 and float(positive.max()) > HEAVY * float(positive.min())
        if not heavy:
            return
        shares = self.xp.asarray(rows.weights / total)
        mean = shares @ rows.X.astype(np.float64)
        self.flush()
        if self.shift is not None:
            self._move(mean.astype(self.dtype).astype(np.float64))
        self.shift = mean.astype(self.dtype)

    def _move(self, to: Array) -> None:
        """Make the sums relative to another shift."""
        by, m = to - self.shift.astype(np.float64), self.moments
        for a, b in tiles(self.size):
            self.gram[a:b] -= m.first[a:b, None] * by + by[a:b, None] * (m.first - m.weight * by)
        self.moments = m._replace(
            first=m.first - m.weight * by,
            cross=m.cross - by[:, None] * self.xp.asarray(m.targets),
            own_first=m.own_first - m.own_weight * by,
            own_squares=m.own_squares - by * (2 * m.own_first - m.own_weight * by),
        )

    def add(self, rows: Rows) -> None:
        """Add samples; they are multiplied when there are enough of them, or in `flush`."""
        if not rows.n_samples:
            return
        if self._block is None:
            _ = self.gram  # first, for it is the one that may not fit
            self._block = self.xp.empty((ROWS, self.size), self.dtype)
        self._block = writeable(self._block)
        self.n_samples += rows.n_samples
        start = 0
        while start < rows.n_samples:
            part = rows.part(start, start + ROWS - self._filled)
            stop = self._filled + part.n_samples
            self._block[self._filled : stop] = part.X
            self._pending.append(part._replace(X=np.empty((part.n_samples, 0))))
            self._filled = stop
            start += part.n_samples
            if stop == ROWS:
                self.flush()

    def flush(self) -> None:
        """Multiply the samples that have been added since the last time."""
        if not self._filled:
            return
        self._block = writeable(self._block)
        block = self._block[: self._filled]
        rows = joined(self._pending)._replace(X=block)
        if self.shift is None:
            positive = np.flatnonzero(rows.weights)
            self.shift = _centre(rows.take(positive).X if len(positive) else block)
        block -= self.shift
        self._pending, self._filled = [], 0
        self.moments = self.moments.plus(weighted_moments(rows, self.standardize))
        add_square(self.gram, block)


def _centre(block: Array) -> Array:
    """The means of columns; a constant column's is its value, so that nothing of it remains."""
    xp, low, high = namespace(block), block.min(axis=0), block.max(axis=0)
    return xp.where(low == high, low, block.mean(axis=0, dtype=np.float64).astype(block.dtype))
