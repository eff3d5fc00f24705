"""Results to LaTeX: banks beside themselves without steps, of this run and of recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from macros import fraction, probability, text
from tabular import tabular, words

Result = Mapping[str, Any]
ZERO_STEPS = "_zero_steps"
RAW = {"raw_ridge": "grey", "raw_rgb_ridge": "rgb"}  # baselines that no config has to name


def interval(entry: Mapping[str, Any], signed: bool = False) -> str:
    """[.9228, .9329]"""
    low, high = (fraction(entry[f"{end}_accuracy"], signed=signed) for end in ("low", "high"))
    return f"[{low}, {high}]"


def of_banks(result: Result) -> set[str]:
    """The names that a result's banks, and the baselines of their size, have in its rows."""
    names = result["config"].get("banks", {})
    return {
        *(f"{name}{end}" for name in names for end in ("", ZERO_STEPS)),
        *result["config"].get("baselines", {}),
    }


def banks(results: Mapping[str, Result]) -> str:
    """Banks shown in a table, and what the same without steps makes of it, by where they were run.

    Below them stand the baselines.
    """
    blocks = []
    for where, result in results.items():
        shown = {k: b for k, b in result["config"]["banks"].items() if "table" in b["shown"]}
        lines = [_bank(result, name, bank) for name, bank in shown.items()]
        blocks.append([[rf"\emph{{{where}}}", *[""] * 11], *lines])
        blocks.append(list(_baselines(result)))
    above = r"& & & & & & & & \multicolumn{4}{c}{against zero steps at equal $D$} \\"
    head = ["Bank", "Tier", "Images", "Trained on", "Steps", "$D$", "Accuracy", "Interval"]
    head += ["Accuracy", "Difference", "Interval", "$p$"]
    return tabular("lllrrrrrrrrr", head, blocks, f"{above}\n\\cmidrule(l){{9-12}}\n")


def _bank(result: Result, name: str, bank: Mapping[str, Any]) -> list[str]:
    cells = _accuracy(result, name, bank["tier"], _images(bank))
    twin = result["metrics"]["summary"].get(f"{name}{ZERO_STEPS}")
    if twin is None:
        return [*cells, *["--"] * 4]
    pair = result["metrics"]["comparisons"][f"{name}_against_{name}{ZERO_STEPS}"]
    return [*cells, fraction(twin["mean_accuracy"]), *_difference(pair)]


def _baselines(result: Result) -> Iterator[list[str]]:
    """The lines of raw pixels and of the config's baselines."""
    for name, images in RAW.items():
        if name in result["metrics"]["summary"]:
            yield [*_accuracy(result, name, "--", images), *["--"] * 4]
    for name, baseline in result["config"].get("baselines", {}).items():
        tier = _row(result, name)["tier"]
        yield [*_accuracy(result, name, tier, _images(baseline)), *["--"] * 4]


def _images(model: Mapping[str, Any]) -> str:
    augment = model["augment"] or {}
    said = {"copies": bool(augment), "averaged": augment.get("average", False)}
    return ", ".join([model["images"], *(word for word, holds in said.items() if holds)])


def _row(result: Result, name: str) -> Mapping[str, Any]:
    """The first of a model's rows."""
    return next(row for row in result["metrics"]["rows"] if row["model"] == name)


def _accuracy(result: Result, name: str, tier: str, images: str) -> list[str]:
    row, entry = _row(result, name), result["metrics"]["summary"][name]
    cells = [words(name), tier, images, *(text(key, row[key]) for key in ("n_train", "steps", "D"))]
    star = "" if entry["n_seeds"] > 1 else r"\rlap{\textsuperscript{*}}"
    return [*cells, fraction(entry["mean_accuracy"]), interval(entry) + star]


def _difference(pair: Mapping[str, Any]) -> list[str]:
    """Of a paired test on the test images: the difference, its interval, and p."""
    difference = fraction(pair["difference_accuracy"], signed=True)
    return [difference, interval(pair, signed=True), probability(pair["p_holm"])]


def bank_comparisons(results: Mapping[str, Result]) -> str:
    """Banks shown among the comparisons against what their config names, by where they were run.

    The same without steps is there too where the interval over seeds adds to the table of banks.
    """
    blocks = []
    for where, result in results.items():
        lines = list(_pairs(result))
        if lines:
            blocks.append([[rf"\emph{{{where}}}", *[""] * 9], *lines])
    head = ["Bank", "$D$", "Accuracy", "Against", "$D$", "Accuracy", "Difference"]
    head += ["Over test images", "$p$", "Over seeds"]
    return tabular("lrrlrrrrrr", head, blocks or [[["--"] * 10]])


def _pairs(result: Result) -> Iterator[list[str]]:
    summary = result["metrics"]["summary"]
    for name, bank in result["config"]["banks"].items():
        twin = f"{name}{ZERO_STEPS}"
        for other in (twin, *bank["against"]) if "comparisons" in bank["shown"] else ():
            entry = result["metrics"]["comparisons"].get(f"{name}_against_{other}", {})
            if other == twin and "over_seeds" not in entry:
                continue
            cells = []
            for model, beside in ((name, other), (other, name)):
                called = words(model.removeprefix(f"{beside}_"))
                accuracy = fraction(summary[model]["mean_accuracy"])
                cells += [called, text("D", _row(result, model)["D"]), accuracy]
            over = entry.get("over_seeds")
            yield [*cells, *_difference(entry), interval(over, signed=True) if over else "--"]
