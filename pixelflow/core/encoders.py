"""From inputs to initial textures: an encoder is data, built once per configuration and input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isqrt, prod

import numpy as np

from pixelflow.core.boundaries import beyond
from pixelflow.core.forms import Dense, Form, Gather, Local
from pixelflow.core.limits import MOST_MADE, check_count
from pixelflow.core.settings import Settings

PIXEL = np.float32(1 / 255)  # what one level of a uint8 image is worth
Shape = tuple[int, ...]  # of one input: (columns,), (H, W) or (H, W, 3)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A map of the input, if any, to latent values, then a gather of these into cells.

    Attributes
    ----------
    index : int32 array (H, W, C)
        Which latent value each cell and channel gets; -1 leaves it 0.
    form : Form, optional
        Makes each member's latent values; without one they are the input itself.
    """

    index: np.ndarray
    form: Form | None = None

    @cached_property
    def identical(self) -> bool:
        """Whether the latent values are the texture itself."""
        return np.array_equal(self.index.ravel(), np.arange(self.index.size, dtype=np.int32))

    @cached_property
    def encoded_channels(self) -> tuple[int, ...]:
        """The channels into which it writes; the others start as 0."""
        return tuple(int(c) for c in np.flatnonzero((self.index >= 0).any(axis=(0, 1))))

    def latents(self, X: np.ndarray) -> np.ndarray:
        """Latent values (n, M, L), or (n, 1, L) where members share them, of inputs (n, D_in).

        Inputs are float32, float64, which latent values then are too, or uint8; (n, M, D_in) are
        each member's own.
        """
        if X.dtype == np.uint8:
            X = X * PIXEL
        if self.form is not None:
            return self.form(X)
        return np.ascontiguousarray(X if X.ndim == 3 else X[:, None])


def of_textures(height: int, width: int, channels: int) -> Encoder:
    """The encoder whose input is the texture itself, flattened."""
    size = height * width * channels
    return Encoder(np.arange(size, dtype=np.int32).reshape(height, width, channels))


def _empty_index(config: Settings) -> np.ndarray:
    return np.full((config.height, config.width, config.channels), -1, np.int32)


def _whole_index(config: Settings) -> np.ndarray:
    """The index of an encoder whose latent values are the texture itself."""
    return of_textures(config.height, config.width, config.channels).index


def _nearest(size: int, length: int) -> np.ndarray:
    """For each of `size` cells the nearest of `length` samples: floor(i length / size)."""
    return np.arange(size) * length // size


