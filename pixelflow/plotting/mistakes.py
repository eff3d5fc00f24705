"""Figure of a classifier's errors: its confusion matrix, and some misclassified images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pixelflow.core.encoders import image_shape
from pixelflow.plotting.style import PAPER_WIDTH

COLUMNS = 4  # of images


def mistakes(errors: Mapping[str, Any], X_test: np.ndarray, classes: Sequence[str]) -> Figure:
    """Plot a confusion matrix and some misclassified images.

    Parameters
    ----------
    errors : mapping
        "confusion": counts by true and predicted class. "wrong": some misclassified test images, as
        (number, class, prediction).
    X_test : array (N, D_in)
        The test images, grey or RGB.
    classes : sequence of str
        The names of the classes.

    Returns
    -------
    matplotlib.figure.Figure
        Left, rows are true classes and columns predictions; only errors are shaded. Right, the
        first images in the order of the test set; a title is the class above the prediction, or
        "class as prediction" if names are short.
    """
    figure = plt.figure(figsize=(PAPER_WIDTH, 3.3), layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    left, right = parts
    _draw_confusion(left, np.array(errors["confusion"]), classes)
    wrong = errors["wrong"][: 4 * COLUMNS]
    if not wrong:
        right.text(0.5, 0.5, "none wrong", ha="center", va="center", fontsize=8)
        return figure
    axes = right.subplots(4, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    between = "\n" if max(map(len, classes)) > 2 else " as "
    for axis, (number, label, predicted) in zip(axes.flat, wrong, strict=False):
        x = X_test[number]
        image = x.reshape(image_shape(x.shape))
        style = {} if image.shape[-1] == 3 else {"cmap": "Greys", "vmin": 0, "vmax": 1}
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], **style)
        axis.set_title(f"{classes[label]}{between}{classes[predicted]}", fontsize=6, pad=2)
    return figure


def _draw_confusion(figure: Any, counts: np.ndarray, classes: Sequence[str]) -> None:
    axis = figure.subplots()
    off = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    top = max(1, int(off.max()))
    axis.imshow(off, cmap="Blues", vmin=0, vmax=top)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            dark = i != j and off[i, j] > 0.6 * top
            style = {"color": "white" if dark else "black", "weight": "bold" if i == j else None}
            axis.text(j, i, f"{count}", ha="center", va="center", fontsize=5.5, **style)
    turned = 90 if max(map(len, classes)) > 2 else 0
    axis.set_xticks(range(len(classes)), classes, fontsize=7, rotation=turned)
    axis.set_yticks(range(len(classes)), classes, fontsize=7)
    axis.set_xlabel("prediction", fontsize=8)
    axis.set_ylabel("class", fontsize=8)
    axis.tick_params(length=0)
