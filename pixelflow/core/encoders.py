"""From inputs to initial textures: an encoder is data, built once per configuration and input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pixelflow.core.config import ReservoirConfig

PIXEL = np.float32(1 / 255)  # what one level of a uint8 image is worth
Shape = tuple[int, ...]  # of one input: (columns,), (H, W) or (H, W, 3)
SQUASHES: dict[str, Callable[..., np.ndarray]] = {
    "unit": lambda z: np.clip(z, 0, 1, out=z),
    "sin": lambda z: np.sin(z, out=z),
}


@dataclass(frozen=True, eq=False)
class Encoder:
    """A dense linear map of the input, if any, then a gather of its values into cells.

    Attributes
    ----------
    index : int32 array (H, W, C)
        Which latent value each cell and channel gets; -1 leaves it 0.
    weight, bias : arrays (M, D_in, L) and (M, L), optional
        Member m's latent values are ``squash(x @ weight[m] + bias[m])``, computed in the
        weight's own precision; without a weight they are the input itself.
    squash : str, optional
        A name in `SQUASHES`.
    """

    index: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    squash: str | None = None

    @cached_property
    def identical(self) -> bool:
        """Whether the latent values are the texture itself."""
        return np.array_equal(self.index.ravel(), np.arange(self.index.size, dtype=np.int32))

    @cached_property
    def driven(self) -> tuple[int, ...]:
        """The channels into which it writes; the others start as 0."""
        return tuple(int(c) for c in np.flatnonzero((self.index >= 0).any(axis=(0, 1))))

    def latents(self, X: np.ndarray) -> np.ndarray:
        """Float32 (n, M, L), or (n, 1, L) where members share it, of inputs (n, D_in).

        Inputs are float32 or uint8; (n, M, D_in) are each member's own.
        """
        if X.dtype == np.uint8:
            X = X * PIXEL
        if self.weight is None or self.bias is None:
            return np.ascontiguousarray(X if X.ndim == 3 else X[:, None])
        z = np.empty_like(X, self.weight.dtype, shape=(len(X), *self.bias.shape))
        for m, weight in enumerate(self.weight):
            np.matmul(X.astype(weight.dtype, copy=False), weight, out=z[:, m])
        z += self.bias
        if self.squash:
            z = SQUASHES[self.squash](z)
        return z.astype(np.float32, copy=False)


def of_textures(height: int, width: int, channels: int) -> Encoder:
    """The encoder whose input is the texture itself, flattened."""
    size = height * width * channels
    return Encoder(np.arange(size, dtype=np.int32).reshape(height, width, channels))


def _empty_index(config: ReservoirConfig) -> np.ndarray:
    return np.full((config.height, config.width, config.channels), -1, np.int32)


def _nearest(size: int, length: int) -> np.ndarray:
    """For each of `size` cells the nearest of `length` samples: floor(i length / size)."""
    return np.arange(size) * length // size


def tile(config: ReservoirConfig, shape: Shape) -> Encoder:
    """The input's columns, laid out in a near-square and resized to nearest, in channel 0."""
    n = int(np.prod(shape))
    rows = isqrt(n)
    cols = -(-n // rows)
    source = np.arange(rows * cols).reshape(rows, cols)
    source[source >= n] = -1
    index = _empty_index(config)
    index[..., 0] = source[np.ix_(_nearest(config.height, rows), _nearest(config.width, cols))]
    return Encoder(index)


def phase(config: ReservoirConfig, shape: Shape) -> Encoder:
    """Everywhere sin(2 pi mean(x)) in channel 0 and cos(2 pi mean(x)) in channel 1."""
    if config.channels < 2:
        raise ValueError(f"encoder 'phase' fills 2 channels, the texture has {config.channels}")
    n = int(np.prod(shape))
    index = _empty_index(config)
    index[..., 0], index[..., 1] = 0, 1
    weight = np.full((config.members, n, 2), 2 * np.pi / n)
    bias = np.tile([0, np.pi / 2], (config.members, 1))  # cos z = sin(z + pi/2)
    return Encoder(index, weight, bias, "sin")


def project(config: ReservoirConfig, shape: Shape) -> Encoder:
    """clip(.5 + .25 (x W + b), 0, 1) in every channel: W ~ N(0, 1)/sqrt(D_in), b ~ U(-1, 1)."""
    n = int(np.prod(shape))
    index = of_textures(config.height, config.width, config.channels).index
    weight = np.empty((config.members, n, index.size), np.float32)
    bias = np.empty((config.members, index.size), np.float32)
    for m in range(config.members):
        rng = config.generator("encoder", m)
        rng.standard_normal(dtype=np.float32, out=weight[m])
        bias[m] = rng.uniform(-1, 1, index.size)
    weight *= np.float32(0.25 * n**-0.5)
    bias *= np.float32(0.25)
    bias += np.float32(0.5)
    return Encoder(index, weight, bias, "unit")


def image(config: ReservoirConfig, shape: Shape) -> Encoder:
    """Grey in channel 0, RGB in 0 to 2; smaller is centred, larger resized to nearest."""
    height, width, depth = image_shape(shape)
    if depth > config.channels:
        raise ValueError(
            f"encoder 'image' got RGB images; the texture has {config.channels} channels"
        )
    index = _empty_index(config)
    pixels = np.arange(height * width * depth).reshape(height, width, depth)
    if height > config.height:
        pixels = pixels[_nearest(config.height, height)]
    if width > config.width:
        pixels = pixels[:, _nearest(config.width, width)]
    top, left = (config.height - pixels.shape[0]) // 2, (config.width - pixels.shape[1]) // 2
    index[top : top + pixels.shape[0], left : left + pixels.shape[1], :depth] = pixels
    return Encoder(index)


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """Height, width and depth (1 grey, 3 RGB) of one input of that shape."""
    if len(shape) == 1:
        for depth in (1, 3):
            side = isqrt(shape[0] // depth)
            if side * side * depth == shape[0]:
                return side, side, depth
        raise ValueError(
            f"an image encoder got {shape[0]} columns, neither s*s (grey) nor 3*s*s (RGB): "
            "pass images (N, H, W) or (N, H, W, 3)"
        )
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
        return shape[0], shape[1], 3 if len(shape) == 3 else 1
    raise ValueError(f"images must be (N, H, W) or (N, H, W, 3), got (N, {str(shape)[1:]}")


ENCODERS: dict[str, Callable[[ReservoirConfig, Shape], Encoder]] = {
    "image": image,
    "phase": phase,
    "project": project,
    "tile": tile,
}
