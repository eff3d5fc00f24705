"""Images stretched, turned and moved: resampled by compiled code, on all cores."""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

from pixelflow.backends.jit import kept
from pixelflow.backends.layout import in_blocks, n_threads


def resampled(images: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Images, each stretched and turned about its centre and then moved, by bilinear interpolation.

    Parameters
    ----------
    images : float or uint8 array (n, H, W, C)
        Beyond the edge is 0.
    motions : float32 array (n, 5)
        As `pixelflow.models.copies.Copies.motions` has them.

    Returns
    -------
    array (n, H, W, C)
        Of the images' type, computed in float64; uint8 is rounded to nearest.
    """
    out = np.empty(images.shape, images.dtype)
    sources = _sources(motions.astype(np.float64), *images.shape[1:3])
    rounding = 0.5 if images.dtype == np.uint8 else 0.0
    work = partial(_resample, np.ascontiguousarray(images), sources, rounding, out)
    in_blocks(work, out, max(1, -(-len(out) // n_threads())))
    return out


def _sources(motions: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where pixels come from, the motions undone: rows and columns are these (n, 2, 3) @ (y, x, 1).

    They count from the frame of 0 that `_resample` gives an image.
    """
    sine, cosine = np.sin(motions[:, 2]), np.cos(motions[:, 2])
    turned = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)
    undone = turned / np.exp(motions[:, 3:])[:, :, None]
    middle = (np.array([height, width]) - 1) / 2
    first = 1 + middle - (undone @ (middle + motions[:, :2])[:, :, None])[:, :, 0]
    return np.concatenate([undone, first[:, :, None]], axis=2)


@kept
@njit(nogil=True, error_model="numpy")
def _resample(images, sources, rounding, out, start, stop):
    """Fill images start to stop of `out`; `rounding` is added before uint8 cuts it off."""
    _, height, width, depth = images.shape
    framed = np.zeros((height + 3, width + 3, depth))  # so that all neighbours are there
    values, row = framed.ravel(), (width + 3) * depth
    corner, down, right = np.empty(width, np.int64), np.empty(width), np.empty(width)
    for n in range(start, stop):
        framed[1 : height + 1, 1 : width + 1] = images[n]
        (yy, yx, first_y), (xy, xx, first_x) = sources[n]
        for y in range(height):
            for x in range(width):  # apart from the gather below, so that it vectorises
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
