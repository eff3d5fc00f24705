"""Every encoder by name: its options and what makes it. A new encoder is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelflow.core import drives, encoders, learned
from pixelflow.core.drives import Drive
from pixelflow.core.encoders import Encoder, Shape
from pixelflow.core.forms import LIMITS
from pixelflow.core.limits import MOST_OFFSET, MOST_SAMPLES, MOST_WINDOW
from pixelflow.core.options import Option, numbers, one_of, pairs, real, weights, whole
from pixelflow.core.settings import Settings


@dataclass(frozen=True)
class EncoderKind:
    """An encoder that a config can name, by one of three functions.

    Attributes
    ----------
    options : dict
        What `encoder_params` may hold.
    make : callable, optional
        ``make(config, shape)`` gives the encoder for inputs of that shape.
    learn : callable, optional
        ``learn(config, shape, X)`` gives an encoder that learns from inputs X (N, D_in). Files of
        models keep the kernel and the bias of a local map, and of no other form.
    drive : callable, optional
        ``drive(config, columns)`` says where the inputs of a sequence, of so many columns, are
        added.
    """

    options: dict[str, Option] = field(default_factory=dict)
    make: Callable[[Settings, Shape], Encoder] | None = None
    learn: Callable[[Settings, Shape, np.ndarray], Encoder] | None = None
    drive: Callable[[Settings, int], Drive] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """Each option's default."""
        return {name: option.default for name, option in self.options.items()}


_CONTRAST = real(most=1e18)  # whose square is finite in float32
_OUTPUT = {
    "scale": Option(1.0, real()),
    "threshold": Option(0.0, real()),
    "squash": Option("none", one_of(set(LIMITS) - {"unit"})),
}
_RANDOM = {
    "k": Option(5, whole(1, MOST_WINDOW)),
    "bias": Option(0.0, real()),
    "contrast": Option(0.0, _CONTRAST),
    **_OUTPUT,
}
_LEARNED = {
    "k": Option(6, whole(1, MOST_WINDOW)),
    "contrast": Option(0.04, _CONTRAST),
    "epsilon": Option(0.1, real(above=0)),  # else what has no variance would be divided by 0
    **_OUTPUT,
    "samples": Option(100_000, whole(2, MOST_SAMPLES)),
}
_SHIFTS = {
    "reach": Option(3, whole(1, MOST_OFFSET)),
    "scale": Option(((1.0, 1.0), (-1.0, 1.0)), pairs),
    "offset": Option((0.0,), numbers),
}
_INJECT = {
    "scale": Option(0.3, real()),
    "density": Option(0.2, real(most=1)),
    "mask": Option(None, weights),
}

ENCODERS = {
    "image": EncoderKind(make=encoders.image),
    "inject": EncoderKind(_INJECT, drive=drives.inject),
    "patches": EncoderKind(_LEARNED, learn=learned.patches),
    "phase": EncoderKind(make=encoders.phase),
    "project": EncoderKind(make=encoders.project),
    "random": EncoderKind(_RANDOM, encoders.random),
    "shifts": EncoderKind(_SHIFTS, encoders.shifts),
    "tile": EncoderKind(make=encoders.tile),
    "whiten": EncoderKind(_LEARNED, learn=learned.whiten),
}


def made(config: Settings, shape: Shape) -> Encoder:
    """The encoder of a config for inputs of that shape, which doesn't learn."""
    make = ENCODERS[config.input_encoding].make
    if make is None:
        raise ValueError(
            f"input_encoding {config.input_encoding!r} adds inputs to a texture step by step: "
            "give sequences to run_sequence, or take another encoding"
        )
    return make(config, shape)


def learns(config: Settings) -> bool:
    """Whether a config's encoder learns from inputs."""
    return ENCODERS[config.input_encoding].learn is not None


def learned_from(config: Settings, shape: Shape, X: np.ndarray) -> Encoder:
    """What the encoder of a config, which learns, learns from inputs X (N, D_in)."""
    learn = ENCODERS[config.input_encoding].learn
    if learn is None:
        raise ValueError(f"input_encoding {config.input_encoding!r} learns nothing")
    return learn(config, shape, X)


def drive_of(config: Settings, columns: int) -> Drive:
    """The drive of a config for inputs of so many columns; ValueError where it has none."""
    drive = ENCODERS[config.input_encoding].drive
    if drive is None:
        raise ValueError(
            "run_sequence needs a config with input_encoding='inject', which says where inputs "
            f"are added; this one has {config.input_encoding!r}"
        )
    return drive(config, columns)
