"""Results to LaTeX: banks beside themselves without steps, of this run and of recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from macros import fraction, probability, text
from tabular import tabular, words

Result = Mapping[str, Any]
ZERO_STEPS = "_zero_steps"


def interval(entry: Mapping[str, Any], signed: bool = False) -> str:
    """[.9228, .9329]"""
    low, high = (fraction(entry[f"{end}_accuracy"], signed=signed) for end in ("low", "high"))
    return f"[{low}, {high}]"


def of_banks(result: Result) -> set[str]:
    """The names that a result's banks and their baselines have in its rows."""
    names = result["config"].get("banks", {})
    return {
        *names,
        *(f"{name}{ZERO_STEPS}" for name in names),
        *result["config"].get("baselines", {}),
    }


def banks(results: Mapping[str, Result]) -> str:
    """Every bank with its accuracy and that of the same without steps, by where it was run."""
    blocks = []
    for where, result in results.items():
        entries = {**result["config"]["banks"], **result["config"].get("baselines", {})}
        lines = [_bank(result, name, entry) for name, entry in entries.items()]
        blocks.append([[rf"\emph{{{where}}}", *[""] * 9], *lines])
    head = ["Bank", "Tier", "Images", "Trained on", "Steps", "$D$", "Seeds", "Accuracy"]
    return tabular("lllrrrrrrr", [*head, "Interval", "Zero steps"], blocks)


def _bank(result: Result, name: str, bank: Mapping[str, Any]) -> list[str]:
    row = next(row for row in result["metrics"]["rows"] if row["model"] == name)
    summary = result["metrics"]["summary"]
    images = bank["images"] + (", copies" if bank["augment"] else "")
    cells = [words(name), row["tier"], images]
    cells += [text(key, row[key]) for key in ("n_train", "steps", "D")]
    cells += [text("n", summary[name]["n_seeds"]), fraction(summary[name]["mean_accuracy"])]
    without = summary.get(f"{name}{ZERO_STEPS}")
    return [
        *cells,
        interval(summary[name]),
        fraction(without["mean_accuracy"]) if without else "--",
    ]


def bank_comparisons(results: Mapping[str, Result]) -> str:
    """Paired tests of banks over test images and over seeds, by where they were run."""
    blocks = []
    for where, result in results.items():
        lines = list(_pairs(result)) or [["--"] * 6]
        blocks.append([[rf"\emph{{{where}}}", *[""] * 5], *lines])
    head = ["Bank", "Against", "Difference", "Over test images", "$p$", "Over seeds"]
    return tabular("llrrrr", head, blocks)


def _pairs(result: Result) -> Iterator[list[str]]:
    for name, entry in result["metrics"]["comparisons"].items():
        bank, other = name.split("_against_")
        if bank not in of_banks(result):
            continue
        cells = [words(bank), words(other.removeprefix(f"{bank}_"))]
        cells += [fraction(entry["difference_accuracy"], signed=True), interval(entry, signed=True)]
        over = entry.get("over_seeds")
        yield [
            *cells,
            probability(entry["p_holm"]),
            interval(over, signed=True) if over else "--",
        ]
