"""Textures in, textures out: for some steps, until they rest, or driven by a sequence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from pixelflow.backends.registry import Prepared, get_backend
from pixelflow.checks import boolean, integer, number
from pixelflow.core.inputs import is_finite
from pixelflow.core.limits import MOST_STEPS
from pixelflow.core.params import Configured
from pixelflow.core.plan import Plan, compile_sequence, compile_states
from pixelflow.states import (
    SequenceState,
    checked_media,
    checked_sequence_state,
    checked_sequences,
    checked_state,
    checked_states,
    contiguous,
    with_media,
    without_member_axis,
)


class Evolution(Configured):
    """What a `Reservoir` does with textures; nothing of it needs `fit`."""

    backend: str
    exact: bool
    device: int | None

    @property
    def feature_dim(self) -> int:
        """How many features an input has."""
        c = self.config
        return c.members * prod(c.probe.shape(c.steps, c.height, c.width, c.channels))

    def evolve(
        self,
        states,
        steps: int | None = None,
        medium: Mapping[str, Any] | None = None,
        first: int = 0,
    ) -> np.ndarray:
        """Textures after more steps of the rule.

        Parameters
        ----------
        states : array (N, H, W, C), with several members (N, M, H, W, C)
            Finite textures; not changed. N may be 0. A GPU takes subnormal numbers, below 1.2e-38,
            for 0, here and in media and parameters.
        steps : int, optional
            How many; None means the config's.
        medium : mapping, optional
            Media that replace the config's for this call, each (H, W), (M, H, W), or one a sample
            (N, 1 or M, H, W). New numbers are data: nothing is compiled for them.
        first : int
            The number of the first step, which ``at.step()`` and the noise count from: after ten
            steps, ``first=10`` goes on as if they had been one call.

        Returns
        -------
        array of the shape of `states`, of the config's dtype

        Raises
        ------
        ValueError, TypeError
            If states or media have another shape, or are not finite numbers.

        Warns
        -----
        RuntimeWarning
            If some became infinite or NaN: the rule diverges, or the states were too large for it.
        """
        c = self.config
        steps = integer("steps", c.steps if steps is None else steps, 0, MOST_STEPS)
        first = integer("first", first, 0, MOST_STEPS - steps)
        ended = self._evolved(states, steps, medium, first)
        self._warn_if_diverged(ended, f"within {steps} steps")
        return ended

    def evolve_until(
        self,
        states,
        tol: float,
        every: int = 8,
        max_steps: int = 10_000,
        medium: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Textures when they have come to rest, and how many steps each of them took.

        A texture stops at the first check at which no value changed by more than `tol` in one
        step, or at which a change is infinite or NaN. Its bits and its steps don't depend on the
        other textures of the batch.

        Parameters
        ----------
        states : array (N, H, W, C), with several members (N, M, H, W, C)
            Finite textures; not changed. N may be 0.
        tol : float
            The largest change in one step at which a texture rests, from 0: then no value changes.
        every : int
            Steps from one check to the next; the last check is after `max_steps`.
        max_steps : int
            Steps after which a texture stops that has not come to rest.
        medium : mapping, optional
            As for `evolve`.

        Returns
        -------
        states : array of the shape of `states`, of the config's dtype
        steps : int64 array (N, M)

        Warns
        -----
        ConvergenceWarning
            If finite textures have not come to rest: how many, and by how much they still change.
        RuntimeWarning
            If some became infinite or NaN.
        """
        tol = number("tol", tol, 0)
        every = integer("every", every, 1, MOST_STEPS)
        most = integer("max_steps", max_steps, 1, MOST_STEPS)
        prepared, full = self._with_media(states, medium)
        ended = np.empty_like(full)
        counts, changes = prepared.converge(full, ended, tol, every, most)
        moving = (changes > tol) & np.isfinite(changes)
        if moving.any():
            warnings.warn(
                f"{moving.sum()} of {moving.size} textures have not come to rest after {most} "
                f"steps: they change by up to {changes[moving].max():.3g} in a step, above "
                f"tol={tol:.3g}; give more max_steps or a larger tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        found = self._without_media(ended, states)
        self._warn_if_diverged(found, f"within {counts.max(initial=0)} steps")
        return found, counts

    def step(self, state) -> np.ndarray:
        """One texture (H, W, C) after one step of the rule; with several members (M, H, W, C).

        Each call is a step 0: the same `at.noise()`, and ``at.step()`` is 0. `evolve` counts on.
        """
        found = checked_state(state, self.config)
        ended = self._evolved(found, 1).reshape(np.shape(state))
        self._warn_if_diverged(ended, "within 1 step")
        return ended

    def run_sequence(
        self,
        u,
        washout: int = 0,
        state: SequenceState | None = None,
        return_state: bool = False,
    ) -> Any:
        """Features of textures that a sequence drives: one row for each input.

        Each input is added to the texture where ``input_encoding="inject"`` says, then the rule
        takes `config.steps` steps, then the probe reads; its snapshots are counted from the input.
        A sequence in parts, each with the state of the one before, gives the bits of the whole.

        Parameters
        ----------
        u : array (T, K) or (N, T, K)
            Inputs of K columns, finite; N sequences are run side by side.
        washout : int
            How many inputs at the beginning have no features, at most T.
        state : SequenceState, optional
            What an earlier call returned, to go on from there; else textures begin as zeros.
        return_state : bool
            Return the state after the last input too.

        Returns
        -------
        features : array (T - washout, feature_dim) or (N, T - washout, feature_dim)
            Of the config's dtype; not searched for infinities and NaN, as `transform`'s.
        state : SequenceState
            Only with `return_state`.

        Warns
        -----
        RuntimeWarning
            If the textures after the last input are infinite or NaN.

        Raises
        ------
        ValueError, TypeError
            If the config doesn't have ``input_encoding="inject"``, or an argument has another
            shape or type.

        Examples
        --------
        >>> import numpy as np
        >>> from pixelflow import Reservoir, ReservoirConfig
        >>> config = ReservoirConfig(8, 8, steps=1, rule="coupled", input_encoding="inject")
        >>> Reservoir(config, backend="cpu").run_sequence(np.ones((50, 1)), washout=20).shape
        (30, 256)
        """
        c = self.config
        if c.probe.learns:
            raise ValueError("run_sequence needs a probe whose threshold is a number, no quantile")
        inputs, batched = checked_sequences(u, c)
        washout = integer("washout", washout, 0, inputs.shape[1])
        boolean("return_state", return_state)
        textures, done = checked_sequence_state(state, c, len(inputs), batched)
        if done + inputs.shape[1] * c.steps > MOST_STEPS:
            raise ValueError(
                f"state's steps and those of u must be at most {MOST_STEPS} together, got {done} "
                f"and {inputs.shape[1] * c.steps}"
            )
        prepared = self._prepared(compile_sequence(c, inputs.shape[2]))
        ended = np.empty_like(textures)
        dropped, kept = (contiguous(part) for part in (inputs[:, :washout], inputs[:, washout:]))
        out = np.empty((*kept.shape[:2], self.feature_dim), c.dtype)
        for part, features in ((dropped, None), (kept, out)):
            if part.size:
                prepared.run_sequence(textures, part, ended, features, done)
                textures, ended = ended, textures
            done += part.shape[1] * c.steps
        self._warn_if_diverged(textures, "in a sequence")
        last = without_member_axis(textures, c)
        features = out if batched else out[0]
        if not return_state:
            return features
        return features, SequenceState(last if batched else last[0], done)

    def _prepared(self, plan: Plan) -> Prepared:
        backend = get_backend(self.backend, self.device, self.config.dtype)
        return backend.prepare(plan, bool(self.exact), self.device)

    def _with_media(self, states, medium) -> tuple[Prepared, np.ndarray]:
        """What evolves textures with media of a call, and the textures that have them."""
        full = checked_states(states, self.config)
        names, media = checked_media(medium, self.config, len(full))
        return self._prepared(compile_states(self.config, names)), with_media(full, media)

    def _evolved(
        self, states, steps: int, medium: Mapping[str, Any] | None = None, first: int = 0
    ) -> np.ndarray:
        prepared, full = self._with_media(states, medium)
        ended = np.empty_like(full)
        prepared.advance(full, ended, first, steps)
        return self._without_media(ended, states)

    def _without_media(self, ended: np.ndarray, states) -> np.ndarray:
        """Textures in the shape of `states`, without the media of the call."""
        return ended[..., : self.config.channels].reshape(np.shape(states))

    def _warn_if_diverged(self, textures: np.ndarray, when: str) -> None:
        """Warn the caller of a public method if some textures are infinite or NaN."""
        if not is_finite(textures):
            said = f"states became infinite or NaN {when} of rule {self.config.rule!r}"
            remedy = "give smaller states, or rule_params for which it is stable"
            warnings.warn(f"{said}: {remedy}", RuntimeWarning, stacklevel=3)
