"""Features without a reservoir, by NumPy or CuPy: random Fourier features and scattering."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.kernel_approximation import RBFSampler

from pixelflow.core.encoders import image_shape

Transform = Callable[[Any], Any]


@dataclass(frozen=True)
class FunctionFeatures:
    """A `FeatureMaker` whose features are a function of the inputs.

    Attributes
    ----------
    transform : callable
        Maps inputs (n, D_in) to features (n, feature_dim), both arrays of `xp`.
    feature_dim : int
    xp : module
        numpy or cupy.
    """

    transform: Transform
    feature_dim: int
    xp: Any = np

    def iter_features(self, X: np.ndarray, batch_size: int) -> Iterator[Any]:
        """Yield the features of one batch of inputs at a time; they stay on the device."""
        for start in range(0, len(X), batch_size):
            yield self.transform(self.xp.asarray(X[start : start + batch_size]))


def fourier(size: int, gamma: float, seed: int, X: np.ndarray, xp: Any = np) -> Transform:
    """Random Fourier features of exp(-gamma |x - x'|^2): Rahimi and Recht, NIPS 20 (2007).

    They are sqrt(2 / size) cos(x W + b), with W and b drawn by scikit-learn's `RBFSampler`.
    """
    sampler = RBFSampler(gamma=gamma, n_components=size, random_state=seed).fit(X[:1])
    weights, offset = xp.asarray(sampler.random_weights_), xp.asarray(sampler.random_offset_)

    def transform(X: Any) -> Any:
        found = X @ weights
        found += offset
        xp.cos(found, out=found)
        found *= (2 / size) ** 0.5
        return found

    return transform


def scattering(J: int, L: int, X: np.ndarray, xp: Any = np) -> Transform:
    """Scattering coefficients of images: Bruna and Mallat, IEEE TPAMI 35, 1872 (2013).

    kymatio (Andreux et al., JMLR 21, 60, 2020) computes them for J octaves and L angles, up to the
    second order. Images are padded with zeros to a power of two; channels are transformed
    separately.

    Raises
    ------
    ImportError
        If kymatio is missing.
    ValueError
        If the images are smaller than 2^J.
    """
    numpy_frontend = kymatio_module("frontend.numpy_frontend")
    height, width, depth = image_shape(X.shape[1:])
    side = 1 << (max(height, width) - 1).bit_length()
    if 2**J > side:
        raise ValueError(
            f"J must be at most {side.bit_length() - 1} for images padded to {side} pixels, got {J}"
        )
    cascade = numpy_frontend.ScatteringNumPy2D(J, (side, side), L, backend=_primitives(xp))
    for filters in (cascade.phi, *cascade.psi):
        filters["levels"] = [xp.asarray(level) for level in filters["levels"]]
    margins = [((side - n) // 2, (side - n + 1) // 2) for n in (height, width)]

    def transform(X: Any) -> Any:
        images = xp.moveaxis(X.reshape(len(X), height, width, depth), 3, 1)
        return cascade.scattering(xp.pad(images, ((0, 0), (0, 0), *margins))).reshape(len(X), -1)

    return transform


def kymatio_module(name: str) -> Any:
    """Import a module of kymatio's two-dimensional scattering.

    `import kymatio.numpy` would also import the 3-D part, which fails with SciPy 1.17.
    """
    try:
        return import_module(f"kymatio.scattering2d.{name}")
    except ImportError as error:
        raise ImportError(
            f"scattering needs kymatio ({error}): pip install 'pixelflow[baselines]'"
        ) from error


def _primitives(xp: Any) -> Any:
    """A kymatio backend of the array functions that its cascade uses, for NumPy or CuPy."""
    numpy_backend = kymatio_module("backend.numpy_backend")

    class Primitives(numpy_backend.NumpyBackend2D):
        _np = xp
        _fft = import_module("scipy.fft" if xp is np else "cupyx.scipy.fft")

        @staticmethod
        def input_checks(x: Any) -> None:
            """Do nothing, because kymatio's check refuses CuPy arrays."""

    return Primitives
