"""Figures of speed: time against size, and the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelflow.plotting.style import PAPER_WIDTH

Contender = tuple[str, str]  # system and backend
# Colours are Okabe and Ito's; markers distinguish the contenders also in grey.
STYLES: dict[Contender, tuple[str, str]] = {
    ("pixelflow", "cpu"): ("#0072B2", "^"),
    ("pixelflow", "numba"): ("#0072B2", "v"),
    ("pixelflow", "moderngl"): ("#009E73", "s"),
    ("pixelflow", "cuda"): ("#000000", "o"),
    ("pixelflow-rc", "cpu"): ("#D55E00", "x"),
    ("pixelflow-rc", "moderngl"): ("#D55E00", "1"),
    ("pixelflow-rc", "cuda"): ("#D55E00", "+"),
    ("jax", "cuda"): ("#CC79A7", "D"),
    ("torch.compile", "cuda"): ("#E69F00", "p"),
    ("cupy", "cuda"): ("#56B4E9", "h"),
    ("cax", "cuda"): ("#CC79A7", "*"),
    ("jax", "cpu"): ("#CC79A7", "<"),
    ("torch.compile", "cpu"): ("#E69F00", ">"),
    ("cax", "cpu"): ("#CC79A7", "2"),
    ("cellpylib", "cpu"): ("#56B4E9", "3"),
}


def scaling(
    studies: Mapping[
        tuple[str, str], Mapping[Contender, Sequence[tuple[int, float, float, float]]]
    ],
) -> Figure:
    """Plot time against size on logarithmic axes, with a panel for each study.

    Parameters
    ----------
    studies : mapping
        Keys are the labels (size, time) of a study. Values are the curves by system and backend,
        with points (size, median, lower quartile, upper quartile).

    Returns
    -------
    matplotlib.figure.Figure
        Lines are medians and bands the quartiles. A contender has the same colour and marker in all
        panels. Without studies the figure is the text "not measured".
    """
    if not studies:
        return _empty_figure()
    figure, axes = plt.subplots(
        1, len(studies), figsize=(PAPER_WIDTH, 3.0), squeeze=False, layout="constrained"
    )
    lines = {}
    for axis, ((size, time), curves) in zip(axes[0], studies.items(), strict=True):
        for name, points in curves.items():
            x, median, q25, q75 = np.transpose(points)
            colour, marker = STYLES[name]
            (lines[name],) = axis.plot(x, median, color=colour, marker=marker, ms=4, lw=0.9)
            axis.fill_between(x, q25, q75, color=colour, alpha=0.2, lw=0)
        axis.set(xscale="log", yscale="log")
        axis.set_xlabel(size, fontsize=8)
        axis.set_ylabel(time, fontsize=8)
        axis.tick_params(which="both", labelsize=7)
        axis.grid(lw=0.3, color="0.85")
    _legend(figure, lines)
    return figure


def roofline(result: Mapping[str, Any] | None) -> Figure:
    """Plot operations per second against operations per byte, with the machine's ceilings.

    Parameters
    ----------
    result : mapping or None
        A result of the experiment `speed`; for None the figure is the text "not measured".

    Returns
    -------
    matplotlib.figure.Figure
        One mark for each named work and contender, at its best time; it is filled if it was timed
        on the device. The solid slope is the copying speed of the device's memory, the dashed one
        that of the host's memory; the horizontal line is the device's peak of operations.
    """
    if result is None:
        return _empty_figure()
    metrics = result["metrics"]
    figure, axis = plt.subplots(figsize=(PAPER_WIDTH, 3.4), layout="constrained")
    marks = {}
    for point in _fastest(metrics["roofline"]):
        name = point["system"], point["backend"]
        colour, marker = STYLES[name]
        filled = colour if point["out"] == "device" else "none"
        x, y = point["operations_per_byte"], point["GFLOPs"]
        style = {"color": colour, "marker": marker, "mfc": filled, "ms": 5, "mew": 0.9, "ls": ""}
        (marks[name],) = axis.plot(x, y, **style)
    axis.set(xscale="log", yscale="log")
    device = metrics["device"]
    _draw_ceiling(axis, device["copy_GBps"], device["GFLOPs"], "-", "device memory")
    _draw_ceiling(axis, metrics["copy_GBps"], None, "--", "host memory")
    axis.set_xlabel("operations a byte that must move", fontsize=8)
    axis.set_ylabel("10$^9$ operations a second", fontsize=8)
    axis.tick_params(which="both", labelsize=7)
    axis.grid(lw=0.3, color="0.85")
    _legend(figure, marks)
    return figure


def _empty_figure() -> Figure:
    figure = plt.figure(figsize=(PAPER_WIDTH, 0.5))
    figure.text(0.5, 0.5, "not measured", ha="center", va="center", fontsize=8)
    return figure


def _fastest(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fastest point of each work and contender."""
    found: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for point in points:
        key = point["work"], point["system"], point["backend"]
        if key not in found or point["GFLOPs"] > found[key]["GFLOPs"]:
            found[key] = point
    return list(found.values())


def _draw_ceiling(axis: Axes, rate: float | None, top: float | None, line: str, label: str) -> None:
    """Draw the ceiling of a memory with `rate` in GB/s, up to the level `top`."""
    if rate is None:
        return
    low, high = axis.get_xlim()
    bottom = axis.get_ylim()
    x = np.geomspace(low, high, 200)
    y = np.minimum(rate * x, np.inf if top is None else top)
    axis.plot(x, y, line, color="0.4", lw=0.9, zorder=0)
    note = f"{label}, {rate:,.0f} GB/s"
    axis.annotate(note, (x[8], y[8]), xytext=(0, 6), textcoords="offset points", fontsize=6)
    if top is not None:
        note = f"arithmetic, {top / 1e3:,.0f} $\\times$ 10$^{{12}}$ a second"
        place = {"xytext": (0, 3), "textcoords": "offset points", "ha": "right"}
        axis.annotate(note, (x[-1], y[-1]), fontsize=6, **place)
    axis.set(xlim=(low, high), ylim=(bottom[0], max(bottom[1], 2 * y.max())))


def _legend(figure: Figure, lines: Mapping[Contender, Any]) -> None:
    figure.legend(
        lines.values(),
        [" ".join(name) for name in lines],
        loc="outside upper center",
        ncols=min(4, max(1, len(lines))),
        frameon=False,
        fontsize=7,
    )
