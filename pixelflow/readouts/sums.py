"""Weighted sums of features and targets: all that a ridge readout keeps of its training rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pixelflow.readouts import precision
from pixelflow.readouts.arrays import apart, namespace, writeable
from pixelflow.readouts.symmetric import add_square, tiles

ROWS = 4096  # multiplied at once, however they arrive, so that sums don't depend on that
HEAVY = 2**10  # times as much as others: from here on they lose digits unless the shift is there


class Rows(NamedTuple):
    """Samples as they are added: features on their device, the rest on the host."""

    X: Any  # (n, D)
    targets: np.ndarray  # (n, K) float64
    weights: np.ndarray  # (n,) float64, with the weights of classes
    own: np.ndarray  # (n,) float64, without

    def origin(self) -> Any:
        """Features of one sample, of the first that weighs anything."""
        return self.X[int(np.argmax(self.weights > 0))]

    def take(self, xp: Any, rows: np.ndarray) -> Rows:
        """Those of the samples; rows ascend."""
        if len(rows) == len(self.own):
            return self
        return Rows(self.X[xp.asarray(rows)], *(part[rows] for part in self[1:]))


def widened(targets: np.ndarray, width: int) -> np.ndarray:
    """Targets with columns of zeros for labels that came up later, a copy."""
    return np.pad(targets, ((0, 0), (0, width - targets.shape[1])))


def joined(xp: Any, parts: list[Rows]) -> Rows:
    """The samples of all parts, whose targets may have got more columns on the way."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.targets.shape[1] for part in parts)
    targets = [widened(part.targets, width) for part in parts]
    rest = (np.concatenate([part[i] for part in parts]) for i in (2, 3))
    return Rows(xp.concatenate([part.X for part in parts]), np.concatenate(targets), *rest)


class Moments(NamedTuple):
    """What is summed over samples, but for the products of features with each other."""

    weight: float
    first: Any  # (D,) weighted features
    cross: Any  # (D, K) weighted features times targets
    targets: np.ndarray  # (K,) weighted targets
    squares: np.ndarray  # (K,) weighted squares of targets
    own: float  # the last three with the samples' own weights
    own_first: Any  # (D,)
    own_squares: Any  # (D,)

    def plus(self, xp: Any, other: Moments) -> Moments:
        """The sums over both; either may lack the last columns of targets."""
        width = max(len(self.targets), len(other.targets))
        padded = []
        for one in (self, other):
            missing = width - len(one.targets)
            cross = xp.concatenate([one.cross, xp.zeros((len(one.cross), missing))], axis=1)
            targets, squares = (np.pad(part, (0, missing)) for part in (one.targets, one.squares))
            padded.append(one._replace(cross=cross, targets=targets, squares=squares))
        return Moments(*(a + b for a, b in zip(*padded, strict=True)))


def weighed(xp: Any, rows: Rows, squares: bool) -> Moments:
    """The sums over some rows, whose features are multiplied by the roots of their weights.

    Those of squares are zero unless they are asked for.
    """

    def there(values: np.ndarray) -> Any:
        return xp.asarray(values.astype(rows.X.dtype))

    roots = np.sqrt(rows.weights)
    own_first = there(rows.own) @ rows.X
    own_squares = xp.zeros_like(own_first)
    for a, b in tiles(rows.X.shape[1]) if squares else ():
        own_squares[a:b] = there(rows.own) @ rows.X[:, a:b] ** 2
    if np.any(roots != 1):
        rows.X[...] *= there(roots)[:, None]
    found = Moments(
        float(rows.weights.sum()),
        there(roots) @ rows.X,
        rows.X.T @ there(rows.targets * roots[:, None]),
        rows.weights @ rows.targets,
        rows.weights @ rows.targets**2,
        float(rows.own.sum()),
        own_first,
        own_squares,
    )
    on_device = ("first", "cross", "own_first", "own_squares")
    return found._replace(**{key: getattr(found, key).astype(np.float64) for key in on_device})


