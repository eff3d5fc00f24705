"""Label-preserving copies of training images: shifted and mirrored, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pixelflow.core.encoders import image_shape
from pixelflow.core.inputs import is_count
from pixelflow.readouts.holdout import hashed


@dataclass(frozen=True)
class Copies:
    """What is added to each image.

    Attributes
    ----------
    shifts : int
        How many copies, each moved by an offset of its own, never zero; what enters is 0.
    max_shift : int
        The most pixels by which a copy moves in either direction.
    flip : bool
        Whether the image and each shifted copy of it are there mirrored left to right too.
    seed : int
        What the offsets are drawn from, together with the image's number in the training set.
    average : bool
        Whether what is decided of an image is the mean over its views: it and its mirror image,
        and each of them moved by every offset up to `max_shift`, where there are such copies.
    """

    shifts: int = 0
    max_shift: int = 2
    flip: bool = False
    seed: int = 0
    average: bool = False

    @classmethod
    def checked(cls, augment: Mapping[str, Any] | None) -> Copies:
        """From a model's `augment`; ValueError or TypeError if it is none."""
        if augment is None:
            return cls()
        if not isinstance(augment, Mapping):
            raise TypeError(f"augment must be a mapping or None, got {type(augment).__name__}")
        known = [f.name for f in fields(cls)]
        unknown = [key for key in augment if key not in known]
        if unknown:
            raise ValueError(f"augment has unknown {unknown}; known are {known}")
        copies = cls(**augment)
        for name in ("shifts", "max_shift", "seed"):
            if not is_count(getattr(copies, name)):
                value = getattr(copies, name)
                raise ValueError(f"augment's {name} must be an integer from 0, got {value!r}")
        if copies.shifts and not copies.max_shift:
            raise ValueError("augment's max_shift must be at least 1 where there are shifts")
        for name in ("flip", "average"):
            if not isinstance(getattr(copies, name), bool | np.bool_):
                value = getattr(copies, name)
                raise TypeError(f"augment's {name} must be True or False, got {value!r}")
        if copies.average and copies.count == 1:
            raise ValueError("augment's average is over what copies look like: add flip or shifts")
        return copies

    @property
    def count(self) -> int:
        """How many images one image becomes, itself among them."""
        return (1 + self.shifts) * (1 + bool(self.flip))

    def offsets(self, n: int, first: int) -> np.ndarray:
        """Rows and columns (shifts, n, 2) by which copies of n images move.

        The images are those from number `first` on of all that are trained on.
        """
        side = 2 * self.max_shift + 1
        centre = side * side // 2
        found = np.empty((self.shifts, n, 2), np.int16)
        numbers = np.arange(first, first + n, dtype=np.uint64)
        for k in range(self.shifts):
            salt = np.random.SeedSequence([int(self.seed), k]).generate_state(1, np.uint64)
            cells = (hashed(numbers ^ salt) % np.uint64(side * side - 1)).astype(np.int64)
            cells += cells >= centre
            found[k] = np.stack(np.divmod(cells, side), axis=1) - self.max_shift
        return found

    def views(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """The inputs as they are, and all else of which the mean counts in what is decided."""
        yield X
        if not self.average:
            return
        side = 2 * self.max_shift + 1 if self.shifts else 1
        offsets = np.stack(np.divmod(np.arange(side * side), side), axis=1) - side // 2
        moves = offsets[offsets.any(axis=1)].astype(np.int16)
        every = np.broadcast_to(moves[:, None], (len(moves), len(X), 2))
        yield from replace(self, shifts=len(moves)).of(X, every)

    def of(self, X: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
        """Every copy of inputs in turn, each of the shape and type of `X`; not `X` itself."""
        images = X.reshape(len(X), *image_shape(X.shape[1:]))
        for k in range(1 + self.shifts):
            moved = shifted(images, offsets[k - 1], self.max_shift) if k else images
            if k:
                yield moved.reshape(X.shape)
            if self.flip:
                yield np.ascontiguousarray(moved[:, :, ::-1]).reshape(X.shape)


def shifted(images: np.ndarray, offsets: np.ndarray, most: int) -> np.ndarray:
    """Images (n, H, W, C), each moved down and right by its own offset; zeros enter."""
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    seen = windows[np.arange(n), most - offsets[:, 0], most - offsets[:, 1]]  # (n, C, H, W)
    return np.ascontiguousarray(np.moveaxis(seen, 1, 3))
