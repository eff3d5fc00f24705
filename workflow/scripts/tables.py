"""Results to LaTeX: the paper's tables, one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from macros import device, fraction, parse, probability, read_all, text

from pixelflow.files import written_whole

Result = Mapping[str, Any]


def tabular(columns: str, head: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> str:
    """A booktabs table of groups of rows of cells."""
    parts = ["".join(" & ".join(row) + " \\\\\n" for row in group) for group in groups if group]
    body = "\\addlinespace\n".join(parts)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(head)} \\\\\n\\midrule\n"
        f"{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def words(name: str) -> str:
    """A name as it is read: raw_ridge is raw ridge."""
    return text("name", name.replace("_", " "))


def interval(entry: Mapping[str, Any], signed: bool = False) -> str:
    """[.9228, .9329]"""
    low, high = (fraction(entry[f"{end}_accuracy"], signed=signed) for end in ("low", "high"))
    return f"[{low}, {high}]"


def classification(result: Result) -> str:
    """Every model of a data set, with the interval over its seeds or its test images."""
    rows = {row["model"]: row for row in result["metrics"]["rows"]}
    lines = []
    for name, entry in result["metrics"]["summary"].items():
        row = rows[name]
        cells = [words(name), text("steps", row["steps"]), text("D", row["D"])]
        alpha = text("alpha", row["alpha"])
        cells += [alpha if entry["n_seeds"] == 1 else "--", text("n", entry["n_seeds"])]
        lines.append([*cells, text("accuracy", entry["mean_accuracy"]), interval(entry)])
    head = ["Model", "Steps", "$D$", r"$\alpha$", "Seeds", "Accuracy", "Interval"]
    return tabular("lrrrrrr", head, [lines])


def comparisons(result: Result) -> str:
    """Each rule against its baselines on the same test images."""
    groups: dict[str, list[list[str]]] = {}
    for name, entry in result["metrics"]["comparisons"].items():
        model, other = name.split("_against_")
        counts = [text("n", entry.get(key)) for key in ("gained", "lost")]
        difference = fraction(entry["difference_accuracy"], signed=True)
        cells = [words(model), words(other.removeprefix(f"{model}_")), *counts, difference]
        cells += [interval(entry, signed=True), probability(entry["p_holm"])]
        groups.setdefault(model, []).append(cells)
    head = ["Model", "Against", "Gained", "Lost", "Difference", "Interval", "$p$"]
    return tabular("llrrrrr", head, list(groups.values()))


def published(here: Result, elsewhere: Result) -> str:
    """The field's accuracies beside those rebuilt; `elsewhere` holds the ones recorded."""
    groups: dict[str, list[list[str]]] = {}
    for result in (here, elsewhere):
        for name, entry in result["metrics"]["summary"].items():
            row = result["config"]["rows"][name]
            if entry["published_accuracy"] is None or (result is elsewhere and name == "mnist_raw"):
                continue
            model = "raw pixels" if row["rule"] is None else words(row["rule"])
            size = f"{row['width']} $\\times$ {row['height']}"
            where = "recorded" if result is elsewhere else "this run"
            cells = [model, text("n", row["subset"] or 60000), size, text("n", row["steps"])]
            cells += [
                text("accuracy", entry[f"{key}_accuracy"]) for key in ("published", "rebuilt")
            ]
            cells += [fraction(entry["off_by_accuracy"], signed=True), interval(entry), where]
            groups.setdefault(row["dataset"], []).append(cells)
    head = ["Model", "Trained on", "Texture", "Steps", "Published", "Rebuilt", "Off by"]
    titled = [[[rf"\emph{{{words(name)}}}"] + [""] * 8, *rows] for name, rows in groups.items()]
    return tabular("lrrrrrrrl", [*head, "Interval", "Where"], titled)


def main() -> None:
    arguments = parse("Results to LaTeX tables.", "the folder of tables")
    found = read_all(arguments.results, arguments.config)
    here = {r["experiment"]: r for path, r in found.items() if device(path) is None}
    elsewhere = {r["experiment"]: r for path, r in found.items() if device(path) is not None}
    tables = {
        "mnist": classification(here["mnist"]),
        "mnist_comparisons": comparisons(here["mnist"]),
        "cifar10": classification(here["cifar10"]),
        "cifar10_comparisons": comparisons(here["cifar10"]),
        "published": published(here["published"], elsewhere["published"]),
        "published_comparisons": comparisons(here["published"]),
    }
    for name, content in tables.items():
        with written_whole(Path(arguments.out) / f"table_{name}.tex") as temporary:
            temporary.write_text("% Made from the results; do not edit.\n" + content, "utf-8")


if __name__ == "__main__":
    main()
