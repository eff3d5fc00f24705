"""Figure of classification accuracies with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pixelflow.plotting.style import PAPER_WIDTH


def accuracies(summary: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Plot accuracies of models with their 95% intervals; the figure has half the paper's width.

    Parameters
    ----------
    summary : mapping
        The "summary" of a classification's metrics: for each model "mean_accuracy",
        "low_accuracy", "high_accuracy" and "n_seeds".

    Returns
    -------
    matplotlib.figure.Figure
        Filled circles are reservoirs, open circles their ablations, open squares baselines.
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
