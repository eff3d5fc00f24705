"""Every encoder by name: its options and what makes it. A new encoder is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelflow.core import encoders, learned
from pixelflow.core.encoders import Encoder, Shape
from pixelflow.core.settings import Settings


@dataclass(frozen=True)
class EncoderKind:
    """An encoder that a config can name.

    Attributes
    ----------
    options : dict
        What `encoder_params` may hold, with the defaults.
    make : callable, optional
        ``make(config, shape)`` gives the encoder for inputs of that shape.
    learn : callable, optional
        ``learn(config, shape, X)`` gives an encoder that learns from inputs X (N, D_in). An
        encoder with neither drives sequences.
    """

    options: dict[str, Any] = field(default_factory=dict)
    make: Callable[[Settings, Shape], Encoder] | None = None
    learn: Callable[[Settings, Shape, np.ndarray], Encoder] | None = None


_OUTPUT = {"scale": 1.0, "threshold": 0.0, "squash": "none"}
_LEARNED = {"k": 6, "contrast": 0.04, "epsilon": 0.1, **_OUTPUT, "samples": 100_000}
_SHIFTS = {"reach": 3, "scale": ((1.0, 1.0), (-1.0, 1.0)), "offset": (0.0,)}

ENCODERS = {
    "image": EncoderKind(make=encoders.image),
    "inject": EncoderKind({"scale": 0.3, "density": 0.2, "mask": None}),
    "patches": EncoderKind(_LEARNED, learn=learned.patches),
    "phase": EncoderKind(make=encoders.phase),
    "project": EncoderKind(make=encoders.project),
    "random": EncoderKind({"k": 5, "bias": 0.0, "contrast": 0.0, **_OUTPUT}, encoders.random),
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
