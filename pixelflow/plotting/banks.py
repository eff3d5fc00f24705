"""Figures of banks: accuracy against features and training time, and a bank evolving."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from pixelflow.core import ReservoirConfig
from pixelflow.plotting.style import MARKS, PAPER_WIDTH
from pixelflow.plotting.textures import look, trajectories

TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985)
TICKS += (0.99, 0.993, 0.995, 0.997, 0.998, 0.999)
BASELINES = {
    ("raw_",): ("0.45", "s", "raw pixels"),
    ("random_features_", "fourier"): ("0.45", "D", "random features"),
    ("scattering",): ("0.45", "X", "scattering"),
}


def bank_accuracies(metrics: Mapping[str, Any], banks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracy of banks against their features and training time, beside the same without steps.

    Parameters
    ----------
    metrics : mapping
        A classification's, with "rows" and "summary".
    banks : mapping
        The banks of its config, by name.

    Returns
    -------
    matplotlib.figure.Figure
        A line joins banks that differ in nothing but their members; evolved ones are drawn
        through and filled, those without steps dashed and open, and baselines grey. Bars are the
        95% intervals. Accuracies are spaced by their log-odds, so that those near 1 lie apart.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAPER_WIDTH, 2.9), sharey=True, layout="constrained")
    handles, drawn = [], set()
    for i, (label, names) in enumerate(families(banks).items()):
        color = MARKS[i % len(MARKS)][0]
        marker = "o^sDv<>pPX*h"[i % 12]
        for end, line, fill in (("", "-", color), ("_zero_steps", "--", "white")):
            found = [f"{name}{end}" for name in names if f"{name}{end}" in metrics["summary"]]
            _curve(axes, metrics, found, line, color=color, marker=marker, mfc=fill)
            drawn.update(found)
        handles.append(Line2D([], [], color=color, marker=marker, ms=4, lw=1, label=label))
    if any(name.endswith("_zero_steps") for name in drawn):
        style = {"color": "0.2", "ls": "--", "marker": "o", "mfc": "white", "ms": 4, "lw": 1}
        handles.append(Line2D([], [], **style, label="the same, zero steps"))
    for kinds, (color, marker, label) in BASELINES.items():
        found = [n for n in metrics["summary"] if n.startswith(kinds) and n not in drawn]
        for name in found:
            _curve(axes, metrics, [name], "", color=color, marker=marker, mfc=color)
        if found:
            handles.append(Line2D([], [], color=color, marker=marker, ls="", ms=4, label=label))
    _labelled(axes)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7, frameon=False)
    return figure


def families(banks: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Names of banks that differ in nothing but members, under what the names have in common."""
    found: dict[str, list[str]] = {}
    for name, bank in banks.items():
        kept = {key: bank[key] for key in ("tier", "augment", "images", "n_train")}
        alike = [{k: v for k, v in one.items() if k != "members"} for one in bank["reservoirs"]]
        found.setdefault(json.dumps([kept, alike], sort_keys=True), []).append(name)
    labelled = {}
    for names in found.values():
        words = zip(*(name.split("_") for name in names), strict=False)
        common = [first for first, *others in words if {*others} <= {first}] or [names[0]]
        label = f"{' '.join(common)} ({banks[names[0]]['tier']})"
        labelled[label if label not in labelled else f"{label}, {names[0]}"] = names
    return labelled


def _curve(
    axes: Sequence[Axes], metrics: Mapping[str, Any], names: Sequence[str], line: str, **style: Any
) -> None:
    """One line in both panels, through models in the order of their features."""
    points = []
    for name in names:
        rows = [row for row in metrics["rows"] if row["model"] == name]
        seconds = np.mean([row["fit_s"] + row.get("transform_s", 0) for row in rows])
        ends = (metrics["summary"][name][f"{key}_accuracy"] for key in ("mean", "low", "high"))
        points.append((rows[0]["D"], seconds, *np.clip(list(ends), 0.005, 0.9995)))
    if not points:
        return
    sizes, seconds, mean, low, high = np.transpose(sorted(points))
    for axis, x in zip(axes, (sizes, np.maximum(seconds, 1e-3)), strict=True):
        axis.vlines(x, low, high, color=style["color"], lw=1)
        axis.plot(x, mean, ls=line, ms=4, lw=1, **style)


def _labelled(axes: Sequence[Axes]) -> None:
    for axis, label in zip(axes, ("features $D$", "training time, seconds"), strict=True):
        axis.set(xscale="log", yscale="logit")
        axis.set_xlabel(label, fontsize=8)
        axis.margins(x=0.12)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(axis) < 2 else (1,)))
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(lw=0.3, color="0.85")
        axis.set_axisbelow(True)
    axes[0].set_ylabel("accuracy on the test images", fontsize=8)
    low, high = axes[0].get_ylim()
    axes[0].yaxis.set_major_locator(FixedLocator(_ticks(low, high)))
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    for axis in axes:
        axis.yaxis.set_minor_locator(NullLocator())
        axis.tick_params(which="both", labelsize=7)


def _ticks(low: float, high: float) -> list[float]:
    """Accuracies to label: those that log-odds space well, or three or more in even steps."""
    inside = [tick for tick in TICKS if low <= tick <= high]
    for step in (0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        if len(inside) < 3:
            inside = [round(step * i, 3) for i in range(round(1 / step)) if low <= step * i <= high]
    return inside


def _decades(axis: Axes) -> float:
    low, high = axis.get_xlim()
    return math.log10(high / low)


def bank_evolution(
    config: ReservoirConfig,
    x: np.ndarray,
    times: Sequence[int],
    members: int = 2,
    fit: np.ndarray | None = None,
) -> Figure:
    """One input in a few members of a bank: a row for each channel, a column for each time.

    Parameters
    ----------
    config : ReservoirConfig
        The bank; `steps` and `probe` are not used.
    x : array (D_in,), (H, W) or (H, W, 3)
        One input.
    times : sequence of int
        The steps after which to look, increasing; 0 is the texture as encoded.
    members : int
        How many members to show, the first ones.
    fit : array (N, D_in), optional
        The training inputs, of which an encoder learns.

    Returns
    -------
    matplotlib.figure.Figure
        Two channels of each member, in a scale of its own per row: dark is high where nothing is
        negative, else purple is positive, orange negative, and white zero.
    """
    textures = trajectories(config, x, times, fit)[:members, ..., : min(2, config.channels)]
    shown = [(m, c) for m in range(textures.shape[0]) for c in range(textures.shape[-1])]
    size = 0.62 * PAPER_WIDTH / (len(times) + 0.5)
    figure, axes = plt.subplots(
        *(len(shown), len(times)),
        figsize=(0.62 * PAPER_WIDTH, size * len(shown) + 0.25),
        squeeze=False,
        layout="constrained",
    )
    for row, (m, c) in zip(axes, shown, strict=True):
        images = textures[m, ..., c]
        style = look(images)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, **style)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{m + 1}, {'RGBA'[c]}", fontsize=7)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t}", fontsize=8)
    return figure
