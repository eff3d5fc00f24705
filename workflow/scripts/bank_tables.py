"""The paper's tables of banks, each beside its zero-step twin, of this run and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from macros import fraction, probability, text
from tabular import tabular, words

Result = Mapping[str, Any]
ZERO_STEPS = "_zero_steps"
RAW = {"raw_ridge": "grey", "raw_rgb_ridge": "rgb"}  # baselines that the config need not name


def interval(entry: Mapping[str, Any], signed: bool = False) -> str:
    """[.9228, .9329]"""
    low, high = (fraction(entry[f"{end}_accuracy"], signed=signed) for end in ("low", "high"))
    return f"[{low}, {high}]"


def bank_names(result: Result) -> set[str]:
    """The models of a result that are banks, zero-step twins, or baselines of the same size."""
    names = result["config"].get("banks", {})
    return {
        *(f"{name}{end}" for name in names for end in ("", ZERO_STEPS)),
        *result["config"].get("baselines", {}),
    }


def banks(results: Mapping[str, Result]) -> str:
    """Banks beside their zero-step twins, then the baselines; one block for each title."""
    blocks = []
    for title, result in results.items():
        shown = {k: b for k, b in result["config"]["banks"].items() if "table" in b["shown"]}
        lines = [_bank(result, name, bank) for name, bank in shown.items()]
        blocks.append([[rf"\emph{{{title}}}", *[""] * 11], *lines])
        blocks.append(list(_baselines(result)))
    extra_head = r"& & & & & & & & \multicolumn{4}{c}{against zero steps at equal $D$} \\"
    head = ["Bank", "Tier", "Images", "Trained on", "Steps", "$D$", "Accuracy", "Interval"]
    head += ["Accuracy", "Difference", "Interval", "$p$"]
    return tabular("lllrrrrrrrrr", head, blocks, f"{extra_head}\n\\cmidrule(l){{9-12}}\n")


def _bank(result: Result, name: str, bank: Mapping[str, Any]) -> list[str]:
    cells = _accuracy(result, name, bank["tier"], _images(bank))
    twin = result["metrics"]["summary"].get(f"{name}{ZERO_STEPS}")
    if twin is None:
        return [*cells, *["--"] * 4]
    pair = result["metrics"]["comparisons"][f"{name}_against_{name}{ZERO_STEPS}"]
    return [*cells, fraction(twin["mean_accuracy"]), *_difference(pair)]


def _baselines(result: Result) -> Iterator[list[str]]:
    """The lines of raw pixels and of the baselines in the config."""
    for name, images in RAW.items():
        if name in result["metrics"]["summary"]:
            yield [*_accuracy(result, name, "--", images), *["--"] * 4]
    for name, baseline in result["config"].get("baselines", {}).items():
        tier = _row(result, name)["tier"]
        yield [*_accuracy(result, name, tier, _images(baseline)), *["--"] * 4]


def _images(model: Mapping[str, Any]) -> str:
    augment = model["augment"] or {}
    used = {"copies": bool(augment), "averaged": augment.get("average", False)}
    return ", ".join([model["images"], *(word for word, is_used in used.items() if is_used)])


def _row(result: Result, name: str) -> Mapping[str, Any]:
    """The first row of a model."""
    return next(row for row in result["metrics"]["rows"] if row["model"] == name)


def _accuracy(result: Result, name: str, tier: str, images: str) -> list[str]:
    row, entry = _row(result, name), result["metrics"]["summary"][name]
    cells = [words(name), tier, images, *(text(key, row[key]) for key in ("n_train", "steps", "D"))]
    star = "" if entry["n_seeds"] > 1 else r"\rlap{\textsuperscript{*}}"
    return [*cells, fraction(entry["mean_accuracy"]), interval(entry) + star]


def _difference(pair: Mapping[str, Any]) -> list[str]:
    """Cells of a paired test on the test images: the difference, its interval, and p."""
    difference = fraction(pair["difference_accuracy"], signed=True)
    return [difference, interval(pair, signed=True), probability(pair["p_holm"])]


def bank_comparisons(results: Mapping[str, Result]) -> str:
    """Banks compared with the models that their config names; one block for each title.

    The zero-step twin is shown if it has an interval over seeds, which `banks` has no column for.
    """
    blocks = []
    for title, result in results.items():
        lines = list(_pairs(result))
        if lines:
            blocks.append([[rf"\emph{{{title}}}", *[""] * 9], *lines])
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
                short_name = words(model.removeprefix(f"{beside}_"))
                accuracy = fraction(summary[model]["mean_accuracy"])
                cells += [short_name, text("D", _row(result, model)["D"]), accuracy]
            over = entry.get("over_seeds")
            yield [*cells, *_difference(entry), interval(over, signed=True) if over else "--"]
