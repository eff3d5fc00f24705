"""Figures of banks: accuracy against features and training time, and a bank's evolution."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from scipy.special import logit

from pixelflow.core import ReservoirConfig
from pixelflow.plotting.style import PAPER_WIDTH
from pixelflow.plotting.textures import image_style, trajectories

TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985)
TICKS += (0.99, 0.993, 0.995, 0.997, 0.998, 0.999)
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F3C8D")
COLORS += ("#8C564B", "#80A000")  # Okabe and Ito's, and more; markers distinguish the lines, too
MARKERS = "o^sDv<>pPX"
GREY = "0.5"
MAX_LINES = 5  # in a panel; with more, each tier gets its own panels
BASELINES = {"raw_": ("s", "raw pixels"), "random_features_": ("D", "random features")}
NAMES = {"fourier": ("X", "random Fourier features"), "scattering": ("P", "scattering")}


def bank_accuracies(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Figure:
    """Plot accuracy of banks, with and without steps, against their features and training time.

    Parameters
    ----------
    metrics : mapping
        The metrics of a classification, with "rows" and "summary".
    config : mapping
        Its config, with "banks" and optionally "baselines". A bank is drawn if its "shown" has
        "figure".

    Returns
    -------
    matplotlib.figure.Figure
        A line joins banks that differ only in their number of members. Lines of banks with steps
        are solid with filled marks, those without steps dashed with open marks; baselines are grey.
        Points are means over seeds, bars are 95% intervals. The axis of accuracy is logistic, which
        separates values near 1. If there are many lines, each tier has its own panels.
    """
    banks = {name: bank for name, bank in config["banks"].items() if "figure" in bank["shown"]}
    lines = group_by_members(banks)
    tiers = Counter(banks[names[0]]["tier"] for names in lines.values())
    apart = len(lines) > MAX_LINES and len(tiers) > 1
    heights = [6 + n for n in tiers.values()] if apart else [1]  # panels of many lines are taller
    figure, panels = plt.subplots(
        *(len(heights), 2), sharex="col", sharey="row", squeeze=False, height_ratios=heights
    )
    rows = dict(zip(tiers, panels if apart else [panels[0]] * len(tiers), strict=True))
    handles = _draw_banks(rows, metrics, banks, lines)
    handles += [_draw_baselines(axes, metrics, config) for axes in panels][-1]
    _label_axes(panels)
    for tier, axes in rows.items() if apart else ():
        axes[0].set_title(tier, loc="left", fontsize=8)
    figure.set_layout_engine("constrained")
    row_height = 2.3 if len(lines) <= MAX_LINES else 2.15 if apart else 3.2
    legend = 0.14 * math.ceil(len(handles) / 3)
    figure.set_size_inches(PAPER_WIDTH, row_height * len(panels) + legend)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7, frameon=False)
    return figure


def _draw_banks(
    rows: Mapping[str, Sequence[Axes]],
    metrics: Mapping[str, Any],
    banks: Mapping[str, Mapping[str, Any]],
    lines: Mapping[str, Sequence[str]],
) -> list[Line2D]:
    """Draw a line for each group of banks, with and without steps; returns the legend's handles."""
    handles, twins = [], False
    for i, (label, names) in enumerate(lines.items()):
        axes = rows[banks[names[0]]["tier"]]
        marks: dict[str, Any] = {
            "color": COLORS[i % len(COLORS)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        for end, line, fill in (("_zero_steps", "--", "white"), ("", "-", marks["color"])):
            found = [f"{name}{end}" for name in names if f"{name}{end}" in metrics["summary"]]
            _curve(axes, metrics, found, line, mfc=fill, **marks)
            twins |= bool(end and found)
        handles.append(Line2D([], [], ms=4, lw=1, label=label, **marks))
    if twins:
        style: dict[str, Any] = {
            "color": "0.2",
            "ls": "--",
            "marker": "o",
            "mfc": "white",
            "ms": 4,
            "lw": 1,
        }
        handles.append(Line2D([], [], **style, label="the same, zero steps"))
    return handles


def _draw_baselines(
    axes: Sequence[Axes], metrics: Mapping[str, Any], config: Mapping[str, Any]
) -> list[Line2D]:
    """Draw the baselines in grey; a line joins those that differ only in their options and seeds.

    Returns the legend's handles.
    """
    kinds: dict[str, tuple[str, list[list[str]]]] = {}  # by label: marker, and names of each line
    for start, (marker, label) in BASELINES.items():
        kinds[label] = (marker, [[name] for name in metrics["summary"] if name.startswith(start)])
    lines: dict[str, list[str]] = {}
    for name, baseline in config.get("baselines", {}).items():
        alike = {k: v for k, v in baseline.items() if k not in ("options", "seeds", "shown")}
        lines.setdefault(json.dumps(alike, sort_keys=True), []).append(name)
    for alike, names in lines.items():
        features = json.loads(alike)["features"]
        marker, label = NAMES.get(features, ("*", features.replace("_", " ")))
        kinds.setdefault(label, (marker, []))[1].append(names)
    handles = []
    for label, (marker, found) in kinds.items():
        style: dict[str, Any] = {"color": GREY, "marker": marker, "mfc": GREY}
        for names in found:
            _curve(axes, metrics, names, "-", **style)
        if found:
            line = "-" if any(len(names) > 1 for names in found) else ""
            handles.append(Line2D([], [], ls=line, ms=4, lw=1, label=label, **style))
    return handles


def group_by_members(banks: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Group the banks that differ only in `members`; labels are the common words of their names."""
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
    """Draw one line in both panels, through models sorted by their number of features."""
    points = []
    for name in names:
        rows = [row for row in metrics["rows"] if row["model"] == name]
        seconds = np.median([row["fit_s"] + row.get("transform_s", 0) for row in rows])
        ends = (metrics["summary"][name][f"{key}_accuracy"] for key in ("mean", "low", "high"))
        points.append((rows[0]["D"], seconds, *np.clip(list(ends), 0.005, 0.9995)))
    if not points:
        return
    sizes, seconds, mean, low, high = np.transpose(sorted(points))
    for axis, x in zip(axes, (sizes, np.maximum(seconds, 1e-3)), strict=True):
        axis.vlines(x, low, high, color=style["color"], lw=0.8, alpha=0.6)
        axis.plot(x, mean, ls=line, ms=3.5, mew=0.8, lw=0.9, **style)


def _label_axes(panels: np.ndarray) -> None:
    """Set the scales, ticks and labels of all panels, which are in rows of two."""
    for axis, label in zip(panels[-1], ("features $D$", "training time, seconds"), strict=True):
        axis.set_xlabel(label, fontsize=8)
    for axis in panels.ravel():
        axis.set(xscale="log", yscale="logit")
        axis.margins(x=0.12 if len(axis.lines) < MAX_LINES else 0.06)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _n_decades(axis) < 2 else (1,)))
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(lw=0.3, color="0.85")
        axis.set_axisbelow(True)
        axis.yaxis.set_minor_locator(NullLocator())
        axis.tick_params(which="both", labelsize=7)
    for first, _ in panels:
        first.set_ylabel("accuracy on the test images", fontsize=8)
        first.yaxis.set_major_locator(FixedLocator(_ticks(*first.get_ylim())))
        first.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def _ticks(low: float, high: float) -> list[float]:
    """Choose the accuracies to label: ones well separated on the logistic axis, three or more."""
    apart = (logit(high) - logit(low)) / 15  # the distance at which labels don't touch
    inside: list[float] = []
    for tick in sorted(TICKS, key=lambda tick: (tick not in (0.5, 0.9, 0.99), len(f"{tick:g}"))):
        if low <= tick <= high and all(abs(logit(tick) - logit(t)) > apart for t in inside):
            inside.append(tick)
    for step in (0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        if len(inside) < 3:
            inside = [round(step * i, 3) for i in range(round(1 / step)) if low <= step * i <= high]
    return inside


def _n_decades(axis: Axes) -> float:
    low, high = axis.get_xlim()
    return math.log10(high / low)


def bank_evolution(
    config: ReservoirConfig,
    x: np.ndarray,
    times: Sequence[int],
    members: int = 2,
    fit: np.ndarray | None = None,
) -> Figure:
    """Plot one input in members of a bank, with a row for each channel, a column for each time.

    Parameters
    ----------
    config : ReservoirConfig
        The bank; `steps` and `probe` are not used.
    x : array (D_in,), (H, W) or (H, W, 3)
        One input.
    times : sequence of int
        Numbers of steps, increasing; 0 is the encoded input.
    members : int
        Number of members to show.
    fit : array (N, D_in), optional
        Training inputs for an encoder that learns.

    Returns
    -------
    matplotlib.figure.Figure
        Two channels of each member; each row has its own scale. Dark is high if nothing is
        negative; else purple is positive, orange negative, and white zero.
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
        style = image_style(images)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, **style)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{m + 1}, {'RGBA'[c]}", fontsize=7)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t}", fontsize=8)
    return figure
