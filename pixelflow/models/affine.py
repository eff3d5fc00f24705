"""Resampling of stretched, rotated and shifted images, by compiled code on all cores."""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

from pixelflow.backends.jit import kept
from pixelflow.backends.layout import in_blocks, n_threads


def resample(images: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Stretch and rotate each image about its centre, then shift it; interpolation is bilinear.

    Parameters
    ----------
    images : float or uint8 array (n, H, W, C)
        Pixels beyond the edge are 0.
    motions : float32 array (n, 5)
        One row per image, as `pixelflow.models.copies.Copies.motions` returns them.

    Returns
    -------
    array (n, H, W, C)
        Of the type of `images`, computed in float64; uint8 is rounded to the nearest integer.
    """
    out = np.empty(images.shape, images.dtype)
    inverse_maps = _inverse_maps(motions.astype(np.float64), *images.shape[1:3])
    rounding = 0.5 if images.dtype == np.uint8 else 0.0
    work = partial(_resample, np.ascontiguousarray(images), inverse_maps, rounding, out)
    in_blocks(work, out, max(1, -(-len(out) // n_threads())))
    return out


def _inverse_maps(motions: np.ndarray, height: int, width: int) -> np.ndarray:
    """Affine maps (n, 2, 3) from a pixel (y, x, 1) of a copy to its row and column in the image.

    Rows and columns are those of the image inside the border of zeros that `_resample` adds.
    """
    sine, cosine = np.sin(motions[:, 2]), np.cos(motions[:, 2])
    turned = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)
    undone = turned / np.exp(motions[:, 3:])[:, :, None]
    middle = (np.array([height, width]) - 1) / 2
    first = 1 + middle - (undone @ (middle + motions[:, :2])[:, :, None])[:, :, 0]
    return np.concatenate([undone, first[:, :, None]], axis=2)


@kept
@njit(nogil=True, error_model="numpy")
def _resample(images, inverse_maps, rounding, out, start, stop):
    """Fill images start to stop of `out`; `rounding` is added before a value is cut to uint8."""
    _, height, width, depth = images.shape
    framed = np.zeros((height + 3, width + 3, depth))  # a border, so that all neighbours exist
    values, row = framed.ravel(), (width + 3) * depth
    corner, down, right = np.empty(width, np.int64), np.empty(width), np.empty(width)
    for n in range(start, stop):
        framed[1 : height + 1, 1 : width + 1] = images[n]
        (yy, yx, first_y), (xy, xx, first_x) = inverse_maps[n]
        for y in range(height):
            for x in range(width):  # separate from the gather below, so that it vectorises
                from_y = min(max(yy * y + yx * x + first_y, 0.0), height + 1.0)
                from_x = min(max(xy * y + xx * x + first_x, 0.0), width + 1.0)
                top, left = int(from_y), int(from_x)
                corner[x] = top * row + left * depth
                down[x], right[x] = from_y - top, from_x - left
            for x in range(width):
                v, u = down[x], right[x]
                for c in range(depth):
                    i = corner[x] + c
                    upper = (1 - u) * values[i] + u * values[i + depth]
                    lower = (1 - u) * values[i + row] + u * values[i + row + depth]
                    out[n, y, x, c] = (1 - v) * upper + v * lower + rounding
