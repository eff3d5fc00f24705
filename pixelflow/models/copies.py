"""Label-preserving copies of training images: moved, turned, mirrored, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pixelflow.checks import boolean, integer, mapping, number
from pixelflow.core.encoders import image_shape
from pixelflow.core.limits import MOST_SEED
from pixelflow.readouts.selection import hashed

# What is at most possible of options that are whole numbers (1,000 copies of an image; pixels), and
# what other numbers stay below.
WHOLE = {"shifts": 1000, "max_shift": 2**15, "seed": MOST_SEED}
BELOW = {"degrees": 180, "scale": 1}
MOST_VIEWS = 10_000  # that a decision is the mean over


@dataclass(frozen=True)
class Copies:
    """What is added to each image.

    Attributes
    ----------
    shifts : int
        How many copies, each moved by an offset of its own; what enters is 0.
    max_shift : int
        The most pixels by which a copy moves in either direction. Where it is 0, which needs
        `degrees` or `scale`, copies stay where they are; else no offset is zero.
    degrees : float
        Each such copy is turned about its centre, too, by an angle uniform in +-`degrees`.
    scale : float
        And stretched about it, rows and columns each by a factor exp(u) of their own, u uniform
        in +-`scale`.
    flip : bool
        Whether the image and each shifted copy of it are there mirrored left to right too.
    seed : int
        What offsets, angles and factors are drawn from, together with the image's number in the
        training set.
    average : bool
        Whether what is decided of an image is the mean over its views: it and its mirror image,
        and each of them moved by every offset up to `max_shift`, where there are such copies;
        none is turned or stretched.
    """

    shifts: int = 0
    max_shift: int = 2
    degrees: float = 0.0
    scale: float = 0.0
    flip: bool = False
    seed: int = 0
    average: bool = False

    @classmethod
    def checked(cls, augment: Mapping[str, Any] | None) -> Copies:
        """From a model's `augment`; ValueError or TypeError if it is none."""
        if augment is None:
            return cls()
        known = [f.name for f in fields(cls)]
        given = mapping("augment", augment, known, "it")
        copies = cls(**{name: _checked(name, value) for name, value in given.items()})
        copies._check_together()
        return copies

    def _check_together(self) -> None:
        affine = self.degrees > 0 or self.scale > 0
        if affine and not self.shifts:
            raise ValueError("augment's degrees and scale are of shifted copies: add shifts")
        if self.shifts and not self.max_shift and not affine:
            raise ValueError(
                "augment's max_shift must be at least 1 where there are shifts "
                "that neither degrees nor scale changes"
            )
        if self.average and not self.flip and not (self.shifts and self.max_shift):
            raise ValueError(
                "augment's average is over what copies look like: add flip or shifts "
                "(with a max_shift)"
            )
        if self.average and self._n_views > MOST_VIEWS:
            raise ValueError(
                f"augment's average would be over {self._n_views} views of an image, and at most "
                f"{MOST_VIEWS} are possible: make max_shift smaller"
            )

    @property
    def count(self) -> int:
        """How many images one image becomes, itself among them."""
        return (1 + self.shifts) * (1 + bool(self.flip))

    @property
    def _side(self) -> int:
        """Offsets in each direction that views are moved by."""
        return 2 * self.max_shift + 1 if self.shifts else 1

    @property
    def _n_views(self) -> int:
        return self._side**2 * (1 + bool(self.flip))

    def motions(self, n: int, first: int) -> np.ndarray:
        """How copies of n images move: float32 (shifts, n, 5), from these images' numbers alone.

        The images are those from number `first` on of all that are trained on. The five are pixels
        down and to the right; the angle, in radians, by which a copy is turned counter-clockwise;
        and the logarithms of the factors by which it is stretched down and to the right. A copy is
        stretched first, then turned, then moved.
        """
        found = np.empty((self.shifts, n, 5), np.float32)
        numbers = np.arange(first, first + n, dtype=np.uint64)[:, None]
        most = [np.radians(float(self.degrees)), float(self.scale), float(self.scale)]
        for k in range(self.shifts):
            salts = np.random.SeedSequence([int(self.seed), k]).generate_state(4, np.uint64)
            drawn = hashed(numbers ^ salts)
            found[k, :, :2] = _offsets(drawn[:, 0], self.max_shift)
            found[k, :, 2:] = most * _signed(drawn[:, 1:])
        return found

    def views(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """The inputs as they are, and all else of which the mean counts in what is decided."""
        yield X
        if not self.average:
            return
        side = self._side
        offsets = np.stack(np.divmod(np.arange(side * side), side), axis=1) - side // 2
        motions = np.pad(offsets[offsets.any(axis=1)], ((0, 0), (0, 3))).astype(np.float32)
        every = np.broadcast_to(motions[:, None], (len(motions), len(X), 5))
        yield from replace(self, shifts=len(motions)).of(X, every)

    def of(self, X: np.ndarray, motions: np.ndarray) -> Iterator[np.ndarray]:
        """Every copy of inputs in turn, each of the shape and type of `X`; not `X` itself."""
        images = X.reshape(len(X), *image_shape(X.shape[1:]))
        for k in range(1 + self.shifts):
            moved = _moved(images, motions[k - 1], self.max_shift) if k else images
            if k:
                yield moved.reshape(X.shape)
            if self.flip:
                yield np.ascontiguousarray(moved[:, :, ::-1]).reshape(X.shape)


def _checked(option: str, value: Any) -> Any:
    """An option in its plain type."""
    name = f"augment's {option}"
    if option in WHOLE:
        return integer(name, value, 0, WHOLE[option])
    if option in BELOW:
        return number(name, value, 0, below=BELOW[option])
    return boolean(name, value)


def _offsets(drawn: np.ndarray, most: int) -> np.ndarray:
    """Rows and columns (n, 2) to move by, of random uint64; never (0, 0), unless `most` is 0."""
    if not most:
        return np.zeros((len(drawn), 2), np.int64)
    side = 2 * most + 1
    cells = (drawn % np.uint64(side * side - 1)).astype(np.int64)
    cells += cells >= side * side // 2
    return np.stack(np.divmod(cells, side), axis=1) - most


def _signed(drawn: np.ndarray) -> np.ndarray:
    """Numbers uniform from -1 to below 1 of random uint64."""
    return (drawn >> np.uint64(11)) * 2.0**-52 - 1


def _moved(images: np.ndarray, motions: np.ndarray, most: int) -> np.ndarray:
    """Images (n, H, W, C), each by its own of the motions (n, 5); zeros enter."""
    if not motions[:, 2:].any():
        return shifted(images, motions[:, :2].astype(np.int64), most)
    from pixelflow.models.affine import resampled  # which takes a second to import Numba

    return resampled(images, motions)


def shifted(images: np.ndarray, offsets: np.ndarray, most: int) -> np.ndarray:
    """Images (n, H, W, C), each moved down and right by its own offset; zeros enter."""
    n, height, width, _ = images.shape
    y, x = min(most, height), min(most, width)  # beyond that, all is zeros
    padded = np.pad(images, ((0, 0), (y, y), (x, x), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = np.clip(offsets, (-y, -x), (y, x)).T
    seen = windows[np.arange(n), y - down, x - right]  # (n, C, H, W)
    return np.ascontiguousarray(np.moveaxis(seen, 1, 3))
