"""Figures of arrival times: maps with exact ones, and errors by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pixelflow.plotting.style import MARKS, PAPER_WIDTH

WORST_SHOWN = 0.5  # relative errors from this on are black


def arrival_maps(maps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Plot exact and estimated arrival times, and the relative error of the estimate.

    Parameters
    ----------
    maps : mapping of str to (array (H, W), array (H, W))
        Exact and estimated times by the name of the problem; each problem is a column.

    Returns
    -------
    matplotlib.figure.Figure
        Times are divided by the column's latest exact time; lines are drawn at every eighth.
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
    """Plot mean relative errors against exact times, with a row per case and a mark per method.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the keys "case", "method" and "error_analytic".
    methods : mapping of str to str
        The methods to show, at most six, and their labels.

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
