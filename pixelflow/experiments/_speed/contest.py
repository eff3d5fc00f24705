"""Timing of one work on all its systems and backends, in turn."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelflow.backends import get_backend
from pixelflow.experiments._speed import field as fields_package
from pixelflow.experiments._speed import ours
from pixelflow.experiments._speed.entrant import FEW, Entrant
from pixelflow.experiments._speed.peers import Peers
from pixelflow.experiments._speed.process import NotMeasured
from pixelflow.experiments._speed.works import FIELD, OURS, Contender, Rounds, Work
from pixelflow.timing import Timing, in_turn, summary

REFERENCE = "numba"  # gives the same bits as the reference `cpu`, in less time
logger = logging.getLogger(__name__)


@dataclass
class Contest:
    """One work and its contenders.

    Attributes
    ----------
    rows : list of dict
        One row per contender, also for those that can't run.
    agreement : dict of str to float
        By label, the largest difference of a contender's features from those of our reference.
    versions : dict of str to str
        The versions in the environment of the field's package.
    bytes_in : int
        Size of the inputs.
    """

    work: Work
    contenders: list[Contender]
    rounds: Rounds
    rows: list[dict[str, Any]] = field(default_factory=list)
    agreement: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    bytes_in: int = 0
    _missing: dict[Contender, str] = field(default_factory=dict)

    def run(self, random: Mapping[str, int], peers: Peers) -> None:
        """Time the contenders in turn."""
        X = self.work.draw(random)
        self.bytes_in = X.nbytes
        entrants: dict[Contender, Entrant] = {}
        with ExitStack() as stack:
            for contender in self.contenders:
                with self._record_failure(contender):
                    entrants[contender] = self._enter(contender, X, dict(random), peers, stack)
            self._compare(entrants, X)
            timed = {c: self._turn(c, entrant) for c, entrant in entrants.items()}
            times = in_turn(timed, {c: self.rounds[c.system][c.backend] for c in timed})
        for contender in self.contenders:
            measured = contender not in self._missing
            timing = summary(times[contender]) if measured else None
            ran = entrants[contender].renderer if measured else self._missing[contender]
            self._add_row(contender, timing, ran)

    def skip(self, why: str) -> None:
        """Add rows that say why nothing was measured."""
        for contender in self.contenders:
            self._add_row(contender, None, f"not measured: {why}")

    def _enter(
        self,
        contender: Contender,
        X: np.ndarray,
        random: dict[str, int],
        peers: Peers,
        stack: ExitStack,
    ) -> Entrant:
        rounds = self.rounds[contender.system][contender.backend]
        if contender.system == OURS:
            return ours.enter(contender, self.work, X, rounds, stack)
        if contender.system != FIELD:
            return peers.enter(contender, self.work, random, stack)
        entrant, self.versions = fields_package.enter(contender, self.work, X, rounds, stack)
        return entrant

    def _compare(self, entrants: Mapping[Contender, Entrant], X: np.ndarray) -> None:
        if not entrants:
            return
        plan, few = self.work.plan(X), X[:FEW].reshape(len(X[:FEW]), -1)
        expected = np.empty((len(few), plan.feature_dim), np.float32)
        get_backend(REFERENCE).prepare(plan, True, None).features(few, expected)
        for contender, entrant in entrants.items():
            with self._record_failure(contender):
                difference = float(np.abs(entrant.features - expected).max())
                if not math.isfinite(difference):
                    raise NotMeasured("its features are not finite")
                self.agreement[contender.label] = difference

    def _turn(self, contender: Contender, entrant: Entrant) -> Callable[[], list[float]]:
        def turn() -> list[float]:
            with self._record_failure(contender):
                return entrant.turn()
            return []

        return turn

    @contextmanager
    def _record_failure(self, contender: Contender) -> Iterator[None]:
        """Record any error of a contender as the reason why it is not measured; others go on."""
        try:
            yield
        except NotMeasured as error:
            self._missing[contender] = f"not measured: {error}"
        except Exception as error:
            self._missing[contender] = f"not measured: {type(error).__name__}: {error}"

    def _add_row(self, contender: Contender, timing: Timing | None, ran: str) -> None:
        times = timing._asdict() if timing else {**dict.fromkeys(Timing._fields), "n": 0}
        row = {"work": self.work.name, "system": contender.system, "backend": contender.backend}
        row |= {"renderer": ran, **times, "transfers": contender.transfers, "out": contender.out}
        self.rows.append(row)
        took = f"{timing.median_ms:.4f} ms, n = {timing.n}, " if timing else ""
        logger.info("%s, %s %s %s: %s%s", self.work.name, *contender, took, ran)
