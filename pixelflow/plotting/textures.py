"""Figures and animations of textures: one input as rules evolve it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pixelflow.core import Probe, ReservoirConfig
from pixelflow.plotting.style import PAPER_WIDTH
from pixelflow.reservoir import Reservoir


def evolution(
    configs: Mapping[str, ReservoirConfig], x: np.ndarray, times: Sequence[int]
) -> Figure:
    """Plot the evolution of one input, with a row for each reservoir and a column for each time.

    Parameters
    ----------
    configs : mapping of str to ReservoirConfig
        The reservoirs by label; `steps` and `probe` are not used.
    x : array (D_in,) or (H, W)
        One input.
    times : sequence of int
        Numbers of steps, increasing; 0 is the encoded input.

    Returns
    -------
    matplotlib.figure.Figure
        Channel 0; each row has its own scale: dark is high, light is zero, and orange negative.
    """
    size = PAPER_WIDTH / (len(times) + 0.5)
    height = size * len(configs) + 0.25
    figure, axes = plt.subplots(
        len(configs), len(times), figsize=(PAPER_WIDTH, height), squeeze=False, layout="constrained"
    )
    for row, (label, config) in zip(axes, configs.items(), strict=True):
        images = trajectory(config, x, times)[..., 0]
        style = image_style(images)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, **style)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(label.replace("_", " "), fontsize=8)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t}", fontsize=8)
    return figure


def animation(
    configs: Mapping[str, ReservoirConfig], x: np.ndarray, steps: int, channel: int = 0
) -> FuncAnimation:
    """Animate the evolution of one input under several reservoirs, side by side.

    Parameters
    ----------
    configs : mapping of str to ReservoirConfig
        The reservoirs by label; `steps` and `probe` are not used.
    x : array (D_in,) or (H, W)
        One input.
    steps : int
        Number of steps; the first frame is the encoded input.
    channel : int
        The channel to show, coloured as in `evolution`.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Its method `to_jshtml` makes an HTML page with buttons, without other programs.
    """
    figure, axes = plt.subplots(
        1, len(configs), figsize=(2.2 * len(configs), 2.5), squeeze=False, dpi=80
    )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.86, wspace=0.04)
    films = [trajectory(config, x, range(steps + 1))[..., channel] for config in configs.values()]
    images = [
        axis.imshow(film[0], **image_style(film)) for axis, film in zip(axes[0], films, strict=True)
    ]
    for axis in axes[0]:
        axis.set(xticks=[], yticks=[])

    def show(t: int) -> list[AxesImage]:
        for axis, image, film, label in zip(axes[0], images, films, configs, strict=True):
            image.set_data(film[t])
            axis.set_title(f"{label.replace('_', ' ')}, t = {t}", fontsize=9)
        return images

    plt.close(figure)  # else a notebook also shows the first frame
    return FuncAnimation(figure, show, frames=steps + 1, interval=100)


def image_style(images: np.ndarray) -> dict[str, Any]:
    """Options of `imshow` for images on a common scale; negative values have another colour."""
    top = float(np.abs(images).max()) or 1.0
    signed = bool((images < 0).any())
    return {
        "cmap": "PuOr" if signed else "Greys",
        "vmin": -top if signed else 0,
        "vmax": top,
        "interpolation": "nearest",
    }


def trajectory(config: ReservoirConfig, x: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """Textures (T, H, W, C) of the first member for one input, after each number of steps."""
    return trajectories(replace(config, members=1), x, times)[0]


def trajectories(
    config: ReservoirConfig, x: np.ndarray, times: Sequence[int], fit: np.ndarray | None = None
) -> np.ndarray:
    """Textures (M, T, H, W, C) of all members for one input, after each number of steps.

    An encoder that learns is fitted on the inputs `fit`.
    """
    probe = Probe(snapshots=tuple(times))
    whole = Reservoir(replace(config, steps=max(times), probe=probe))
    if fit is not None:
        whole.fit(fit)
    shape = (config.members, len(times), config.channels, config.height, config.width)
    return np.moveaxis(whole.transform(np.asarray(x)[None])[0].reshape(shape), 2, -1)
