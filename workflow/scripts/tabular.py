"""Cells to LaTeX: what all of the paper's tables have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from macros import text


def tabular(
    columns: str, head: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], above: str = ""
) -> str:
    """A booktabs table of groups of rows of cells; `above` is what stands above the head."""
    parts = ["".join(" & ".join(row) + " \\\\\n" for row in group) for group in groups if group]
    body = "\\addlinespace\n".join(parts)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{above}{' & '.join(head)} \\\\\n\\midrule\n"
        f"{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def words(name: str) -> str:
    """A name as it is read: raw_ridge is raw ridge."""
    return text("name", name.replace("_", " "))


def three_digits(value: float) -> str:
    """A positive number with three digits."""
    rounded = float(f"{value:.2e}")
    digits = max(0, 2 - math.floor(math.log10(rounded)))  # of what is rounded: 9.996 is 10.0
    return f"{rounded:,.{digits}f}".replace(",", "{,}")
