"""Figures of the paper and the notebooks; Matplotlib is imported here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pixelflow.core import Probe, Reservoir, ReservoirConfig
from pixelflow.files import written_whole

PAPER_WIDTH = 6.3  # inches: the text width of the paper


def evolution(
    configs: Mapping[str, ReservoirConfig], x: np.ndarray, times: Sequence[int]
) -> Figure:
    """One input evolving: a row for each reservoir, a column for each time.

    Parameters
    ----------
    configs : mapping of str to ReservoirConfig
        The reservoirs by label; `steps` and `probe` are not used.
    x : array (D_in,) or (H, W)
        One input.
    times : sequence of int
        The steps after which to look, increasing; 0 is the texture as encoded.

    Returns
    -------
    matplotlib.figure.Figure
        Channel 0 in a scale of its own per row: dark is high, light is zero, and orange negative.
    """
    size = PAPER_WIDTH / (len(times) + 0.5)
    height = size * len(configs) + 0.25
    figure, axes = plt.subplots(
        len(configs), len(times), figsize=(PAPER_WIDTH, height), squeeze=False, layout="constrained"
    )
    for row, (label, config) in zip(axes, configs.items(), strict=True):
        images = trajectory(config, x, times)[..., 0]
        top = float(np.abs(images).max()) or 1.0
        signed = bool((images < 0).any())
        for axis, image in zip(row, images, strict=True):
            axis.imshow(
                image,
                cmap="PuOr" if signed else "Greys",
                vmin=-top if signed else 0,
                vmax=top,
                interpolation="nearest",
            )
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(label.replace("_", " "), fontsize=8)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t}", fontsize=8)
    return figure


def trajectory(config: ReservoirConfig, x: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """Textures (T, H, W, C) of one input's first member after each of the times."""
    probe = Probe(snapshots=tuple(times))
    whole = Reservoir(replace(config, steps=max(times), members=1, probe=probe))
    shape = (len(times), config.channels, config.height, config.width)
    return np.moveaxis(whole.transform(np.asarray(x)[None])[0].reshape(shape), 1, -1)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all; the same figure gives the same bytes."""
    with written_whole(path) as temporary:
        undated = {"CreationDate": None} if temporary.suffix == ".pdf" else {}
        figure.savefig(temporary, metadata=undated)


OKABE_ITO = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
MARKERS = "osD^vP"


def scaling(
    studies: Mapping[str, Mapping[tuple[str, str], Sequence[tuple[int, float, float, float]]]],
) -> Figure:
    """Time a sample against size, a panel for each study, on logarithmic axes.

    Parameters
    ----------
    studies : mapping
        For each label of a size the curves by system and backend: points of the size, and a
        sample's median, lower and upper quartile of time in ms.

    Returns
    -------
    matplotlib.figure.Figure
        Lines are medians and bands the quartiles; a contender has one colour and marker in all
        panels.
    """
    figure, axes = plt.subplots(
        1,
        len(studies),
        figsize=(PAPER_WIDTH, 2.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    names = list(dict.fromkeys(name for curves in studies.values() for name in curves))
    styles = dict(zip(names, zip(OKABE_ITO, MARKERS, strict=True), strict=False))
    lines = {}
    for axis, (size, curves) in zip(axes[0], studies.items(), strict=True):
        for name, points in curves.items():
            x, median, q25, q75 = np.transpose(points)
            colour, marker = styles[name]
            (lines[name],) = axis.plot(x, median, color=colour, marker=marker, ms=3.5, lw=1)
            axis.fill_between(x, q25, q75, color=colour, alpha=0.2, lw=0)
        axis.set(xscale="log", yscale="log")
        sizes = sorted({point[0] for points in curves.values() for point in points})
        if len(sizes) < 8 and sizes[-1] < 100 * sizes[0]:  # too short for powers of ten
            axis.set_xticks(sizes, map(str, sizes))
            axis.minorticks_off()
        axis.set_xlabel(size, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(lw=0.3, color="0.85")
    axes[0, 0].set_ylabel("ms a sample", fontsize=8)
    labels = [" ".join(name) for name in lines]
    figure.legend(
        lines.values(),
        labels,
        loc="outside upper center",
        ncols=len(lines),
        frameon=False,
        fontsize=8,
    )
    return figure
