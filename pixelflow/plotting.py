"""Figures of the paper and the notebooks; Matplotlib is imported here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pixelflow.core import Probe, Reservoir, ReservoirConfig
from pixelflow.files import written_whole

PAPER_WIDTH = 6.3  # inches: the text width of the paper
UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


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
    """Write a figure whole or not at all: a PDF for the paper, and beside it the report's SVG.

    The same figure gives the same bytes.
    """
    path = Path(path)
    for target in (path, path.with_suffix(".svg")) if path.suffix == ".pdf" else (path,):
        with written_whole(target) as temporary, plt.rc_context({"svg.hashsalt": "pixelflow"}):
            figure.savefig(temporary, metadata=UNDATED.get(target.suffix))
