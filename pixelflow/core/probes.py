"""What is read from an evolving texture: which snapshots and channels, rectified, pooled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import prod

import numpy as np

from pixelflow.checks import boolean, brief, choice, float32, integer, mapping, number, sequence
from pixelflow.core.frozen import FrozenDict
from pixelflow.core.limits import MOST_CHANNELS, MOST_POOL, MOST_SNAPSHOTS, MOST_STEPS

POOLS = {"mean": np.mean, "max": np.max}


@dataclass(frozen=True)
class Probe:
    """What a reservoir reads as its features.

    Features are ordered (member, snapshot, channel, sign, y, x); the default probe alone, the
    flattened final state, keeps the texture's own order (y, x, channel).

    Parameters
    ----------
    snapshots : sequence of int, optional
        The steps after which the texture is read, increasing; 0 is the texture as encoded.
        None reads after the last step only.
    channels : sequence of int, optional
        The channels read, in this order; None reads all.
    rectify : bool
        Read ``max(x - threshold, 0)`` and then ``max(-x - threshold, 0)`` in place of x.
    threshold : float or {"quantile": q}
        The threshold of `rectify`; with a quantile, `Reservoir.fit` takes it from the absolute
        values that the probe reads on the training data.
    pool : int, optional
        Pool each image of channel values to a pool x pool grid; cell i covers rows
        floor(i H / pool) to ceil((i + 1) H / pool), and columns alike.
    pool_op : "mean" or "max"
        How a cell is pooled.

    Raises
    ------
    ValueError, TypeError
        If a field is none of these.

    Examples
    --------
    >>> from pixelflow import Probe, Reservoir, ReservoirConfig
    >>> probe = Probe(snapshots=(2, 4), channels=(0,), rectify=True, pool=4)
    >>> Reservoir(ReservoirConfig(steps=4, probe=probe), backend="cpu").feature_dim
    64
    """

    snapshots: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    rectify: bool = False
    threshold: float | Mapping[str, float] = 0.0
    pool: int | None = None
    pool_op: str = "mean"

    def __post_init__(self) -> None:
        for name, most in (("snapshots", MOST_SNAPSHOTS), ("channels", MOST_CHANNELS)):
            object.__setattr__(self, name, _indices(name, getattr(self, name), most))
        if self.snapshots is not None and list(self.snapshots) != sorted(set(self.snapshots)):
            raise ValueError(f"snapshots must increase, got {brief(self.snapshots)}")
        if self.channels is not None and len(set(self.channels)) < len(self.channels):
            raise ValueError(f"channels must be distinct, got {brief(self.channels)}")
        object.__setattr__(self, "rectify", boolean("rectify", self.rectify))
        object.__setattr__(self, "threshold", _threshold(self.threshold))
        if self.threshold != 0 and not self.rectify:
            raise ValueError("threshold applies to rectified values: set rectify=True")
        if self.pool is not None:
            object.__setattr__(self, "pool", integer("pool", self.pool, 1, MOST_POOL))
        choice("pool_op", self.pool_op, sorted(POOLS))

    def __hash__(self) -> int:
        values = (getattr(self, f.name) for f in fields(self))
        return hash(tuple(tuple(v.items()) if isinstance(v, Mapping) else v for v in values))

    @property
    def learns(self) -> bool:
        """Whether the threshold is a quantile that has to be fitted."""
        return isinstance(self.threshold, Mapping)

    @property
    def level(self) -> float:
        """The threshold, a number; a quantile has to be replaced by what was fitted."""
        if isinstance(self.threshold, Mapping):
            raise ValueError("the threshold is a quantile that is not fitted yet")
        return self.threshold

    def times(self, steps: int) -> tuple[int, ...]:
        """The steps after which it reads, of a reservoir of that many steps."""
        return (steps,) if self.snapshots is None else self.snapshots

    def shape(self, steps: int, height: int, width: int, channels: int) -> tuple[int, ...]:
        """The shape (snapshot, channel, sign, y, x) of one member's features."""
        grid = (self.pool, self.pool) if self.pool else (height, width)
        read = channels if self.channels is None else len(self.channels)
        return (len(self.times(steps)), read, 1 + self.rectify, *grid)

    def read(self, textures: np.ndarray) -> np.ndarray:
        """Features (n, D) of snapshots (n, M, S, H, W, C); what has diverged gives no warnings."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._read(textures)

    def _read(self, textures: np.ndarray) -> np.ndarray:
        values = np.moveaxis(textures, -1, 3)  # (n, M, S, C, H, W)
        if self.channels is not None:
            values = values[:, :, :, list(self.channels)]
        if self.rectify:
            level = values.dtype.type(self.level)
            signs = (np.maximum(values - level, 0), np.maximum(-values - level, 0))
            values = np.stack(signs, axis=4)
        if self.pool:
            values = _pooled(values, self.pool, POOLS[self.pool_op])
        return values.reshape(len(textures), prod(values.shape[1:]))


def _indices(name: str, value: Iterable[int] | None, most: int) -> tuple[int, ...] | None:
    """None, or whole numbers from 0."""
    if value is None:
        return None
    items = sequence(name, value, most)
    if not items:
        raise ValueError(f"{name} must have at least one item, got none")
    return tuple(integer(f"{name}[{i}]", item, 0, MOST_STEPS) for i, item in enumerate(items))


def _threshold(value: float | Mapping[str, float]) -> float | FrozenDict:
    if not isinstance(value, Mapping):
        return float32("threshold", value)
    mapping("threshold", value, ("quantile",), "a fitted threshold")
    quantile = number('threshold {"quantile": q}', value.get("quantile"), 0, 1)
    return FrozenDict(quantile=quantile)


def pool_ranges(length: int, grid: int) -> np.ndarray:
    """Where each of `grid` cells along an axis starts and stops: int64 (grid, 2)."""
    cells = np.arange(grid)
    return np.stack([cells * length // grid, -(-(cells + 1) * length // grid)], axis=1)


def _pooled(values: np.ndarray, grid: int, pool) -> np.ndarray:
    """(..., H, W) pooled to (..., grid, grid)."""
    height, width = values.shape[-2:]
    out = np.empty((*values.shape[:-2], grid, grid), values.dtype)
    for i, (top, bottom) in enumerate(pool_ranges(height, grid)):
        for j, (left, right) in enumerate(pool_ranges(width, grid)):
            out[..., i, j] = pool(values[..., top:bottom, left:right], axis=(-2, -1))
    return out
