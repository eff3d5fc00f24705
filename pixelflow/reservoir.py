"""The reservoir as a scikit-learn transformer: inputs in, features out; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from pixelflow.backends.registry import get_backend
from pixelflow.checks import boolean, integer
from pixelflow.core import encoder_registry
from pixelflow.core.config import ReservoirConfig
from pixelflow.core.encoders import Encoder
from pixelflow.core.inputs import check_feature_names, check_out, checked_inputs, flat
from pixelflow.core.learned import restored
from pixelflow.core.plan import Plan, compile_plan
from pixelflow.evolution import Evolution

MOST_QUANTILE_VALUES = 2**24  # that a fitted threshold looks at


class Reservoir(TransformerMixin, Evolution):
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
        tags.transformer_tags.preserves_dtype = [self.config.dtype]
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
