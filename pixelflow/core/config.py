"""What a reservoir is, as one frozen value: checked once here, compared, hashed, kept as JSON."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from pixelflow.checks import brief, choice, integer, mapping, real_array
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.encoder_registry import ENCODERS
from pixelflow.core.frozen import FrozenDict
from pixelflow.core.limits import (
    MOST_CHANNELS,
    MOST_MADE,
    MOST_MEMBERS,
    MOST_SEED,
    MOST_SIZE,
    MOST_STEPS,
    MOST_VALUES,
    check_count,
)
from pixelflow.core.options import checked_options
from pixelflow.core.probes import Probe
from pixelflow.core.rules import Rule, get_rule


@dataclass(frozen=True, eq=False)
class ReservoirConfig:
    """Everything that determines a reservoir: the same config gives the same bytes.

    Parameters
    ----------
    width, height, channels : int
        The texture's shape is (height, width, channels).
    steps : int
        How many times the rule is applied; 0 reads the texture as encoded.
    rule : str
        A registered rule (`list_rules`).
    rule_params : mapping
        Parameter name to a number, a list of `members` numbers, or ``{"uniform": [low, high]}``
        drawn once per member; a size of the rule (`coupled`'s ``k``) is one whole number. What is
        not named keeps the rule's default.
    input_encoding : str
        How an input becomes the initial texture: "tile", "image", "project", "phase", "shifts"
        or "random"; or "whiten" or "patches", which learn from the inputs given to `fit`. Of
        sequences, "inject" adds each input to the texture before its steps (`run_sequence`).
    seed : int
        Member m draws from ``numpy.random.SeedSequence([seed, m])``, whatever `members` is.
    dtype : "float32" or "float64"
        The type of textures, parameters and features; float64 runs on backends "cpu" and "numba".
    boundary : "periodic", "reflect" or "zero"
        What lies beyond the edge: the other side, the edge cells mirrored, zeros.
    members : int
        How many textures see each input, differing in their random draws.
    medium : mapping
        Medium name to an array (H, W) or (members, H, W), or ``{"uniform": [low, high]}``
        drawn per cell and member.
    encoder_params : mapping
        Options of the encoder; what is not named keeps its default.

        shifts: ``reach``, how many cells a copy is moved at most; ``scale``, a (low, high) for
        each channel, and ``offset``, a number for each, the last of which serve all further ones.
        random, whiten, patches: ``k``, the window's side; ``contrast``, what is added to the
        deviation by which each window is divided, or 0 to leave windows as they are; ``scale`` of
        what comes out, the ``threshold`` then taken from it, and ``squash``: "none", "clip" to
        [-1, 1], "rectify" to 0 and above, or the square "root" of that (of values near 0 it
        magnifies what a backend's sums were rounded by: there cells agree to 1e-3 of the largest,
        not 1e-5). random: ``bias``. whiten, patches: ``epsilon``, above 0, what is added to the
        variances; ``samples``, at least 2, how many windows they are estimated from.

        inject: each cell and channel of the rule, with probability ``density``, gets one of the
        input's columns times U(-1, 1) ``scale``; or ``mask``, weights (H, W, C, columns), says what
        each cell and channel gets of each column.
    probe : Probe
        What is read; by default the flattened final state.

    Raises
    ------
    ValueError, TypeError
        If a field is none of these, or asks for more than `pixelflow.core.limits` allows; the
        message says what came and what was expected.

    Examples
    --------
    >>> from pixelflow import ReservoirConfig
    >>> config = ReservoirConfig(width=32, height=32, rule="wave", rule_params={"c": 0.4})
    >>> ReservoirConfig.from_json(config.to_json()) == config
    True
    """

    width: int = 64
    height: int = 64
    channels: int = 4
    steps: int = 8
    rule: str = "diffusion_reaction"
    rule_params: Mapping[str, Any] = field(default_factory=dict)
    input_encoding: str = "tile"
    seed: int = 0
    dtype: str = "float32"
    boundary: str = "periodic"
    members: int = 1
    medium: Mapping[str, Any] = field(default_factory=dict)
    encoder_params: Mapping[str, Any] = field(default_factory=dict)
    probe: Probe = field(default_factory=Probe)
    _key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, limits in RANGES.items():
            self._set(name, integer(name, getattr(self, name), *limits))
        choice("input_encoding", self.input_encoding, sorted(ENCODERS))
        choice("boundary", self.boundary, BOUNDARIES)
        choice("dtype", self.dtype, DTYPES)
        check_count("width x height x channels", self.width, self.height, self.channels)
        rule = get_rule(self.rule)
        self.check_rule(rule)
        self._check_draws(rule)
        known = ENCODERS[self.input_encoding].options
        mapping("encoder_params", self.encoder_params, known, self.input_encoding)
        self._set("encoder_params", FrozenDict(checked_options(known, self.encoder_params)))
        self._check_mask()
        self._check_probe()
        # What equality compares: the fields as JSON, with a digest in place of each array.
        self._set("_key", json.dumps(self._fields(), default=_digest, sort_keys=True))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_draws(self, rule: Rule) -> None:
        """Check parameters and media, and freeze them."""
        cells = (self.height, self.width)
        shapes = {"rule_params": [(), (self.members,)], "medium": [cells, (self.members, *cells)]}
        for name, allowed in shapes.items():
            given = getattr(self, name)
            drawn = {k: _drawn(k, v, allowed) for k, v in given.items() if k not in rule.sizes}
            whole = {k: integer(k, v, 1, MOST_SIZE) for k, v in given.items() if k in rule.sizes}
            self._set(name, FrozenDict({**drawn, **whole}))
        numbers = len(rule.params) + rule.weight_count(self.rule_params)
        check_count("members x rule_params", self.members, numbers, most=MOST_MADE)
        check_count("members x medium", self.members, len(rule.medium), *cells, most=MOST_MADE)
        rule.traced(self.rule_params)  # raises where a size does not suit it

    def _check_mask(self) -> None:
        mask, cells = self.encoder_params.get("mask"), (self.height, self.width, self.channels)
        if mask is not None and mask.shape[:3] != cells:
            raise ValueError(
                f"encoder_params mask must have the shape (H, W, C, K) with (H, W, C) = {cells}, "
                f"got {mask.shape}"
            )

    def _check_probe(self) -> None:
        probe = self.probe
        if not isinstance(probe, Probe):
            raise TypeError(f"probe must be a Probe, got {type(probe).__name__}")
        if max(probe.times(self.steps)) > self.steps:
            got = brief(probe.snapshots)
            raise ValueError(f"probe.snapshots must be between 0 and steps={self.steps}, got {got}")
        if max(probe.channels or (0,)) >= self.channels:
            got = brief(probe.channels)
            raise ValueError(f"probe.channels must be below channels={self.channels}, got {got}")
        shape = probe.shape(self.steps, self.height, self.width, self.channels)
        check_count("members x the probe's features", self.members, *shape)

    def check_rule(self, rule: Rule) -> None:
        """Raise unless the config fits the rule, which may have been defined anew since."""
        if self.channels < len(rule.channels):
            raise ValueError(
                f"rule {self.rule!r} needs {len(rule.channels)} channels {rule.channels}, "
                f"got channels={self.channels}"
            )
        mapping("rule_params", self.rule_params, (*rule.params, *rule.sizes), self.rule)
        mapping("medium", self.medium, rule.medium, self.rule)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReservoirConfig):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def encoder_options(self) -> dict[str, Any]:
        """All options of the encoder."""
        return {**ENCODERS[self.input_encoding].defaults, **self.encoder_params}

    def generator(self, draw: str, member: int) -> np.random.Generator:
        """The random generator of one member for one named draw, independent of every other."""
        key = (zlib.crc32(draw.encode()),)
        return np.random.default_rng(np.random.SeedSequence([self.seed, member], spawn_key=key))

    def values(self, draw: str, given: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
        """A parameter or medium of every member, (members, *shape), drawn if random."""
        out = np.empty((self.members, *shape), self.dtype)
        if isinstance(given, Mapping):
            for m in range(self.members):
                out[m] = self.generator(draw, m).uniform(*given["uniform"], size=shape)
        else:
            out[...] = given
        return out

    def to_dict(self) -> dict[str, Any]:
        """The config as plain dicts, lists, numbers and strings."""
        return json.loads(json.dumps(self._fields(), default=np.ndarray.tolist))

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS} | {"probe": asdict(self.probe)}

    def to_json(self) -> str:
        """The config as JSON with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReservoirConfig:
        """A config from what `to_dict` gave; ValueError for a key that is none of its fields."""
        data = dict(mapping("config", data, FIELDS, "ReservoirConfig"))
        if isinstance(data.get("probe"), Mapping):
            names = tuple(f.name for f in fields(Probe))
            data["probe"] = Probe(**mapping("probe", data["probe"], names, "Probe"))
        return cls(**data)

    @classmethod
    def from_json(cls, text: str) -> ReservoirConfig:
        """A config from what `to_json` gave; ValueError for what is no JSON."""
        if not isinstance(text, str | bytes | bytearray):
            raise TypeError(f"text must be a config as JSON, got {brief(text)}")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:  # RecursionError: nested thousands deep
            raise ValueError(f"text must be a config as JSON: {error}") from error
        return cls.from_dict(data)

    def with_params(self, **params: Any) -> ReservoirConfig:
        """A copy with fields replaced; ``probe__pool`` and the like reach into the probe."""
        names = [f"probe__{f.name}" for f in fields(Probe)]
        mapping("config", params, (*FIELDS, *names), "ReservoirConfig")
        inner = {k.removeprefix("probe__"): v for k, v in params.items() if k in names}
        outer = {k: v for k, v in params.items() if k not in names}
        probe = outer.get("probe", self.probe)
        if isinstance(probe, Probe):  # else the constructor refuses it
            probe = replace(probe, **inner)
        return replace(self, **{**outer, "probe": probe})


DTYPES = ("float32", "float64")
RANGES = {
    "width": (1, MOST_VALUES),
    "height": (1, MOST_VALUES),
    "channels": (1, MOST_CHANNELS),
    "steps": (0, MOST_STEPS),
    "seed": (0, MOST_SEED),
    "members": (1, MOST_MEMBERS),
}
FIELDS = tuple(f.name for f in fields(ReservoirConfig) if f.init)


def _digest(array: np.ndarray) -> list[Any]:
    return [array.shape, hashlib.sha256(array.tobytes()).hexdigest()]


def _drawn(name: str, value: Any, shapes: list[tuple[int, ...]]) -> Any:
    """A parameter or medium, checked: a number, a read-only array or {"uniform": [a, b]}."""
    if isinstance(value, Mapping):
        mapping(name, value, ("uniform",), "a random value")
        ends = real_array(name, value.get("uniform", ()))
        if ends.shape != (2,) or ends[0] > ends[1]:
            raise ValueError(f'{name} must be {{"uniform": [low, high]}}, got {brief(value)}')
        return FrozenDict(uniform=tuple(ends.tolist()))
    array = real_array(name, value)
    if array.shape not in shapes:
        raise ValueError(f"{name} must have a shape of {shapes}, got {array.shape}")
    return float(array) if array.ndim == 0 else array
