"""Figures of the paper and the notebooks; Matplotlib is imported here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter

from pixelflow.core import Probe, Reservoir, ReservoirConfig
from pixelflow.files import written_whole

PAPER_WIDTH = 6.3  # inches: the text width of the paper
UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
WORST_SHOWN = 0.5  # the relative error from which on a map is black
# Okabe and Ito's colours, told apart by colour-blind readers, and by their marks in grey.
MARKS = (
    ("#D55E00", "o"),
    ("#E69F00", "s"),
    ("#000000", "x"),
    ("#CC79A7", "+"),
    ("#0072B2", "^"),
    ("#009E73", "v"),
)


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
        look = _look(images)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, **look)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(label.replace("_", " "), fontsize=8)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t}", fontsize=8)
    return figure


def animation(
    configs: Mapping[str, ReservoirConfig], x: np.ndarray, steps: int, channel: int = 0
) -> FuncAnimation:
    """One input evolving under several reservoirs, side by side.

    Parameters
    ----------
    configs : mapping of str to ReservoirConfig
        The reservoirs by label; `steps` and `probe` are not used.
    x : array (D_in,) or (H, W)
        One input.
    steps : int
        The last step; the first picture is the texture as encoded.
    channel : int
        The channel to show, coloured as by `evolution`.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        `to_jshtml` makes a page with buttons of it, which needs no other program.
    """
    figure, axes = plt.subplots(
        1, len(configs), figsize=(2.2 * len(configs), 2.5), squeeze=False, dpi=80
    )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.86, wspace=0.04)
    films = [trajectory(config, x, range(steps + 1))[..., channel] for config in configs.values()]
    images = [
        axis.imshow(film[0], **_look(film)) for axis, film in zip(axes[0], films, strict=True)
    ]
    for axis in axes[0]:
        axis.set(xticks=[], yticks=[])

    def show(t: int) -> list[AxesImage]:
        for axis, image, film, label in zip(axes[0], images, films, configs, strict=True):
            image.set_data(film[t])
            axis.set_title(f"{label.replace('_', ' ')}, t = {t}", fontsize=9)
        return images

    plt.close(figure)  # else a notebook shows its first picture too
    return FuncAnimation(figure, show, frames=steps + 1, interval=100)


def _look(images: np.ndarray) -> dict[str, Any]:
    """How `imshow` is to colour images on one scale: grey, or in two colours about zero."""
    top = float(np.abs(images).max()) or 1.0
    signed = bool((images < 0).any())
    return {
        "cmap": "PuOr" if signed else "Greys",
        "vmin": -top if signed else 0,
        "vmax": top,
        "interpolation": "nearest",
    }


def trajectory(config: ReservoirConfig, x: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """Textures (T, H, W, C) of one input's first member after each of the times."""
    probe = Probe(snapshots=tuple(times))
    whole = Reservoir(replace(config, steps=max(times), members=1, probe=probe))
    shape = (len(times), config.channels, config.height, config.width)
    return np.moveaxis(whole.transform(np.asarray(x)[None])[0].reshape(shape), 1, -1)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all: a PDF for the paper, and beside it the report's SVG.

    The same figure gives the same bytes.
    """
    path = Path(path)
    for target in (path, path.with_suffix(".svg")) if path.suffix == ".pdf" else (path,):
        with written_whole(target) as temporary, plt.rc_context({"svg.hashsalt": "pixelflow"}):
            figure.savefig(temporary, metadata=UNDATED.get(target.suffix))


def arrival_maps(maps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Arrival times of fronts, exact and estimated, and how far the estimate is off.

    Parameters
    ----------
    maps : mapping of str to (array (H, W), array (H, W))
        Exact and estimated times by the name of the problem, a column each.

    Returns
    -------
    matplotlib.figure.Figure
        Times in a column are shares of its latest exact one, with a line at every eighth.
    """
    figure, axes = plt.subplots(
        3, len(maps), figsize=(PAPER_WIDTH, 3.9), squeeze=False, layout="constrained"
    )
    for column, (name, (exact, estimated)) in zip(axes.T, maps.items(), strict=True):
        for axis, times in zip(column[:2], (exact, estimated), strict=True):
            shares = times / exact.max()
            axis.imshow(shares, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
            axis.contour(shares, levels=np.arange(1, 12) / 8, colors="white", linewidths=0.6)
        error = np.abs(estimated - exact) / np.where(exact > 0, exact, np.inf)
        column[2].imshow(error, cmap="Greys", vmin=0, vmax=WORST_SHOWN, interpolation="nearest")
        column[0].set_title(name.replace("_", " "), fontsize=8)
    for axis, label in zip(axes[:, 0], ("exact", "wave", "relative error"), strict=True):
        axis.set_ylabel(label, fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for rows, label in ((axes[:2], "time / latest exact time"), (axes[2:], "relative error")):
        image = rows[0, 0].images[0]
        bar = figure.colorbar(image, ax=rows, extend="max", pad=0.01, aspect=15 * len(rows))
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=8)
    return figure


def errors(rows: Sequence[Mapping[str, Any]], methods: Mapping[str, str]) -> Figure:
    """Mean relative errors against exact times, a line for each case and a mark for each method.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the keys "case", "method" and "error_analytic".
    methods : mapping of str to str
        The methods to show, six at most, and their labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    cases = list(dict.fromkeys(row["case"] for row in rows))
    figure, axis = plt.subplots(
        figsize=(PAPER_WIDTH, 0.9 + 0.32 * len(cases)), layout="constrained"
    )
    for (method, label), (color, marker) in zip(methods.items(), MARKS, strict=False):
        found = [row for row in rows if row["method"] == method]
        x = [row["error_analytic"] for row in found]
        y = [cases.index(row["case"]) for row in found]
        axis.plot(x, y, marker, color=color, label=label, markersize=6, markerfacecolor="none")
    axis.set_yticks(range(len(cases)), [case.replace("_", " ") for case in cases], fontsize=8)
    axis.set(xscale="log", ylim=(len(cases) - 0.5, -0.5))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("mean relative error against exact arrival times", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(True, which="both", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


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
    styles = dict(zip(names, (*MARKS[::2], *MARKS[1::2]), strict=False))
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


def accuracies(summary: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracies of models with their 95% intervals, half the paper's width.

    Parameters
    ----------
    summary : mapping
        As a classification's metrics have it: for each model "mean_accuracy", "low_accuracy",
        "high_accuracy" and "n_seeds".

    Returns
    -------
    matplotlib.figure.Figure
        Reservoirs are filled circles, their ablations open ones, other baselines open squares.
    """
    names = list(summary)
    figure, axis = plt.subplots(
        figsize=(PAPER_WIDTH / 2, 0.6 + 0.17 * len(names)), layout="constrained"
    )
    for y, name in enumerate(names):
        mean, low, high = (summary[name][f"{key}_accuracy"] for key in ("mean", "low", "high"))
        baseline = name.startswith(("raw", "random"))
        color = "#D55E00" if baseline else "#0072B2"
        fill = color if f"{name}_zero_steps" in summary else "white"
        axis.plot([low, high], [y, y], color=color, lw=1)
        axis.plot(mean, y, "s" if baseline else "o", color=color, mfc=fill, ms=4)
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=6)
    axis.set(ylim=(len(names) - 0.4, -0.6))
    axis.set_xlabel("accuracy on the test images", fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", lw=0.3, color="0.85")
    return figure
