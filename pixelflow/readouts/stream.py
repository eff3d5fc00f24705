"""The samples that a ridge readout has been given so far, and the model that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from pixelflow.checks import brief, naming
from pixelflow.readouts.arrays import Array, namespace, on_device_of, to_host
from pixelflow.readouts.base import LinearModel, single_class_model
from pixelflow.readouts.inputs import (
    HELD,
    LATER,
    TRAIN,
    RidgeOptions,
    checked_chunk,
    checked_options,
    chunk_parts,
    plain,
)
from pixelflow.readouts.scales import Magnitudes, alike
from pixelflow.readouts.selection import (
    HeldOut,
    choose_by_holdout,
    choose_by_loo,
    choose_by_loo_in_memory,
    drawn,
)
from pixelflow.readouts.solvers import EIGEN, ridge_path
from pixelflow.readouts.sums import Rows, Sums
from pixelflow.readouts.systems import DualEquations, NormalEquations, RotatedEquations, System
from pixelflow.readouts.targets import Targets, class_weights

Chunks = Callable[[], Iterable[tuple[Any, ...]]]
Rowwise = Callable[[], Iterable[Rows]]  # goes over all samples once more
SLICE = 8192  # samples of a matrix in memory that are streamed at once
DUAL_BYTES = 2**30  # of features in float64, up to which the dual equations are worth it
MANY = 8  # features a sample, from which rotating them takes less time than their products
TOO_FEW = "one sample can't choose among several alphas: give one alpha"


class Stream:
    """Sums of samples, and those held out where a penalty is to be chosen on them.

    Parameters
    ----------
    X : array (n, D)
        The first features. All others follow to their device.
    targets : Targets
    alphas : list of float
        Of several the best is chosen.
    standardize : bool
    holdout : bool
        Choose on samples held out.
    """

    def __init__(
        self, X: Array, targets: Targets, alphas: Sequence[float], standardize: bool, holdout: bool
    ) -> None:
        self.targets, self.alphas = targets, list(alphas)
        self.holdout = holdout and len(self.alphas) > 1
        self.sums = Sums(namespace(X), X.shape[1], X.dtype, standardize)
        self.held = HeldOut()
        self.magnitudes = Magnitudes()
        self.n_samples = self.n_chunks = 0
        self.chosen: tuple[float, float | None] | None = None

    @property
    def xp(self) -> ModuleType:
        """The module that its arrays are of."""
        return self.sums.xp

    def set_alphas(self, alphas: Sequence[float]) -> None:
        """Choose among these from now on."""
        if len(alphas) > 1 and not self.holdout:
            raise ValueError("several alphas need samples held out from the first chunk on")
        self.alphas = list(alphas)

    def rows(self, X: Array, y: np.ndarray, sample_weight: np.ndarray | None) -> Rows:
        """Samples as they are summed; raises for a y that doesn't go with the first."""
        if namespace(X) is not self.xp:
            X = to_host(X) if self.xp is np else self.xp.asarray(X)
        columns, classes = self.targets.columns(y), self.targets.weights(y)
        own = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        with np.errstate(over="ignore"):  # it is refused when it is added
            weights = own if classes is None else own * classes
        return Rows(X, columns, weights, own)

    def add(self, rows: Rows, roles: np.ndarray | None = None) -> None:
        """Add samples, for training or to be held out: as the roles say, or as drawn.

        ValueError, and nothing is added, where they are too large for their squares to be summed.
        """
        with on_device_of(self.sums.moments.first):
            n, dtypes = rows.n_samples, (self.sums.dtype, self.sums.gram_dtype)
            magnitudes = self.magnitudes.plus(rows, *dtypes)
            if n:
                self.sums.centre_on(rows, self.magnitudes.weights[1])
            if not self.holdout:
                self.sums.add(rows)
            elif roles is not None:
                self._add_as(rows, roles)
            else:
                held, priorities = drawn(self.n_samples, n)
                over = self.held.draw(rows.take(np.flatnonzero(held)), priorities[held])
                self.sums.add(rows.take(np.flatnonzero(~held)))
                if over is not None:
                    self.sums.add(over)
            self.n_samples, self.magnitudes = self.n_samples + n, magnitudes

    def _add_as(self, rows: Rows, roles: np.ndarray) -> None:
        train, held, later = (np.flatnonzero(roles == role) for role in (TRAIN, HELD, LATER))
        if self.chosen is not None and len(later) < len(roles):
            raise ValueError(
                "all samples to train on or hold out must come before those of role 2."
            )
        self.held.add(rows.take(held))
        self.sums.add(rows.take(train))
        if len(later):
            self.chosen = self.choose()  # the sums have none of these yet
            self.sums.add(rows.take(later))

    def choose(self) -> tuple[float, float | None]:
        """The penalty, and its score if there were several."""
        if self.chosen is not None:
            return self.chosen
        if len(self.alphas) == 1:
            return self.alphas[0], None
        if not len(self.held) or self.sums.n_samples == 0:
            raise ValueError(TOO_FEW)
        self.magnitudes.check_small(self.sums.dtype)
        system = NormalEquations(self.sums, self.targets.combine())
        return choose_by_holdout(system, self.alphas, self.held.rows(), self.targets)

    def solve(self, iter_again: Rowwise | None = None) -> LinearModel:
        """The model of all samples; the penalty by leave-one-out if they can be iterated again."""
        with on_device_of(self.sums.moments.first):
            return self._solve(iter_again)

    def _solve(self, iter_again: Rowwise | None) -> LinearModel:
        classes, combine = self.targets.classes, self.targets.combine()
        if classes is not None and len(classes) == 1:
            return single_class_model(classes, self.sums.size, max(self.alphas))
        self.magnitudes.check_small(self.sums.dtype)
        chosen = self.choose() if iter_again is None else (0.0, None)
        held = self.held.rows() if len(self.held) else None
        system = NormalEquations(self.sums, combine, held)
        if iter_again is not None:
            chosen = choose_by_loo(system, self.alphas, iter_again, combine)
        return _solved(system, *chosen, self.targets)


