"""MNIST, 70,000 images of handwritten digits, and a reader for data sets in its idx format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelflow.backends.layout import in_blocks
from pixelflow.checks import brief, integer
from pixelflow.core.limits import MOST_SEED
from pixelflow.tasks.fetch import fetch

BLOCK = 4096  # images that a thread scales at a time
Split = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def load(subset: int | None = None, seed: int = 0) -> Split:
    """Load MNIST, fetching and verifying it first.

    Parameters
    ----------
    subset : int, optional
        Train on a stratified draw of exactly this many of the 60,000 training images, at least
        one per class, in their original order. The test set stays whole.
    seed : int
        Seed of the draw.

    Returns
    -------
    X_train : float32 array (60000 or subset, 784), in [0, 1], rows of 28 x 28 pixels
    y_train : int64 array (60000 or subset,), digits 0 to 9
    X_test : float32 array (10000, 784), in [0, 1]
    y_test : int64 array (10000,)

    Raises
    ------
    TypeError
        If `subset` or `seed` is not an integer.
    ValueError
        If `subset` is below 10 or above 60,000, or `seed` is negative.
    FetchError
        If files are missing and no source has them.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998), 2278-2324.

    Examples
    --------
    >>> from pixelflow.tasks import mnist
    >>> X_train, y_train, X_test, y_test = mnist.load(subset=1000)
    >>> X_train.shape, X_test.shape
    ((1000, 784), (10000, 784))
    """
    return load_idx("mnist", subset, seed)


def load_idx(name: str, subset: int | None, seed: int) -> Split:
    """Load a data set of four idx files with MNIST's names; arguments and results as in `load`."""
    check_draw(subset, seed)
    paths = fetch(name)
    y_train = read_idx(paths["train-labels-idx1-ubyte"])
    y_test = read_idx(paths["t10k-labels-idx1-ubyte"])
    rows = slice(None) if subset is None else stratified_rows(y_train, subset, seed)
    return (
        _rows_of_pixels(read_idx(paths["train-images-idx3-ubyte"])[rows]),
        y_train[rows].astype(np.int64),
        _rows_of_pixels(read_idx(paths["t10k-images-idx3-ubyte"])),
        y_test.astype(np.int64),
    )


def check_draw(subset: int | None, seed: int) -> None:
    """Check the types of `subset` and `seed` before the data set is fetched."""
    integer("seed", seed, 0, MOST_SEED)
    if subset is not None:
        integer("subset", subset)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an array of bytes in the idx format.

    The format is two zero bytes, the type (8: unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit integer, and the values in C order.

    Raises
    ------
    ValueError
        If the file has another format, or is shorter or longer than its header says.
    """
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(
            f"{path} must begin with 00 00 08, as an idx file of bytes, got {content[:3].hex(' ')}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{path} must have a header of {start} bytes, got {len(content)}")
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    values = np.frombuffer(content, dtype=np.uint8, offset=start)
    if values.size != math.prod(shape):
        raise ValueError(
            f"{path} must have as many values as its header says, {shape}, got {values.size}"
        )
    return values.reshape(shape)


def stratified_rows(labels: NDArray[np.integer], size: int, seed: int) -> NDArray[np.intp]:
    """Draw rows so that every class keeps its share, rounded by the largest remainder method.

    Parameters
    ----------
    labels : int array (n,)
    size : int
        Number of rows, from the number of classes to n.
    seed : int

    Returns
    -------
    int array (size,)
        Row numbers in increasing order.

    Raises
    ------
    TypeError
        If `size` or `seed` is not an integer.
    ValueError
        If `size` is out of range, or `seed` negative.
    """
    check_draw(size, seed)
    size = int(size)
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise ValueError(
            f"subset must be from {len(classes)} (one per class) to {len(labels)}, "
            f"got {brief(size)}"
        )
    shares, remainders = np.divmod(size * counts, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: size - shares.sum()]] += 1
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _rows_of_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    pixels = images.reshape(len(images), math.prod(images.shape[1:]))
    out = np.empty(pixels.shape, np.float32)

    def scale(start: int, stop: int) -> None:
        np.multiply(pixels[start:stop], np.float32(1 / 255), out=out[start:stop])

    in_blocks(scale, out, BLOCK)
    return out
