"""Results to LaTeX: a macro for every number and name in them, and the tables.

A macro is named by the key's path: `accuracy` of the model `wave` of the experiment `mnist` is
\\MnistWaveAccuracy, digits are spelled, and `Config` and `Provenance` come after the experiment.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelflow import results
from pixelflow.files import written_whole

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
COLUMNS = {
    "model": "Model",
    "readout": "Readout",
    "alpha": r"$\alpha$",
    "steps": "Steps",
    "D": "$D$",
    "accuracy": "Accuracy",
    "fit_s": "Fit (s)",
}


def macro_name(path: Sequence[str]) -> str:
    """Letters only: ("mnist", "wave", "n_test") is MnistWaveNTest, "x2" is XTwo."""
    words = [word for part in path for word in re.findall("[A-Za-z]+|[0-9]", part)]
    return "".join(DIGITS[int(w)] if w.isdigit() else w[0].upper() + w[1:] for w in words)


def text(key: str, value: Any) -> str:
    """A value as it is printed: .9281 for an accuracy, one decimal for seconds, 60,000."""
    if value is None:
        return "--"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "{,}")
    if isinstance(value, float):
        return _decimal(key, value)
    if key == "commit" or key.endswith("sha256"):
        value = value[:10]
    return value.translate(str.maketrans(SPECIAL))


def _decimal(key: str, value: float) -> str:
    if key.endswith("accuracy"):
        return re.sub(r"^0\.", ".", f"{value:.4f}")
    if key.endswith("_s"):
        return f"{value:.1f}"
    digits, _, exponent = f"{value:.4g}".partition("e")
    return rf"\ensuremath{{{digits}\times 10^{{{int(exponent)}}}}}" if exponent else digits


def leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every printable value below a key; rows are named by their `model`, or numbered."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves((*path, key), item)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for i, item in enumerate(value):
            named = isinstance(item, Mapping) and "model" in item
            base = path[:-1] if named else path
            yield from leaves((*base, item["model"] if named else str(i)), item)
    elif isinstance(value, list):
        yield path, ", ".join(text(path[-1], item) for item in value) or "--"
    else:
        yield path, text(path[-1], value)


def macros(result: Mapping[str, Any]) -> dict[str, str]:
    """The macros of one result, by name."""
    name = result["experiment"]
    tops = {(name,): "metrics", (name, "config"): "config", (name, "provenance"): "provenance"}
    found: dict[str, str] = {}
    for top, key in tops.items():
        for path, value in leaves(top, result[key]):
            macro = macro_name(path)
            if macro in found:
                raise ValueError(f"two values of {name} have the macro \\{macro}: {'.'.join(path)}")
            found[macro] = value
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A booktabs table of the rows of a classification."""
    lines = [[text(key, row[key]).replace(r"\_", " ") for key in COLUMNS] for row in rows]
    body = "".join(" & ".join(line) + " \\\\\n" for line in lines)
    return (
        "\\begin{tabular}{llrrrrr}\n\\toprule\n"
        f"{' & '.join(COLUMNS.values())} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def check_config(path: Path, result: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """A number is printed only with the config that it was computed with."""
    name = result["experiment"]
    now = {**config.get(name, {}), "seed": config["seed"]}
    was = result["config"]
    keys = sorted(k for k in {*now, *was} if k not in now or k not in was or now[k] != was[k])
    if keys:
        raise ValueError(
            f"{path} was computed with another config (it differs in: {', '.join(keys)}); "
            f"delete it and run again"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Results to LaTeX macros and tables.")
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT")
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, JSON")
    parser.add_argument("--out", type=Path, required=True, help="the folder for macros and tables")
    arguments = parser.parse_args()
    found: dict[str, str] = {}
    for path in arguments.results:
        result = results.read(path)
        check_config(path, result, arguments.config)
        found |= macros(result)
        if "rows" in result["metrics"]:
            name = result["experiment"]
            with written_whole(arguments.out / f"table_{name}.tex") as temporary:
                temporary.write_text(table(result["metrics"]["rows"]), encoding="utf-8")
    lines = [f"\\newcommand{{\\{name}}}{{{found[name]}}}\n" for name in sorted(found)]
    with written_whole(arguments.out / "macros.tex") as temporary:
        text = "% Made from the results; do not edit.\n" + "".join(lines)
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
