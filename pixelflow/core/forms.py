"""The forms that an encoder's map can have: each makes every member's latent values, on any device.

Arrays are NumPy's or CuPy's: a form computes where they lie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

BLOCK_BYTES = 2**26  # of the windows that a local map holds at once
LIMITS = {  # of what comes out; "root" then takes the square root, and "sin" is a sine
    "clip": (-1.0, 1.0),
    "none": (-np.inf, np.inf),
    "rectify": (0.0, np.inf),
    "root": (0.0, np.inf),
    "unit": (0.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Form:
    """A map from inputs (n, D_in) to latent values (n, M, L): float64 of float64, else float32.

    Its arrays that differ by member have the members first, and are named in `OF_MEMBERS`.
    """

    OF_MEMBERS = ()

    @property
    def length(self) -> int:
        """L, how many latent values a member has."""
        raise NotImplementedError

    def __call__(self, X: Any) -> Any:
        """The latent values of inputs (n, D_in), or (n, M, D_in) where each member has its own."""
        raise NotImplementedError

    @property
    def arrays(self) -> dict[str, Any]:
        """Its arrays by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if hasattr(value, "nbytes")}

    def moved(self, move: Callable[[Any], Any]) -> Form:
        """A copy with each array replaced, by what another device holds for example."""
        return replace(self, **{name: move(array) for name, array in self.arrays.items()})

    def some(self, members: slice) -> Form:
        """The map of some members."""
        return replace(self, **{name: getattr(self, name)[members] for name in self.OF_MEMBERS})


@dataclass(frozen=True, eq=False)
class Dense(Form):
    """squash(x W + b), in the weight's own precision.

    Attributes
    ----------
    weight, bias : arrays (M, D_in, L) and (M, L)
    squash : str
        "sin" or a name in `LIMITS`.
    """

    weight: np.ndarray
    bias: np.ndarray
    squash: str = "none"

    OF_MEMBERS = ("weight", "bias")

    @property
    def length(self) -> int:
        return self.bias.shape[1]

    def __call__(self, X: Any) -> Any:
        dtype = np.result_type(self.weight.dtype, _dtype(X))
        z = np.empty_like(X, dtype, shape=(len(X), *self.bias.shape))
        for m, weight in enumerate(self.weight):
            np.matmul(X.astype(dtype, copy=False), weight, out=z[:, m])
        z += self.bias
        return _squashed(self.squash, z).astype(_dtype(X), copy=False)


@dataclass(frozen=True, eq=False)
class Gather(Form):
    """x[source] * scale + offset, with sources of each member's own; two roundings, no others.

    Attributes
    ----------
    source : int32 array (M, L)
        Which input value; -1 is 0.
    scale, offset : float32 arrays (M, L)
    """

    source: np.ndarray
    scale: np.ndarray
    offset: np.ndarray

    OF_MEMBERS = ("source", "scale", "offset")

    @property
    def length(self) -> int:
        return self.source.shape[1]

    def __call__(self, X: Any) -> Any:
        z = np.take(_with_zero(X), self.source, axis=1)
        z *= self.scale
        z += self.offset
        return z


@dataclass(frozen=True, eq=False)
class Local(Form):
    """squash(K w / d + b) for the window w of input around each cell.

    With a contrast, d is the window's standard deviation, sqrt(variance + contrast^2), and the
    kernels are centred, so that the window's mean makes no difference; without, d is 1.

    Attributes
    ----------
    window : int32 array (H W, T)
        Which input values each cell sees; -1 is 0.
    kernel, bias : float32 arrays (M, C, T) and (M, C)
    contrast : float
        In units of the input; 0 for none.
    squash : str
        A name in `LIMITS`.

    References
    ----------
    Coates, Lee and Ng, An analysis of single-layer networks in unsupervised feature learning,
    AISTATS (2011).
    """

    window: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    contrast: float = 0.0
    squash: str = "none"

    OF_MEMBERS = ("kernel", "bias")

    @property
    def length(self) -> int:
        return len(self.window) * self.kernel.shape[1]

    def __call__(self, X: Any) -> Any:
        members, channels, taps = self.kernel.shape
        cells = len(self.window)
        out = np.empty_like(X, _dtype(X), shape=(len(X), members, cells, channels))
        block = max(1, BLOCK_BYTES // (4 * cells * (taps + members * channels)))
        for start in range(0, len(X), block):
            seen = self.windows(X[start : start + block])
            z = np.matmul(self.kernel.reshape(members * channels, taps), seen)
            z += self.bias.reshape(-1, 1)
            z = _squashed(self.squash, z).reshape(len(seen), members, channels, cells)
            out[start : start + block] = z.swapaxes(2, 3)
        return out.reshape(len(X), members, cells * channels)

    def windows(self, X: Any) -> Any:
        """What each cell sees of inputs, (n, T, H W), divided by its deviation."""
        seen = np.take(_with_zero(X), self.window.T, axis=1)  # C-contiguous, unlike [:, window]
        if self.contrast:
            seen /= np.sqrt(seen.var(axis=1, keepdims=True) + np.float32(self.contrast**2))
        return seen


def _squashed(squash: str, z: Any) -> Any:
    """Values (...), squashed where they are."""
    if squash == "sin":
        return np.sin(z, out=z)
    if squash != "none":
        np.clip(z, *LIMITS[squash], out=z)
    return np.sqrt(z, out=z) if squash == "root" else z


def _with_zero(X: Any) -> Any:
    """Inputs (n, D_in + 1) whose last column, number -1, is 0."""
    out = np.zeros_like(X, _dtype(X), shape=(len(X), X.shape[-1] + 1))
    out[:, :-1] = X.reshape(len(X), -1)
    return out


def _dtype(X: Any) -> np.dtype:
    """What latent values of these inputs are computed in."""
    return np.dtype(np.float64 if X.dtype == np.float64 else np.float32)
