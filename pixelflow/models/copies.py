"""Label-preserving copies of training images: shifted, rotated, stretched or mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pixelflow.checks import boolean, integer, mapping, number
from pixelflow.core.encoders import image_shape
from pixelflow.core.limits import MOST_SEED
from pixelflow.readouts.selection import hashed

INTEGER_LIMITS = {"shifts": 1000, "max_shift": 2**15, "seed": MOST_SEED}  # largest values allowed
UPPER_BOUNDS = {"degrees": 180, "scale": 1}  # which values must stay below
MAX_VIEWS = 10_000  # of an image, when decisions are averaged over them


@dataclass(frozen=True)
class Copies:
    """The copies that are made of each training image.

    Attributes
    ----------
    shifts : int
        Number of shifted copies, each with its own random offset; pixels that enter are 0.
    max_shift : int
        Largest offset in pixels, vertically and horizontally. If it is 0, which needs `degrees`
        or `scale`, copies are not shifted; else no copy has offset zero.
    degrees : float
        Each shifted copy is also rotated about its centre, by an angle uniform in +-`degrees`.
    scale : float
        Each shifted copy is also stretched about its centre, rows and columns independently by
        factors exp(u), u uniform in +-`scale`.
    flip : bool
        Whether the image and each shifted copy also get a copy mirrored left to right.
    seed : int
        Seed of offsets, angles and factors; each also depends on the image's number in the
        training set.
    average : bool
        Whether predictions average the readout's values over the views of an image: the image, its
        mirror image with `flip`, and with `shifts` each of these shifted by every offset up to
        `max_shift`. Views are not rotated or stretched.
    """

    shifts: int = 0
    max_shift: int = 2
    degrees: float = 0.0
    scale: float = 0.0
    flip: bool = False
    seed: int = 0
    average: bool = False

    @classmethod
    def from_augment(cls, augment: Mapping[str, Any] | None) -> Copies:
        """Check and convert a model's parameter `augment`; ValueError or TypeError if invalid."""
        if augment is None:
            return cls()
        known = [f.name for f in fields(cls)]
        given = mapping("augment", augment, known, "it")
        copies = cls(**{name: _check_option(name, value) for name, value in given.items()})
        copies._check_combination()
        return copies

    def _check_combination(self) -> None:
        affine = self.degrees > 0 or self.scale > 0
        if affine and not self.shifts:
            raise ValueError(
                "augment.degrees and augment.scale need augment.shifts of at least 1, because they "
                "change shifted copies: add shifts"
            )
        if self.shifts and not self.max_shift and not affine:
            raise ValueError(
                "augment.max_shift must be at least 1 where shifts is used without degrees and "
                "scale, got 0"
            )
        if self.average and not self.flip and not (self.shifts and self.max_shift):
            raise ValueError(
                "augment.average needs several views of an image: add flip or shifts "
                "(with max_shift of at least 1)"
            )
        if self.average and self._n_views > MAX_VIEWS:
            raise ValueError(
                f"augment.average can be over at most {MAX_VIEWS} views of an image, got "
                f"{self._n_views}: make max_shift smaller"
            )

    @property
    def n_per_image(self) -> int:
        """Number of training images that one image gives, itself included."""
        return (1 + self.shifts) * (1 + bool(self.flip))

    @property
    def _side(self) -> int:
        """Number of offsets of the views along one axis."""
        return 2 * self.max_shift + 1 if self.shifts else 1

    @property
    def _n_views(self) -> int:
        return self._side**2 * (1 + bool(self.flip))

    def motions(self, n: int, first: int) -> np.ndarray:
        """Draw the motions of the copies of n images, float32 (shifts, n, 5).

        They depend on the seed and on the images' numbers only, which are first ... first + n - 1
        in the training set. The five numbers are the pixels that a copy moves down and right, the
        angle in radians by which it is rotated counter-clockwise, and the logarithms of the factors
        by which rows and columns are stretched. A copy is stretched first, then rotated, then
        shifted.
        """
        found = np.empty((self.shifts, n, 5), np.float32)
        numbers = np.arange(first, first + n, dtype=np.uint64)[:, None]
        most = [np.radians(float(self.degrees)), float(self.scale), float(self.scale)]
        for k in range(self.shifts):
            salts = np.random.SeedSequence([int(self.seed), k]).generate_state(4, np.uint64)
            drawn = hashed(numbers ^ salts)
            found[k, :, :2] = _draw_offsets(drawn[:, 0], self.max_shift)
            found[k, :, 2:] = most * _to_signed_unit(drawn[:, 1:])
        return found

    def views(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the inputs and, with `average`, all their other views, each shaped like `X`."""
        yield X
        if not self.average:
            return
        side = self._side
        offsets = np.stack(np.divmod(np.arange(side * side), side), axis=1) - side // 2
        motions = np.pad(offsets[offsets.any(axis=1)], ((0, 0), (0, 3))).astype(np.float32)
        every = np.broadcast_to(motions[:, None], (len(motions), len(X), 5))
        yield from replace(self, shifts=len(motions)).iter_copies(X, every)

    def iter_copies(self, X: np.ndarray, motions: np.ndarray) -> Iterator[np.ndarray]:
        """Yield one copy of all inputs at a time, each of the shape and type of `X`; never `X`."""
        images = X.reshape(len(X), *image_shape(X.shape[1:]))
        for k in range(1 + self.shifts):
            moved = _move(images, motions[k - 1], self.max_shift) if k else images
            if k:
                yield moved.reshape(X.shape)
            if self.flip:
                yield np.ascontiguousarray(moved[:, :, ::-1]).reshape(X.shape)


def _check_option(option: str, value: Any) -> Any:
    """Check one option and return it in its plain Python type."""
    name = f"augment.{option}"
    if option in INTEGER_LIMITS:
        return integer(name, value, 0, INTEGER_LIMITS[option])
    if option in UPPER_BOUNDS:
        return number(name, value, 0, below=UPPER_BOUNDS[option])
    return boolean(name, value)


def _draw_offsets(drawn: np.ndarray, most: int) -> np.ndarray:
    """Convert random uint64 to offsets (n, 2) of at most `most`; (0, 0) only if `most` is 0."""
    if not most:
        return np.zeros((len(drawn), 2), np.int64)
    side = 2 * most + 1
    cells = (drawn % np.uint64(side * side - 1)).astype(np.int64)
    cells += cells >= side * side // 2
    return np.stack(np.divmod(cells, side), axis=1) - most


def _to_signed_unit(drawn: np.ndarray) -> np.ndarray:
    """Convert random uint64 to numbers uniform in [-1, 1)."""
    return (drawn >> np.uint64(11)) * 2.0**-52 - 1


def _move(images: np.ndarray, motions: np.ndarray, most: int) -> np.ndarray:
    """Apply to each image (n, H, W, C) its own motion (n, 5); pixels that enter are 0."""
    if not motions[:, 2:].any():
        return shift(images, motions[:, :2].astype(np.int64), most)
    from pixelflow.models.affine import resample  # imported here, because Numba takes a second

    return resample(images, motions)


def shift(images: np.ndarray, offsets: np.ndarray, most: int) -> np.ndarray:
    """Shift each image (n, H, W, C) down and right by its own offset; pixels that enter are 0."""
    n, height, width, _ = images.shape
    y, x = min(most, height), min(most, width)  # a larger offset leaves only zeros
    padded = np.pad(images, ((0, 0), (y, y), (x, x), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = np.clip(offsets, (-y, -x), (y, x)).T
    shifted = windows[np.arange(n), y - down, x - right]  # (n, C, H, W)
    return np.ascontiguousarray(np.moveaxis(shifted, 1, 3))
