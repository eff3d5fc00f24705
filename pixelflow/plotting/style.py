"""What the figures have in common: size, marks, and files that are whole and the same each time."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pixelflow.files import written_whole

PAPER_WIDTH = 6.3  # inches: the text width of the paper
UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
# Okabe and Ito's colours, told apart by colour-blind readers, and by their marks in grey.
MARKS = (
    ("#D55E00", "o"),
    ("#E69F00", "s"),
    ("#000000", "x"),
    ("#CC79A7", "+"),
    ("#0072B2", "^"),
    ("#009E73", "v"),
)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all: a PDF for the paper, and beside it the report's SVG.

    The same figure gives the same bytes.
    """
    path = Path(path)
    for target in (path, path.with_suffix(".svg")) if path.suffix == ".pdf" else (path,):
        with written_whole(target) as temporary, plt.rc_context({"svg.hashsalt": "pixelflow"}):
            figure.savefig(temporary, metadata=UNDATED.get(target.suffix))