def tile(config: Settings, shape: Shape) -> Encoder:
    """The input's columns, laid out in a near-square and resized to nearest, in channel 0."""
    n = prod(shape)
    rows = isqrt(n)
    cols = -(-n // rows)
    source = np.arange(rows * cols).reshape(rows, cols)
    source[source >= n] = -1
    index = _empty_index(config)
    index[..., 0] = source[np.ix_(_nearest(config.height, rows), _nearest(config.width, cols))]
    return Encoder(index)


def phase(config: Settings, shape: Shape) -> Encoder:
    """Everywhere sin(2 pi mean(x)) in channel 0 and cos(2 pi mean(x)) in channel 1."""
    if config.channels < 2:
        raise ValueError(f"encoder 'phase' fills 2 channels, the texture has {config.channels}")
    n = prod(shape)
    index = _empty_index(config)
    index[..., 0], index[..., 1] = 0, 1
    weight = np.full((config.members, n, 2), 2 * np.pi / n)
    bias = np.tile([0, np.pi / 2], (config.members, 1))  # cos z = sin(z + pi/2)
    return Encoder(index, Dense(weight, bias, "sin"))


def project(config: Settings, shape: Shape) -> Encoder:
    """clip(.5 + .25 (x W + b), 0, 1) in every channel: W ~ N(0, 1)/sqrt(D_in), b ~ U(-1, 1)."""
    n = prod(shape)
    index = _whole_index(config)
    lengths = (config.members, n, index.size)
    check_count("members x columns x cells of 'project'", *lengths, most=MOST_MADE)
    weight = np.empty(lengths, np.float32)
    bias = np.empty((config.members, index.size), np.float32)
    for m in range(config.members):
        rng = config.generator("encoder", m)
        rng.standard_normal(dtype=np.float32, out=weight[m])
        bias[m] = rng.uniform(-1, 1, index.size)
    weight *= np.float32(0.25 * n**-0.5)
    bias *= np.float32(0.25)
    bias += np.float32(0.5)
    return Encoder(index, Dense(weight, bias, "unit"))


def image(config: Settings, shape: Shape) -> Encoder:
    """Grey in channel 0, RGB in 0 to 2; smaller is centred, larger resized to nearest."""
    pixels = pixel_grid(config, shape)
    depth = pixels.shape[2]
    if depth > config.channels:
        raise ValueError(
            f"encoder 'image' got RGB images; the texture has {config.channels} channels"
        )
    index = _empty_index(config)
    index[..., :depth] = pixels
    return Encoder(index)


def shifts(config: Settings, shape: Shape) -> Encoder:
    """Moved, scaled copies of the image: channel c is offset[c] + U(scale[c]) * image.

    The first channel, of RGB images the first three, is not moved. Each further channel of each
    member shows one of the colours, moved by up to `reach` cells in each direction, as the
    boundary has it.
    """
    options = config.encoder_options
    pixels = pixel_grid(config, shape)
    height, width, depth = pixels.shape
    channels, members, reach = config.channels, config.members, options["reach"]
    cells = (config.height, config.width, channels)
    check_count("members x cells of 'shifts'", members, *cells, most=MOST_MADE)
    source = np.empty((members, height, width, channels), np.int32)
    scale, offset = np.empty((2, members, 1, 1, channels), np.float32)
    for m in range(members):
        rng = config.generator("encoder", m)
        for c in range(channels):
            dy, dx = rng.integers(-reach, reach, 2, endpoint=True) if c >= depth else (0, 0)
            colour = rng.integers(depth) if c >= depth else c
            source[m, ..., c] = _moved(pixels[..., colour], dy, dx, config.boundary)
            low, high = options["scale"][min(c, len(options["scale"]) - 1)]
            scale[m, ..., c] = rng.uniform(low, high)
            offset[m, ..., c] = options["offset"][min(c, len(options["offset"]) - 1)]
    rows = (members, height * width * channels)
    factors = (np.broadcast_to(a, source.shape).reshape(rows) for a in (scale, offset))
    return Encoder(_whole_index(config), Gather(source.reshape(rows), *factors))


def random(config: Settings, shape: Shape) -> Encoder:
    """scale N(0, 1)/sqrt(T) times the T = k k depth pixels around, + bias N(0, 1) - threshold."""
    options = config.encoder_options
    seen = window(config, shape, options["k"])
    taps, members, channels = seen.shape[1], config.members, config.channels
    check_count("members x channels x pixels of a window", members, channels, taps, most=MOST_MADE)
    kernel = np.empty((members, channels, taps), np.float32)
    bias = np.empty((members, channels), np.float32)
    for m in range(members):
        rng = config.generator("encoder", m)
        kernel[m] = rng.standard_normal((channels, taps)) * options["scale"] / np.sqrt(taps)
        bias[m] = rng.standard_normal(channels) * options["bias"] - options["threshold"]
    if options["contrast"]:
        kernel -= kernel.mean(axis=2, keepdims=True)
    return local(config, seen, kernel, bias)


def local(config: Settings, seen: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> Encoder:
    """The encoder of these kernels (M, C, T) and biases (M, C) on the windows (H W, T)."""
    options = config.encoder_options
    form = Local(seen, kernel, bias, options["contrast"], options["squash"])
    return Encoder(_whole_index(config), form)


def window(config: Settings, shape: Shape, k: int) -> np.ndarray:
    """Which input values lie in the k x k window around each cell: int32 (H W, k k depth)."""
    pixels = pixel_grid(config, shape)
    check_count("cells x encoder_params k x k x depth", pixels.size, k, k)
    first = -((k - 1) // 2)
    reach = range(first, first + k)
    views = [_moved(pixels, -dy, -dx, config.boundary) for dy in reach for dx in reach]
    return np.concatenate(views, axis=2).reshape(config.height * config.width, -1)


def _moved(pixels: np.ndarray, dy: int, dx: int, boundary: str) -> np.ndarray:
    """Cells (H, W, ...) moved down and right, with what the boundary has beyond the edge."""
    height, width = pixels.shape[:2]
    rows = beyond(np.arange(height) - dy, height, boundary)
    columns = beyond(np.arange(width) - dx, width, boundary)
    moved = pixels[np.ix_(rows, columns)]
    moved[rows < 0] = -1
    moved[:, columns < 0] = -1
    return moved


def pixel_grid(config: Settings, shape: Shape) -> np.ndarray:
    """Which input value each cell shows of an image: int32 (H, W, depth), -1 beside it."""
    height, width, depth = image_shape(shape)
    pixels = np.arange(height * width * depth, dtype=np.int32).reshape(height, width, depth)
    if height > config.height:
        pixels = pixels[_nearest(config.height, height)]
    if width > config.width:
        pixels = pixels[:, _nearest(config.width, width)]
    top, left = (config.height - pixels.shape[0]) // 2, (config.width - pixels.shape[1]) // 2
    grid = np.full((config.height, config.width, depth), -1, np.int32)
    grid[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return grid


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
