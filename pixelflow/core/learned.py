"""Encoders that learn from unlabelled inputs: local maps of whitened windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pixelflow.core.encoders import PIXEL, Encoder, Shape, image_shape, local, window
from pixelflow.core.limits import MOST_WINDOW_VALUES, check_count
from pixelflow.core.settings import Settings


def whiten(config: Settings, shape: Shape, X: np.ndarray) -> Encoder:
    """Random directions of whitened windows."""
    whitening, mean = _whitening(config, shape, X)
    directions = [
        config.generator("encoder", m).standard_normal((config.channels, len(mean)))
        for m in range(config.members)
    ]
    return _encoder(config, shape, np.array(directions), whitening, mean)


def patches(config: Settings, shape: Shape, X: np.ndarray) -> Encoder:
    """Whitened windows of the training inputs themselves, chosen at random, as directions."""
    whitening, mean = _whitening(config, shape, X)
    directions = [
        _windows(config, shape, X, config.generator("encoder", m), config.channels)
        for m in range(config.members)
    ]
    return _encoder(config, shape, (np.array(directions) - mean) @ whitening, whitening, mean)


def state(encoder: Encoder) -> dict[str, np.ndarray]:
    """What an encoder has learned, as arrays, from which `restored` makes it again."""
    form: Any = encoder.form
    return {"kernel": form.kernel, "bias": form.bias}


def check(config: Settings, shape: Shape, learned: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where what was learned does not fit the config and the inputs' shape."""
    taps = config.encoder_options["k"] ** 2 * image_shape(shape)[2]
    size = (config.members, config.channels, taps)
    for name, expected in (("kernel", size), ("bias", size[:2])):
        array = learned[name]
        if array.shape != expected or array.dtype != np.float32:
            got = f"{array.dtype} {array.shape}"
            raise ValueError(f"its encoder holds {got}, not float32 {expected}")
        if not np.isfinite(array).all():
            raise ValueError(f"its encoder's {name} must be finite")


def restored(config: Settings, shape: Shape, learned: Mapping[str, np.ndarray]) -> Encoder:
    """The encoder that learned this; ValueError where it does not fit the config."""
    check(config, shape, learned)
    seen = window(config, shape, config.encoder_options["k"])
    return local(config, seen, learned["kernel"], learned["bias"])


def _encoder(
    config: Settings,
    shape: Shape,
    directions: np.ndarray,
    whitening: np.ndarray,
    mean: np.ndarray,
) -> Encoder:
    """scale d . W (w - mean) - threshold, for directions d (M, C, T), made unit, and windows w."""
    options = config.encoder_options
    lengths = np.linalg.norm(directions, axis=2, keepdims=True)
    kernel = directions / np.maximum(lengths, np.finfo(np.float64).tiny) @ whitening
    kernel *= options["scale"]
    bias = -(kernel @ mean) - options["threshold"]
    if options["contrast"]:
        kernel -= kernel.mean(axis=2, keepdims=True)  # a window's own mean is taken from it
    learned = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
    return restored(config, shape, learned)


def _whitening(config: Settings, shape: Shape, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ZCA matrix (T, T) of windows of the inputs, and their mean (T,), in float64.

    Bell and Sejnowski, The "independent components" of natural scenes are edge filters, Vision
    Research 37 (1997); epsilon is added to the covariance's eigenvalues.
    """
    options = config.encoder_options
    count = options["samples"]
    taps = options["k"] ** 2 * image_shape(shape)[2]
    check_count("pixels of a learned window", taps, most=MOST_WINDOW_VALUES)
    check_count("encoder_params samples x pixels of a window", count, taps)
    seen = _windows(config, shape, X, config.generator("windows", 0), count)
    mean = seen.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(seen, rowvar=False).reshape(len(mean), len(mean)))
    roots = np.sqrt(np.maximum(values, 0) + options["epsilon"])
    return (vectors / roots) @ vectors.T, mean


def _windows(
    config: Settings, shape: Shape, X: np.ndarray, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Random windows (count, k k depth) that lie inside their images, of unit contrast if asked."""
    options = config.encoder_options
    k, (height, width, depth) = options["k"], image_shape(shape)
    if k > min(height, width):
        raise ValueError(f"encoder windows of {k} x {k} don't fit images {height} x {width}")
    chosen = rng.integers(len(X), size=count)
    top = rng.integers(height - k + 1, size=count)[:, None, None]
    left = rng.integers(width - k + 1, size=count)[:, None, None]
    rows, columns = top + np.arange(k)[:, None], left + np.arange(k)
    images = X.reshape(len(X), height, width, depth)
    seen = images[chosen[:, None, None], rows, columns].reshape(count, -1)
    seen = seen * PIXEL if X.dtype == np.uint8 else seen
    seen = seen.astype(np.float64)
    if options["contrast"]:
        seen -= seen.mean(axis=1, keepdims=True)
        seen /= np.sqrt(seen.var(axis=1, keepdims=True) + options["contrast"] ** 2)
    return seen
