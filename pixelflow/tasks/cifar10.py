"""CIFAR-10, 60,000 colour photographs of ten classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelflow.checks import boolean
from pixelflow.tasks.fetch import fetch
from pixelflow.tasks.mnist import Split, check_draw, stratified_rows

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
GREY = (0.299, 0.587, 0.114)  # of red, green and blue: the luma of ITU-R BT.601
N_PIXELS = 32 * 32


def load(subset: int | None = None, seed: int = 0, grayscale: bool = False) -> Split:
    """Load CIFAR-10, fetching and verifying it first.

    Parameters
    ----------
    subset : int, optional
        Train on a stratified draw of exactly this many of the 50,000 training images, at least
        one per class, in their original order. The test set stays whole.
    seed : int
        Seed of the draw.
    grayscale : bool
        Return .299 red + .587 green + .114 blue instead of the three colours.

    Returns
    -------
    X_train : float32 array (50000 or subset, 3072), in [0, 1]
        Rows of 32 x 32 pixels of red, green and blue, so that
        ``X.reshape(-1, 32, 32, 3)`` are images. With `grayscale`, (50000 or subset, 1024).
    y_train : int64 array (50000 or subset,), 0 to 9, which `CLASSES` names
    X_test : float32 array (10000, 3072 or 1024), in [0, 1]
    y_test : int64 array (10000,)

    Raises
    ------
    TypeError
        If `subset` or `seed` is not an integer, or `grayscale` is not a boolean.
    ValueError
        If `subset` is below 10 or above 50,000, or `seed` is negative.
    FetchError
        If files are missing and no source has them.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report,
    University of Toronto (2009).

    Examples
    --------
    >>> from pixelflow.tasks import cifar10
    >>> X_train, y_train, X_test, y_test = cifar10.load(subset=1000)
    >>> X_train.shape, cifar10.CLASSES[y_test[0]]
    ((1000, 3072), 'cat')
    """
    check_draw(subset, seed)
    grayscale = boolean("grayscale", grayscale)
    *train, test = [_read_batch(path) for path in fetch("cifar10").values()]
    y_train = np.concatenate([labels for labels, _ in train])
    rows = np.arange(len(y_train)) if subset is None else stratified_rows(y_train, subset, seed)
    return (
        _rows_of_pixels([planes for _, planes in train], rows, grayscale),
        y_train[rows].astype(np.int64),
        _rows_of_pixels([test[1]], np.arange(len(test[0])), grayscale),
        test[0].astype(np.int64),
    )


def _read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return labels (n,) and colour planes (n, 3, 1024) of a file of the binary version.

    A row of the file is a label, then 1024 values of red, 1024 of green and 1024 of blue.
    """
    content = np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * N_PIXELS)
    return content[:, 0], content[:, 1:].reshape(-1, 3, N_PIXELS)


def _rows_of_pixels(
    batches: Sequence[NDArray[np.uint8]], rows: NDArray[np.intp], grayscale: bool
) -> NDArray[np.float32]:
    """Return chosen rows of the concatenated batches, one batch at a time to save memory."""
    starts = np.cumsum([0, *map(len, batches)])
    bounds = np.searchsorted(rows, starts)
    pixels = np.empty((len(rows), N_PIXELS, 1 if grayscale else 3), np.float32)
    for planes, start, first, last in zip(batches, starts, bounds, bounds[1:], strict=False):
        _pixels(planes[rows[first:last] - start], pixels[first:last])
    return pixels.reshape(len(rows), -1)


def _pixels(planes: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Write planes (n, 3, 1024) of bytes as pixels (n, 1024, 3 or 1) in [0, 1]."""
    scale = np.float32(1 / 255)
    if out.shape[2] == 3:
        np.multiply(planes.transpose(0, 2, 1), scale, out=out)
        return
    red, green, blue = (
        np.float32(weight) * (planes[:, channel] * scale) for channel, weight in enumerate(GREY)
    )
    np.add(red + green, blue, out=out[:, :, 0])