def _solved(system: System, alpha: float, score: float | None, targets: Targets) -> LinearModel:
    """The model with that penalty."""
    alpha, solution = next(ridge_path(system, [alpha]))
    coef, intercept = system.lift(solution)
    offset = targets.offset_of(intercept)
    return LinearModel(coef, intercept + offset, targets.classes, alpha, score)


# -- features in memory ----------------------------------------------------------------------------


def model_of_arrays(readout: RidgeOptions, X: Any, y: Any, sample_weight: Any) -> LinearModel:
    """The model of features in memory; see `RidgeReadout.fit`."""
    alphas = checked_options(readout)
    X, y, sample_weight, _, task = checked_chunk(readout, (X, y, sample_weight), reset=True)
    targets = Targets(task, y, class_weight=class_weights(readout.class_weight, y))
    targets.check_class_weight()
    classes = targets.classes
    if classes is not None and len(classes) == 1:
        return single_class_model(classes, X.shape[1], max(alphas))
    loo = readout.selection == "loo" and len(alphas) > 1
    with on_device_of(X):
        stream = new_stream(readout, X, targets)
        if X.shape[1] >= len(X) and X.size * 8 <= DUAL_BYTES:
            model = _model_of_few(stream, stream.rows(X, y, sample_weight), loo)
            if model is not None:
                return model

    iter_again = partial(_iter_slices, stream, X, y, sample_weight)
    for rows in iter_again():
        stream.add(rows)
    return stream.solve(iter_again if loo else None)


def _iter_slices(
    stream: Stream, X: Array, y: np.ndarray, sample_weight: np.ndarray | None
) -> Iterator[Rows]:
    """Samples in memory, some at a time."""
    for a in range(0, len(X), SLICE):
        part = slice(a, a + SLICE)
        weights = None if sample_weight is None else sample_weight[part]
        yield stream.rows(X[part], y[part], weights)


