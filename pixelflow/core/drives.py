"""What each input of a sequence adds to the texture: a drive is data, as an encoder is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pixelflow.core.graph import SMALLEST
from pixelflow.core.limits import MOST_MADE, check_count
from pixelflow.core.rules import get_rule
from pixelflow.core.settings import Settings


@dataclass(frozen=True, eq=False)
class Drive:
    """Weighted inputs, added to some channels before the rule's steps.

    Each term j in turn adds ``weights[m, j, i] * u[columns[m, j, i]]`` to channel ``channels[i]``
    of every cell of member m, and what is then nearer to 0 than 1e-30 becomes +0. A cell that has
    fewer terms than another has weights of 0.

    Attributes
    ----------
    inputs : int
        K, how many columns an input has.
    channels : tuple of int
        The channels that inputs are added to.
    columns : int32 array (M, J, len(channels), H, W)
        Which column of the input each term takes.
    weights : float array (M, J, len(channels), H, W)
    """

    inputs: int
    channels: tuple[int, ...]
    columns: np.ndarray
    weights: np.ndarray

    def add(self, states: np.ndarray, u: np.ndarray) -> None:
        """Add inputs u (n, K) to textures (n, M, H, W, C), in place; the specification."""
        with np.errstate(over="ignore", invalid="ignore"):  # users are told of infinities
            for j in range(self.columns.shape[1]):
                for i, channel in enumerate(self.channels):
                    cells = states[..., channel]
                    cells += self.weights[:, j, i] * u[:, self.columns[:, j, i]]
                    cells[np.abs(cells) < SMALLEST] = 0

    def some(self, members: slice) -> Drive:
        """That of some members."""
        return replace(self, columns=self.columns[members], weights=self.weights[members])


def inject(config: Settings, columns: int) -> Drive:
    """Inputs at random cells of the rule's channels, or where a mask says.

    Raises
    ------
    ValueError
        If the mask is of another number of columns, or has weights in other channels.
    """
    mask = config.encoder_options["mask"]
    if mask is None:
        return _drawn(config, columns)
    names = get_rule(config.rule).channels
    if mask[:, :, len(names) :].any():
        raise ValueError(
            f"encoder_params mask must be 0 but in the {len(names)} channels {names} of rule "
            f"{config.rule!r}, because it reads no others"
        )
    if mask.shape[3] != columns:
        raise ValueError(
            f"u must have {mask.shape[3]} columns, as the mask of encoder_params has; got {columns}"
        )
    return _of_mask(config, mask.astype(config.dtype))


def _drawn(config: Settings, columns: int) -> Drive:
    """Cells and channels chosen at random, each with one column, times U(-1, 1) * scale."""
    cells = (config.height, config.width, len(get_rule(config.rule).channels))
    check_count("members x cells of 'inject'", config.members, *cells, most=MOST_MADE)
    options = config.encoder_options
    chosen = np.zeros((config.members, *cells), np.int32)
    weights = np.zeros((config.members, *cells), config.dtype)
    for m in range(config.members):
        rng = config.generator("drive", m)
        is_driven = rng.random(cells) < options["density"]
        chosen[m] = rng.integers(columns, size=cells)
        weights[m] = rng.uniform(-1, 1, cells) * options["scale"] * is_driven
    by_channel = [np.moveaxis(a, 3, 1)[:, None] for a in (chosen, weights)]
    return Drive(columns, tuple(range(cells[2])), *(np.array(a, order="C") for a in by_channel))


def _of_mask(config: Settings, mask: np.ndarray) -> Drive:
    """As many terms as the cell with the most has weights that are not 0, by column."""
    inputs = mask.shape[3]
    channels = tuple(int(c) for c in np.flatnonzero(mask.any(axis=(0, 1, 3))))
    mask = mask[:, :, list(channels)]
    terms = max(1, int((mask != 0).sum(axis=3).max(initial=0)))
    order = np.argsort(mask == 0, axis=3, kind="stable")[..., :terms]  # those that count, first
    check_count("members x weights of the mask", config.members, *order.shape, most=MOST_MADE)
    weights = np.take_along_axis(mask, order, axis=3)
    arrays = (order.astype(np.int32), weights)
    wide = [
        np.broadcast_to(np.moveaxis(a, (3, 2), (0, 1)), (config.members, terms, *_cells(a)))
        for a in arrays
    ]
    return Drive(inputs, channels, *(np.array(a, order="C") for a in wide))


def _cells(array: np.ndarray) -> tuple[int, int, int]:
    height, width, channels, _ = array.shape
    return channels, height, width
