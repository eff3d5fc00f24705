"""The samples that a ridge readout has been given so far, and the model that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from pixelflow.readouts.arrays import namespace, to_host, where
from pixelflow.readouts.holdout import HELD, LATER, TRAIN, Held, choose, drawn
from pixelflow.readouts.loo import leave_one_out, leave_one_out_dual
from pixelflow.readouts.magnitudes import Magnitudes
from pixelflow.readouts.model import Model, only
from pixelflow.readouts.normal import Kernel, Normal
from pixelflow.readouts.path import ridge_path
from pixelflow.readouts.rotated import Rotated
from pixelflow.readouts.scales import alike
from pixelflow.readouts.sums import Rows, Sums
from pixelflow.readouts.targets import Targets

MANY = 8  # features a sample, from which rotating them takes less time than their products
TOO_FEW = "one sample can't choose among several alphas: give one alpha"


class Stream:
    """Sums of samples, and those held out where a penalty is to be chosen on them.

    Parameters
    ----------
    xp : module
        NumPy or CuPy, whose the features are.
    X : array (n, D)
        The first features.
    targets : Targets
    alphas : list of float
        Of several the best is chosen.
    standardize : bool
    holdout : bool
        Choose on samples held out.
    """

    def __init__(
        self, xp: Any, X: Any, targets: Targets, alphas: Sequence[float], standardize: bool,
        holdout: bool,
    ) -> None:  # fmt: skip
        self.targets, self.alphas = targets, list(alphas)
        self.holdout = holdout and len(self.alphas) > 1
        self.sums = Sums(xp, X.shape[1], X.dtype, standardize)
        self.held = Held()
        self.magnitudes = Magnitudes()
        self.n_samples = self.n_chunks = 0
        self.chosen: tuple[float, float | None] | None = None

    @property
    def xp(self) -> Any:
        """The module that its arrays are of."""
        return self.sums.xp

    def set_alphas(self, alphas: Sequence[float]) -> None:
        """Choose among these from now on."""
        if len(alphas) > 1 and not self.holdout:
            raise ValueError("several alphas need samples held out from the first chunk on")
        self.alphas = list(alphas)

    def rows(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None) -> Rows:
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
        with where(self.sums.moments.first):
            n, dtypes = len(rows.own), (self.sums.dtype, self.sums.gram_dtype)
            magnitudes = self.magnitudes.plus(rows, *dtypes)
            if n:
                self.sums.centre_on(rows, self.magnitudes.weights[1])
            if not self.holdout:
                self.sums.add(rows)
            elif roles is not None:
                self._add_as(rows, roles)
            else:
                held, priorities = drawn(self.n_samples, n)
                over = self.held.draw(rows.take(self.xp, np.flatnonzero(held)), priorities[held])
                self.sums.add(rows.take(self.xp, np.flatnonzero(~held)))
                if over is not None:
                    self.sums.add(over)
            self.n_samples, self.magnitudes = self.n_samples + n, magnitudes

    def _add_as(self, rows: Rows, roles: np.ndarray) -> None:
        train, held, later = (np.flatnonzero(roles == role) for role in (TRAIN, HELD, LATER))
        if self.chosen is not None and len(later) < len(roles):
            raise ValueError(
                "all samples to train on or hold out must come before those of role 2."
            )
        self.held.add(rows.take(self.xp, held))
        self.sums.add(rows.take(self.xp, train))
        if len(later):
            self.chosen = self.choose()  # the sums have none of these yet
            self.sums.add(rows.take(self.xp, later))

    def choose(self) -> tuple[float, float | None]:
        """The penalty, and its score if there were several."""
        if self.chosen is not None:
            return self.chosen
        if len(self.alphas) == 1:
            return self.alphas[0], None
        if not len(self.held) or self.sums.n_samples == 0:
            raise ValueError(TOO_FEW)
        self.magnitudes.check_small(self.sums.dtype)
        system = Normal(self.sums, self.targets.combine())
        return choose(system, self.alphas, self.held.rows(), self.targets)

    def solve(self, again: Callable[[], Iterable[Rows]] | None = None) -> Model:
        """The model of all samples; leave-one-out needs to go over them `again`."""
        with where(self.sums.moments.first):
            return self._solve(again)

    def _solve(self, again: Callable[[], Iterable[Rows]] | None) -> Model:
        classes, combine = self.targets.classes, self.targets.combine()
        if classes is not None and len(classes) == 1:
            return only(classes, self.sums.size, max(self.alphas))
        self.magnitudes.check_small(self.sums.dtype)
        chosen = self.choose() if again is None else (0.0, None)
        held = self.held.rows() if len(self.held) else None
        system = Normal(self.sums, combine, held)
        if again is not None:
            chosen = leave_one_out(system, self.alphas, again, combine)
        return fitted(system, *chosen, self.targets)


def fitted(system: Any, alpha: float, score: float | None, targets: Targets) -> Model:
    """The model with that penalty."""
    alpha, solution = next(ridge_path(system, [alpha]))
    coef, intercept = system.lift(solution)
    return Model(coef, intercept + targets.offset_of(intercept), targets.classes, alpha, score)


def in_memory(stream: Stream, rows: Rows, loo: bool, least: int) -> Model | None:
    """The model of no more samples than features, by as many equations as samples.

    None where as many as features do as well: for up to `least` features of alike scales, and for
    more samples than that whose features have unlike ones, unless there are many times as many.
    """
    xp, targets, alphas = stream.xp, stream.targets, stream.alphas
    Magnitudes().plus(rows, np.float64, np.float64).check_small(np.float64)
    combine, standardize = targets.combine(), stream.sums.standardize
    chosen: tuple[float, float | None] = (alphas[0], None)
    held = drawn(0, len(rows.own))[0] & stream.holdout
    if stream.holdout and len(held) < 2:
        raise ValueError(TOO_FEW)
    kernel = Kernel(xp, rows.take(xp, np.flatnonzero(~held)), combine, standardize)
    if not _suits(kernel, min(alphas), least):
        return None
    if stream.holdout:
        held = rows.take(xp, np.flatnonzero(held))
        chosen = choose(_precise(kernel, min(alphas)), alphas, held, targets)
        del kernel  # before there is another
        kernel = Kernel(xp, rows, combine, standardize)
    system = _precise(kernel, min(alphas))
    if loo:
        chosen = leave_one_out_dual(system, alphas)
    return fitted(system, *chosen, targets)


def _suits(kernel: Kernel, alpha: float, least: int) -> bool:
    n_samples, n_features = kernel.rows.shape
    if alike(kernel.variances, alpha):
        return n_features > least
    return n_samples <= least or MANY * n_samples <= n_features


def _precise(kernel: Kernel, alpha: float) -> Kernel | Rotated:
    return kernel if alike(kernel.variances, alpha) else Rotated(kernel)