def _model_of_few(stream: Stream, rows: Rows, loo: bool) -> LinearModel | None:
    """The model of no more samples than features, by as many equations as samples.

    None where as many equations as features do as well: for up to `EIGEN` features of alike scales,
    and for more samples than that whose features have unlike ones, unless there are many times as
    many features.
    """
    targets, alphas, standardize = stream.targets, stream.alphas, stream.sums.standardize
    Magnitudes().plus(rows, np.float64, np.float64).check_small(np.float64)
    combine, chosen = targets.combine(), (alphas[0], None)
    held = drawn(0, rows.n_samples)[0] & stream.holdout
    if stream.holdout and len(held) < 2:
        raise ValueError(TOO_FEW)
    dual = DualEquations(rows.take(np.flatnonzero(~held)), combine, standardize)
    if not _dual_is_worth_it(dual, min(alphas)):
        return None
    if stream.holdout:
        held = rows.take(np.flatnonzero(held))
        chosen = choose_by_holdout(_precise(dual, min(alphas)), alphas, held, targets)
        del dual  # before there is another
        dual = DualEquations(rows, combine, standardize)
    system = _precise(dual, min(alphas))
    if loo:
        chosen = choose_by_loo_in_memory(system, alphas)
    return _solved(system, *chosen, targets)


def _dual_is_worth_it(dual: DualEquations, alpha: float) -> bool:
    n_samples, n_features = dual.rows.shape
    if alike(dual.variances, alpha):
        return n_features > EIGEN
    return n_samples <= EIGEN or MANY * n_samples <= n_features


def _precise(dual: DualEquations, alpha: float) -> DualEquations | RotatedEquations:
    return dual if alike(dual.variances, alpha) else RotatedEquations(dual)


# -- chunks ----------------------------------------------------------------------------------------


def new_stream(readout: RidgeOptions, X: Array, targets: Targets) -> Stream:
    """A stream without samples yet, for features like X."""
    alphas, holdout = checked_options(readout), readout.selection == "holdout"
    return Stream(X, targets, alphas, readout.standardize, holdout)


def add_chunk(
    readout: RidgeOptions,
    stream: Stream | None,
    number: int,
    chunk: Any,
    classes: Any,
    weights: Mapping[Any, float] | None,
    closed: bool = False,
) -> Stream:
    """The stream, or a new one, with that chunk; an error names the chunk, and adds nothing."""
    first = 0 if stream is None else stream.n_samples
    with naming(f"chunk {number} (from sample {first} on) is refused and nothing of it added"):
        checked = checked_chunk(readout, chunk, reset=stream is None)
        if stream is None:
            with on_device_of(checked.X):
                targets = Targets(checked.task, checked.y, classes, closed, weights)
                stream = new_stream(readout, checked.X, targets)
        elif closed:
            stream.targets.check_classes(classes)
        stream.add(stream.rows(checked.X, checked.y, checked.sample_weight), checked.roles)
        stream.n_chunks += 1
    return stream


def model_of_chunks(readout: RidgeOptions, chunks: Chunks, classes: Any, y: Any) -> LinearModel:
    """The model of all chunks; see `RidgeReadout.fit_chunks`."""
    loo = len(checked_options(readout)) > 1 and readout.selection == "loo"
    if y is not None:
        y = plain("y", y)
    elif readout.class_weight == "balanced":
        y = _all_labels(chunks)
    weights = class_weights(readout.class_weight, y)
    stream: Stream | None = None
    for number, chunk in enumerate(_iter_chunks(chunks), 1):
        stream = add_chunk(readout, stream, number, chunk, classes, weights)
    if stream is None:
        raise ValueError("there are no chunks to fit on: chunks() gave an empty iterator")
    stream.targets.check_class_weight()
    iter_again = partial(_iter_again, readout, stream, chunks)
    return stream.solve(iter_again if loo else None)


def _iter_chunks(chunks: Chunks) -> Iterator[Any]:
    """A new iterator over all chunks."""
    if not callable(chunks):
        raise TypeError(f"chunks must be a callable that returns an iterator, got {brief(chunks)}")
    found = chunks()
    if not isinstance(found, Iterable):
        raise TypeError(f"chunks must return an iterator over chunks, got {brief(found)}")
    return iter(found)


def _iter_again(readout: RidgeOptions, stream: Stream, chunks: Chunks) -> Iterator[Rows]:
    """The samples of all chunks once more."""
    for chunk in _iter_chunks(chunks):
        yield stream.rows(*checked_chunk(readout, chunk, reset=False)[:3])


def _all_labels(chunks: Chunks) -> np.ndarray:
    """The labels of all chunks."""
    with naming("chunks"):
        return np.concatenate([plain("y", chunk_parts(chunk)[1]) for chunk in _iter_chunks(chunks)])
