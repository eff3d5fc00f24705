"""Common parts of the figures: size, marks, and saving with the same bytes each time."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pixelflow.files import written_whole

PAPER_WIDTH = 6.3  # inches: the text width of the paper
UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
# Colours are Okabe and Ito's, for colour-blind readers; markers distinguish them also in grey.
MARKS = (
    ("#D55E00", "o"),
    ("#E69F00", "s"),
    ("#000000", "x"),
    ("#CC79A7", "+"),
    ("#0072B2", "^"),
    ("#009E73", "v"),
)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure atomically; a PDF gets an SVG of the same name beside it, for the report.

    The same figure gives the same bytes.
    """
    path = Path(path)
    for target in (path, path.with_suffix(".svg")) if path.suffix == ".pdf" else (path,):
        with written_whole(target) as temporary, plt.rc_context({"svg.hashsalt": "pixelflow"}):
            figure.savefig(temporary, metadata=UNDATED.get(target.suffix))
