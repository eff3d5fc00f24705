"""The reservoir as a scikit-learn transformer: inputs in, features out; nothing is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from pixelflow.backends.registry import Prepared, get_backend
from pixelflow.checks import as_array, boolean, integer, number
from pixelflow.core import encoder_registry
from pixelflow.core.config import ReservoirConfig
from pixelflow.core.encoders import Encoder
from pixelflow.core.inputs import (
    check_feature_names,
    check_out,
    checked_inputs,
    flat,
    is_finite,
)
from pixelflow.core.learned import restored
from pixelflow.core.limits import MOST_STEPS
from pixelflow.core.params import Configured
from pixelflow.core.plan import Plan, compile_plan, compile_sequence, compile_states
from pixelflow.states import (
    SequenceState,
    as_given,
    checked_media,
    checked_sequence_state,
    checked_sequences,
    checked_states,
    with_media,
)

MOST_QUANTILE_VALUES = 2**24  # that a fitted threshold looks at


class Reservoir(TransformerMixin, Configured):
    """A fixed random dynamical system on a texture, as a scikit-learn transformer.

    Each input is written into a texture by an encoder, evolves under a local rule, and is read by
    a probe. `transform` works before `fit` too, unless the encoder learns or the probe's threshold
    is a quantile.

    Parameters
    ----------
    config : ReservoirConfig
        What the reservoir is. Its fields are nested parameters: ``set_params(config__steps=4)``,
        ``config__probe__pool`` and, in a pipeline, ``reservoir__config__steps``.
    backend : str
        Where it runs: "auto", the fastest here, or a key of `available_backends`.
    exact : bool
        Keep every backend's bits identical; False allows fused multiply-add and fast functions.
    device : int, optional
        Which of several GPUs; None is the first, and the only choice on a processor.

    Attributes
    ----------
    n_features_in_ : int
        Columns of the inputs seen in `fit`, all axes of an image counted.
    input_shape_ : tuple of int
        Shape of one input seen in `fit`; columns alone are then understood to have it.
    threshold_ : float
        The probe's threshold, where it is a quantile.
    encoder_ : Encoder
        What an encoder that learns has learned.

    Raises
    ------
    ValueError, TypeError
        If an argument or an input is not what is described here.
    ImportError, RuntimeError
        If the backend can't run here.

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow import Reservoir, ReservoirConfig
    >>> reservoir = Reservoir(ReservoirConfig(width=8, height=8, rule="wave"), backend="cpu")
    >>> reservoir.transform(np.eye(3, 64, dtype=np.float32)).shape
    (3, 256)
    """

    def __init__(
        self,
        config: ReservoirConfig,
        backend: str = "auto",
        exact: bool = True,
        device: int | None = None,
    ) -> None:
        self.config = config
        self.backend = backend
        self.exact = exact
        self.device = device
        self._check_params()

    def _check_params(self) -> None:
        if not isinstance(self.config, ReservoirConfig):
            raise TypeError(f"config must be a ReservoirConfig, got {type(self.config).__name__}")
        boolean("exact", self.exact)
        get_backend(self.backend, self.device, self.config.dtype)

    # -- scikit-learn's contract ---------------------------------------------------------------

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.config.probe.learns or self._encoder_learns
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(self, X, y=None) -> Reservoir:
        """Learn the inputs' size, and what the encoder and the probe's threshold ask for.

        Parameters
        ----------
        X : array (N, D_in), (N, H, W) or (N, H, W, 3)
            At least one input; `y` is ignored.
        """
        inputs = checked_inputs(X, self, at_least=1, dtype=self.config.dtype)
        encoder = threshold = None
        if self._encoder_learns:
            encoder = encoder_registry.learned_from(self.config, inputs.shape[1:], flat(inputs))
        if self.config.probe.learns:
            threshold = self._quantile(inputs, encoder)
        else:  # raises if the encoder can't take them
            compile_plan(self.config, inputs.shape[1:], encoder=encoder)
        check_feature_names(self, X, inputs, fitting=True)  # the last that may raise
        if encoder is not None:
            self.encoder_ = encoder
        if threshold is not None:
            self.threshold_ = threshold
        self.input_shape_ = inputs.shape[1:]
        return self

    def transform(self, X, out: np.ndarray | None = None) -> np.ndarray:
        """Features of inputs.

        Parameters
        ----------
        X : array (N, D_in), (N, H, W) or (N, H, W, 3)
            Finite numbers, computed in the config's dtype; uint8 is scaled to [0, 1]. N may be 0.
        out : array (N, feature_dim), optional
            Where to put the features; C-contiguous, of the config's dtype.

        Returns
        -------
        array (N, feature_dim) of the config's dtype
            Not searched for infinities and NaN, which a rule that diverges gives and every readout
            refuses.
        """
        plan, inputs = self._ready(X)
        shape = (len(inputs), self.feature_dim)
        if out is None:
            out = np.empty(shape, self.config.dtype)
        check_out(out, shape, self.config.dtype)
        if np.may_share_memory(out, inputs):
            inputs = inputs.copy()  # `out` is written while inputs are still read
        self._prepared(plan).features(flat(inputs), out)
        return out

    def iter_features(self, X, batch_size: int) -> Iterator[Any]:
        """Features of a batch of inputs after the other, left on the device.

        Parameters
        ----------
        X : array (N, D_in), (N, H, W) or (N, H, W, 3)
            As for `transform`; checked before the first batch is asked for.
        batch_size : int
            Inputs in a batch; the last may have fewer, and all have, with a warning, where a
            device's memory doesn't hold so many.

        Yields
        ------
        array (n, feature_dim) of the config's dtype
            CuPy arrays on backend "cuda", else NumPy arrays; each batch is an array of its own.
        """
        batch_size = integer("batch_size", batch_size, 1)
        plan, inputs = self._ready(X)
        return self._prepared(plan).batches(flat(inputs), batch_size)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names "reservoir0", "reservoir1" ... of the features; `input_features` is ignored."""
        return np.array([f"reservoir{i}" for i in range(self.feature_dim)], dtype=object)

    @property
    def feature_dim(self) -> int:
        """How many features an input has."""
        c = self.config
        return c.members * prod(c.probe.shape(c.steps, c.height, c.width, c.channels))

    # -- textures in, textures out -------------------------------------------------------------

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
            Finite textures; not changed. N may be 0.
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
        prepared, full = self._with_media(states, medium)
        out = np.empty_like(full)
        prepared.advance(full, out, first=first, steps=steps)
        return self._told_of_infinities(out, states, f"within {steps} steps")

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
        step. Its bits and its steps don't depend on the other textures of the batch.

        Parameters
        ----------
        states : array (N, H, W, C), with several members (N, M, H, W, C)
            Finite textures; not changed. N may be 0.
        tol : float
            The largest change in one step at which a texture rests, from 0: then no bit changes.
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
            If textures have not come to rest: how many, and by how much they still change.
        RuntimeWarning
            If some became infinite or NaN.
        """
        tol = number("tol", tol, 0)
        every = integer("every", every, 1, MOST_STEPS)
        most = integer("max_steps", max_steps, 1, MOST_STEPS)
        prepared, full = self._with_media(states, medium)
        out = np.empty_like(full)
        counts, changes = prepared.converge(full, out, tol, every, most)
        moving = ~(changes <= tol)
        if moving.any():
            warnings.warn(
                f"{moving.sum()} of {moving.size} textures have not come to rest after {most} "
                f"steps: they change by up to {changes[moving].max():.3g} in a step, above tol="
                f"{tol:.3g}; give more max_steps or a larger tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self._told_of_infinities(
            out, states, f"within {counts.max(initial=0)} steps"
        ), counts

    def step(self, state) -> np.ndarray:
        """One texture (H, W, C) after one step of the rule; with several members (M, H, W, C).

        Each call is a step 0: the same `at.noise()`, and ``at.step()`` is 0. `evolve` counts on.
        """
        state = as_array("state", state)
        c = self.config
        shape = (c.height, c.width, c.channels) if c.members == 1 else None
        if shape is not None and state.shape != shape:
            raise ValueError(f"state must have the shape {shape}, got {state.shape}")
        return self.evolve(state[None], steps=1)[0]

    # -- sequences -----------------------------------------------------------------------------

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
            Of the config's dtype.
        state : SequenceState
            Only with `return_state`.

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
        integer("the steps of all inputs", done + inputs.shape[1] * c.steps, 0, MOST_STEPS)
        prepared = self._prepared(compile_sequence(c, inputs.shape[2]))
        ended = np.empty_like(textures)
        found = []
        for part in (inputs[:, :washout], inputs[:, washout:]):
            out = np.empty((*part.shape[:2], self.feature_dim), c.dtype)
            if out.size:
                part = np.ascontiguousarray(part)
                prepared.advance(textures, ended, first=done, steps=c.steps, inputs=part, out=out)
                textures, ended, done = ended, textures, done + part.shape[1] * c.steps
            found.append(out)
        features = found[1] if batched else found[1][0]
        if not return_state:
            return features
        last = as_given(textures, c)
        return features, SequenceState(last if batched else last[0], done)

    # -- private -------------------------------------------------------------------------------

    def _ready(self, X) -> tuple[Plan, np.ndarray]:
        """The plan of a fitted reservoir, and checked inputs, C-contiguous."""
        check_is_fitted(self)
        inputs = checked_inputs(X, self, at_least=0, dtype=self.config.dtype)
        check_feature_names(self, X, inputs, fitting=False)
        inputs = np.ascontiguousarray(inputs)
        encoder = threshold = None
        if self._encoder_learns:
            check_is_fitted(self, "encoder_")
            encoder = self.encoder_
        if self.config.probe.learns:
            check_is_fitted(self, "threshold_")
            threshold = self.threshold_
        return compile_plan(self.config, self._shape(inputs), threshold, encoder), inputs

    _learned: Mapping[str, np.ndarray]  # what its encoder has, of a loaded model

    @cached_property
    def encoder_(self) -> Encoder:
        # `fit` sets it; of a loaded model it is made when first used, for it can be large.
        return restored(self.config, self.input_shape_, self._learned)

    @property
    def _encoder_learns(self) -> bool:
        return encoder_registry.learns(self.config)

    def _prepared(self, plan: Plan) -> Prepared:
        backend = get_backend(self.backend, self.device, self.config.dtype)
        return backend.prepare(plan, bool(self.exact), self.device)

    def _with_media(self, states, medium) -> tuple[Prepared, np.ndarray]:
        """What evolves textures with media of a call, and the textures that have them."""
        full = checked_states(states, self.config)
        names, media = checked_media(medium, self.config, len(full))
        return self._prepared(compile_states(self.config, names)), with_media(full, media)

    def _told_of_infinities(self, out: np.ndarray, states, when: str) -> np.ndarray:
        """Textures in the shape of `states`, without their media; warns if some diverged."""
        found = out[..., : self.config.channels].reshape(np.shape(states))
        if not is_finite(found):
            said = f"states became infinite or NaN {when} of rule {self.config.rule!r}"
            remedy = "give smaller states, or rule_params for which it is stable"
            warnings.warn(f"{said}: {remedy}", RuntimeWarning, stacklevel=3)
        return found

    def _shape(self, inputs: np.ndarray) -> tuple[int, ...]:
        """The shape of one input, where it is only columns that which `fit` saw."""
        shape, seen = inputs.shape[1:], getattr(self, "input_shape_", None)
        if seen is None or seen == shape or len(seen) == 1:
            return shape
        if len(shape) > 1:
            raise ValueError(f"X holds inputs of shape {shape}, fit saw {seen}")
        return seen

    def _quantile(self, inputs: np.ndarray, encoder: Encoder | None) -> float:
        """The probe's quantile of the absolute values that it reads, before they are pooled."""
        quantile: Any = self.config.probe.threshold
        plain = {"probe__rectify": False, "probe__threshold": 0.0, "probe__pool": None}
        config = self.config.with_params(**plain)
        plan = compile_plan(config, inputs.shape[1:], encoder=encoder)
        samples = max(1, MOST_QUANTILE_VALUES // plan.feature_dim)
        some = flat(inputs)[:: -(-len(inputs) // samples)]
        seen = np.empty((len(some), plan.feature_dim), plan.dtype)
        self._prepared(plan).features(np.ascontiguousarray(some), seen)
        return float(np.quantile(np.abs(seen, out=seen), quantile["quantile"]))