class Sums:
    """Sums over rows, of features relative to about their means.

    Without that shift, float32 products of features with large means would drown their
    deviations. They are multiplied in `dtype`; of `gram` (D, D) only the upper triangle is added
    to. Features are squared too where they are to be standardised.
    """

    def __init__(self, xp: Any, size: int, feature_dtype: Any, standardize: bool) -> None:
        self.size, self.feature_dtype = size, np.dtype(feature_dtype)
        self.standardize = standardize
        self.dtype = precision.of_products(xp, size, feature_dtype)
        self.gram_dtype = precision.of_sums(xp, size)
        none = np.zeros(0)
        zeros = xp.zeros(size)
        self.moments = Moments(0.0, zeros, xp.zeros((size, 0)), none, none, 0.0, zeros, zeros)
        self.shift: Any = None
        self.n_samples = 0
        self._gram: Any = None  # and the block: made when they are needed, for they are large
        self._block: Any = None
        self._pending: list[Rows] = []
        self._filled = 0

    @property
    def xp(self) -> Any:
        """The module that its arrays are of."""
        return namespace(self.moments.first)

    @property
    def gram(self) -> Any:
        """The products of features with each other (D, D)."""
        if self._gram is None:
            with apart(self.xp, self.size, self.gram_dtype):
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
            What comes next, to be added or held out.
        before : float
            What all samples before weigh, those held out too.
        """
        total, weighs = float(rows.weights.sum()), rows.weights[rows.weights > 0]
        if before > 0:
            heavy = total > HEAVY * before
        else:
            heavy = len(weighs) > 0 and float(weighs.max()) > HEAVY * float(weighs.min())
        if not heavy:
            return
        shares = self.xp.asarray(rows.weights / total)
        mean = shares @ rows.X.astype(np.float64)
        self.flush()
        if self.shift is not None:
            self._move(mean.astype(self.dtype).astype(np.float64))
        self.shift = mean.astype(self.dtype)

    def _move(self, to: Any) -> None:
        """Make what is summed relative to another shift."""
        by, m = to - self.shift.astype(np.float64), self.moments
        for a, b in tiles(self.size):
            self.gram[a:b] -= m.first[a:b, None] * by + by[a:b, None] * (m.first - m.weight * by)
        self.moments = m._replace(
            first=m.first - m.weight * by,
            cross=m.cross - by[:, None] * self.xp.asarray(m.targets),
            own_first=m.own_first - m.own * by,
            own_squares=m.own_squares - by * (2 * m.own_first - m.own * by),
        )

    def add(self, rows: Rows) -> None:
        """Add samples; they are multiplied when there are enough of them, or in `flush`."""
        if not len(rows.own):
            return
        if self._block is None:
            _ = self.gram  # first, for it is the one that may not fit
            self._block = self.xp.empty((ROWS, self.size), self.dtype)
        self._block = writeable(self._block)
        self.n_samples += len(rows.own)
        start = 0
        while start < len(rows.own):
            part = Rows(*(values[start : start + ROWS - self._filled] for values in rows))
            stop = self._filled + len(part.own)
            self._block[self._filled : stop] = part.X
            self._pending.append(part._replace(X=np.empty((len(part.own), 0))))
            self._filled = stop
            start += len(part.own)
            if stop == ROWS:
                self.flush()

    def flush(self) -> None:
        """Multiply what has been added since the last time."""
        if not self._filled:
            return
        self._block = writeable(self._block)
        block = self._block[: self._filled]
        rows = joined(np, self._pending)._replace(X=block)
        if self.shift is None:
            weighs = np.flatnonzero(rows.weights)
            self.shift = _centre(self.xp, rows.take(self.xp, weighs).X if len(weighs) else block)
        block -= self.shift
        self._pending, self._filled = [], 0
        self.moments = self.moments.plus(self.xp, weighed(self.xp, rows, self.standardize))
        add_square(self.gram, block)


def _centre(xp: Any, block: Any) -> Any:
    """The means of columns; of one that is constant its value, so that nothing of it remains."""
    low, high = block.min(axis=0), block.max(axis=0)
    return xp.where(low == high, low, block.mean(axis=0, dtype=np.float64).astype(block.dtype))
