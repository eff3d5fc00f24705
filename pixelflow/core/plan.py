"""A config and an input's shape, compiled to pure data: what every backend executes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt

import numpy as np

from pixelflow.core import encoders
from pixelflow.core.config import ReservoirConfig
from pixelflow.core.graph import Program, without_ones
from pixelflow.core.probes import Probe
from pixelflow.core.rules import Rule, get_rule


@dataclass(frozen=True, eq=False)
class Plan:
    """What to run, with nothing left to decide; picklable.

    Attributes
    ----------
    shape : tuple of int
        The texture's (H, W, C).
    encoder : Encoder
        From inputs to the texture at step 0.
    program : Program
        One step of the rule.
    params : float32 array (M, P)
        Each member's parameters, in the program's order.
    media : float32 array (M, Q, H, W)
        Each member's media, in the program's order.
    keys : uint32 array (M,)
        Each member's noise key.
    boundary : str
        "periodic", "reflect" or "zero".
    times : tuple of int
        The steps after which the texture is read, increasing.
    probe : Probe
        How it is read.
    """

    shape: tuple[int, int, int]
    encoder: encoders.Encoder
    program: Program
    params: np.ndarray
    media: np.ndarray
    keys: np.ndarray
    boundary: str
    times: tuple[int, ...]
    probe: Probe

    @property
    def members(self) -> int:
        return len(self.params)

    @property
    def texture_size(self) -> int:
        """How many values a texture has."""
        height, width, channels = self.shape
        return height * width * channels

    @cached_property
    def nbytes(self) -> int:
        """What it takes of memory, and of that of each device where a backend keeps a copy."""
        form = self.encoder.form
        learned = form.arrays.values() if form is not None else ()
        arrays = (self.encoder.index, self.params, self.media, *learned)
        return sum(array.nbytes for array in arrays)

    @property
    def feature_dim(self) -> int:
        """How many features an input has."""
        return self.members * prod(self.probe.shape(self.times[-1], *self.shape))


CACHE_PLANS, CACHE_BYTES = 64, 2**29  # that are kept: a projection's weights can be large
_Key = tuple[ReservoirConfig, tuple[int, ...] | None, Rule, encoders.Encoder | None]
_PLANS: OrderedDict[_Key, Plan] = OrderedDict()
_LOCK = threading.Lock()


def compile_plan(
    config: ReservoirConfig,
    input_shape: tuple[int, ...] | None,
    threshold: float | None = None,
    encoder: encoders.Encoder | None = None,
) -> Plan:
    """The plan of a config for inputs of one shape: (columns,), (H, W) or (H, W, 3).

    Without a shape the inputs are textures, flattened. A threshold takes the probe's place, an
    encoder, which has learned, that which the config names.
    """
    if threshold is not None:
        config = config.with_params(probe__threshold=threshold)
    key = (config, input_shape, get_rule(config.rule), encoder)
    with _LOCK:
        if key in _PLANS:
            _PLANS.move_to_end(key)
            return _PLANS[key]
    plan = _compile(*key)
    with _LOCK:
        plan = _PLANS.setdefault(key, plan)  # another thread's, if it was faster
        while len(_PLANS) > 1 and (len(_PLANS) > CACHE_PLANS or _kept_bytes() > CACHE_BYTES):
            _PLANS.popitem(last=False)
    return plan


def _kept_bytes() -> int:
    return sum(plan.nbytes for plan in _PLANS.values())


def _compile(
    config: ReservoirConfig,
    input_shape: tuple[int, ...] | None,
    rule: Rule,
    encoder: encoders.Encoder | None,
) -> Plan:
    config.check_rule(rule)
    shape = (config.height, config.width, config.channels)
    if input_shape is None:
        encoder = encoders.of_textures(*shape)
    elif encoder is None:
        encoder = encoders.ENCODERS[config.input_encoding](config, input_shape)
    given = {**rule.params, **config.rule_params}
    params = [config.values(f"param:{name}", given[name]) for name in rule.params]
    ones = [name for name, values in zip(rule.params, params, strict=True) if (values == 1).all()]
    keys = [config.generator("noise", m).integers(2**32) for m in range(config.members)]
    return Plan(
        shape=shape,
        encoder=encoder,
        program=without_ones(rule.traced(config.rule_params), ones),
        params=np.concatenate([*(p[:, None] for p in params), _weights(config, rule)], axis=1),
        media=_media(config, rule),
        keys=np.array(keys, np.uint32),
        boundary=config.boundary,
        times=config.probe.times(config.steps),
        probe=config.probe,
    )


def _weights(config: ReservoirConfig, rule: Rule) -> np.ndarray:
    """Each member's weights one after the other, float32 (M, W): N(0, 1) / sqrt(fan-in)."""
    shapes = rule.weight_shapes(config.rule_params)
    out = np.empty((config.members, sum(map(prod, shapes.values()))), np.float32)
    for m in range(config.members):
        first = 0
        for name, shape in shapes.items():
            drawn = config.generator(f"weights:{name}", m).standard_normal(prod(shape))
            out[m, first : first + prod(shape)] = drawn / sqrt(prod(shape[1:]))
            first += prod(shape)
    return out


def _media(config: ReservoirConfig, rule: Rule) -> np.ndarray:
    cells = (config.height, config.width)
    missing = [name for name in rule.medium if name not in config.medium]
    if missing:
        raise ValueError(f"rule {rule.name!r} needs the medium {missing}: set it in config.medium")
    media = [config.values(f"medium:{name}", config.medium[name], cells) for name in rule.medium]
    return np.stack(media, 1) if media else np.empty((config.members, 0, *cells), np.float32)
