"""Write each result as an HTML page for the report, with all its numbers and names in tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pixelflow import results
from pixelflow.files import written_whole

STYLE = """body { font: 14px sans-serif; margin: 2em } table { border-collapse: collapse }
td, th { padding: .2em .8em; border-bottom: 1px solid #ccc; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }"""


def cell(value: Any) -> str:
    """A table cell; empty for None, six digits for a float."""
    if value is None:
        return "<td></td>"
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int | float):
        digits = f"{value:.6g}" if isinstance(value, float) else f"{value:,}"
        return f'<td class="number">{digits}</td>'
    return f"<td>{escape(value if isinstance(value, str) else json.dumps(value))}</td>"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with a line for each row and a column for each key that a row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{escape(key)}</th>" for key in columns)
    body = "".join(f"<tr>{''.join(cell(row.get(key)) for key in columns)}</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"


def section(name: str, value: Any, level: int) -> Iterator[str]:
    """A heading, then one table of the plain values, then a section for each nested value."""
    yield f"<h{level}>{escape(name)}</h{level}>\n"
    if isinstance(value, list):
        yield table(value)
        return
    nested = {key: item for key, item in value.items() if _is_nested(item)}
    if len(nested) < len(value):
        pairs = "".join(
            f"<tr><th>{escape(key)}</th>{cell(item)}</tr>\n"
            for key, item in value.items()
            if key not in nested
        )
        yield f"<table>\n{pairs}</table>\n"
    for key, item in nested.items():
        yield from section(key, item, min(level + 1, 6))


def _is_nested(value: Any) -> bool:
    """Whether a value gets a section of its own: a mapping, or a list of rows."""
    rows = isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
    return bool(value) and (isinstance(value, Mapping) or rows)


def page(result: Mapping[str, Any]) -> str:
    """The HTML page of one result."""
    name = escape(result["experiment"])
    parts = [
        part for key in ("metrics", "config", "provenance") for part in section(key, result[key], 2)
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{name}</title>\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{name}</h1>\n{''.join(parts)}</body>\n</html>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="result files")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the pages")
    arguments = parser.parse_args()
    for path in arguments.results:
        with written_whole(arguments.out / f"{path.stem}.html") as temporary:
            temporary.write_text(page(results.read(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
