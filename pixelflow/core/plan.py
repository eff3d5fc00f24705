"""A config and an input's shape, compiled to pure data: what every backend executes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod, sqrt
from typing import Any, TypeVar

import numpy as np

from pixelflow.core import encoder_registry, encoders
from pixelflow.core.config import ReservoirConfig
from pixelflow.core.drives import Drive
from pixelflow.core.graph import Program, media_as_channels, without_ones
from pixelflow.core.probes import Probe
from pixelflow.core.rules import Rule, get_rule
from pixelflow.core.symbols import rounded

Made = TypeVar("Made")


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
    params : float array (M, P)
        Each member's parameters, in the program's order; float32 or float64, as all that is
        computed.
    media : float array (M, Q, H, W)
        Each member's media, in the program's order.
    keys : uint32 array (M,)
        Each member's noise key.
    boundary : str
        "periodic", "reflect" or "zero".
    times : tuple of int
        The steps after which the texture is read, increasing.
    probe : Probe
        How it is read.
    steps : int
        How often the rule is applied: to an input, or of a sequence to each.
    drive : Drive, optional
        Of sequences: what each input adds to the texture before these steps.
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
    steps: int
    drive: Drive | None = None
    _kept: dict[Hashable, Any] = field(init=False, repr=False)
    _making: Any = field(init=False, repr=False)  # a lock

    def __post_init__(self) -> None:
        self.__setstate__({})

    def keep(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What a backend makes of the plan once, kept as long as the plan.

        It must not hold the plan itself, because Python would then free it later than the plan.
        """
        with self._making:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_making")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _kept={}, _making=threading.RLock())

    @property
    def dtype(self) -> np.dtype:
        """The type of all numbers that it computes."""
        return self.params.dtype

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
        drive = (self.drive.columns, self.drive.weights) if self.drive is not None else ()
        arrays = (self.encoder.index, self.params, self.media, *learned, *drive)
        return sum(array.nbytes for array in arrays)

    @property
    def feature_dim(self) -> int:
        """How many features an input has."""
        return self.members * prod(self.probe.shape(self.times[-1], *self.shape))


CACHE_PLANS, CACHE_BYTES = 64, 2**29  # that are kept: a projection's weights can be large
_PLANS: OrderedDict[Hashable, Plan] = OrderedDict()
_LOCK = threading.Lock()


def compile_plan(
    config: ReservoirConfig,
    input_shape: tuple[int, ...],
    threshold: float | None = None,
    encoder: encoders.Encoder | None = None,
) -> Plan:
    """The plan of a config for inputs of one shape: (columns,), (H, W) or (H, W, 3).

    A threshold takes the place of the probe's, an encoder that has learned that of the config's.
    """
    if threshold is not None:
        config = config.with_params(probe__threshold=threshold)

    def compiled() -> Plan:
        return _compile(config, encoder or encoder_registry.made(config, input_shape))

    return _cached((config, input_shape, get_rule(config.rule), encoder), compiled)


def compile_states(config: ReservoirConfig, given: tuple[str, ...] = ()) -> Plan:
    """The plan that evolves textures, whose media of the names given come with each texture.

    Those are channels that the rule never writes, after the texture's own and in the order given,
    so that other numbers need no other plan.
    """

    def compiled() -> Plan:
        height, width, channels = config.height, config.width, config.channels + len(given)
        encoder = encoders.of_textures(height, width, channels)
        return _compile(config.with_params(probe=Probe()), encoder, given)

    return _cached((config, "states", given, get_rule(config.rule)), compiled)


def compile_sequence(config: ReservoirConfig, columns: int) -> Plan:
    """The plan of a config for sequences of inputs of so many columns."""

    def compiled() -> Plan:
        encoder = encoders.of_textures(config.height, config.width, config.channels)
        return replace(_compile(config, encoder), drive=encoder_registry.drive_of(config, columns))

    return _cached((config, "sequence", columns, get_rule(config.rule)), compiled)


def _cached(key: Hashable, make: Callable[[], Plan]) -> Plan:
    with _LOCK:
        if key in _PLANS:
            _PLANS.move_to_end(key)
            return _PLANS[key]
    plan = make()
    with _LOCK:
        plan = _PLANS.setdefault(key, plan)  # another thread's, if it was faster
        while len(_PLANS) > 1 and (len(_PLANS) > CACHE_PLANS or _kept_bytes() > CACHE_BYTES):
            _PLANS.popitem(last=False)
    return plan


def _renew_locks() -> None:
    """In a child made by fork, where nobody will release what another thread has locked."""
    global _LOCK
    _LOCK = threading.Lock()
    for plan in _PLANS.values():
        plan.__dict__["_making"] = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _kept_bytes() -> int:
    return sum(plan.nbytes for plan in _PLANS.values())


def _compile(
    config: ReservoirConfig, encoder: encoders.Encoder, given: tuple[str, ...] = ()
) -> Plan:
    rule = get_rule(config.rule)
    config.check_rule(rule)
    values = {**rule.params, **config.rule_params}
    params = [config.values(f"param:{name}", values[name]) for name in rule.params]
    ones = [i for i, numbers in enumerate(params) if (numbers == 1).all()]
    keys = [config.generator("noise", m).integers(2**32) for m in range(config.members)]
    program = rounded(rule.traced(config.rule_params), np.dtype(config.dtype))
    return Plan(
        shape=encoder.index.shape,
        encoder=encoder,
        program=media_as_channels(without_ones(program, ones), given, config.channels),
        params=np.concatenate([*(p[:, None] for p in params), _weights(config, rule)], axis=1),
        media=_media(config, [name for name in rule.medium if name not in given]),
        keys=np.array(keys, np.uint32),
        boundary=config.boundary,
        times=config.probe.times(config.steps),
        probe=config.probe,
        steps=config.steps,
    )


def _weights(config: ReservoirConfig, rule: Rule) -> np.ndarray:
    """Each member's weights one after the other, (M, W): N(0, 1) / sqrt(fan-in)."""
    shapes = rule.weight_shapes(config.rule_params)
    out = np.empty((config.members, sum(map(prod, shapes.values()))), config.dtype)
    for m in range(config.members):
        first = 0
        for name, shape in shapes.items():
            drawn = config.generator(f"weights:{name}", m).standard_normal(prod(shape))
            out[m, first : first + prod(shape)] = drawn / sqrt(prod(shape[1:]))
            first += prod(shape)
    return out


def _media(config: ReservoirConfig, names: list[str]) -> np.ndarray:
    cells = (config.height, config.width)
    missing = [name for name in names if name not in config.medium]
    if missing:
        said = f"rule {config.rule!r} needs the medium {missing}"
        raise ValueError(f"{said}: set it in config.medium, or give medium= to the call")
    media = [config.values(f"medium:{name}", config.medium[name], cells) for name in names]
    return np.stack(media, 1) if media else np.empty((config.members, 0, *cells), config.dtype)
