"""The LaTeX layout that all tables of the paper have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from macros import text


def tabular(
    columns: str,
    head: Sequence[str],
    groups: Sequence[Sequence[Sequence[str]]],
    extra_head: str = "",
) -> str:
    """A booktabs table: groups of rows of cells; `extra_head` is LaTeX for lines above the head."""
    parts = ["".join(" & ".join(row) + " \\\\\n" for row in group) for group in groups if group]
    body = "\\addlinespace\n".join(parts)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{extra_head}{' & '.join(head)} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def words(name: str) -> str:
    """A name as LaTeX, with spaces: raw_ridge becomes raw ridge."""
    return text("name", name.replace("_", " "))


def three_digits(value: float) -> str:
    """A positive number with three digits."""
    rounded = float(f"{value:.2e}")
    digits = max(0, 2 - math.floor(math.log10(rounded)))  # from the rounded value: 9.996 is 10.0
    return f"{rounded:,.{digits}f}".replace(",", "{,}")
