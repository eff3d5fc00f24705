"""Write the paper's tables from the results, one LaTeX file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bank_tables import bank_comparisons, bank_names, banks, interval
from macros import device, fraction, parse, probability, read_all, text
from speed_tables import first_call, on_device, on_host
from tabular import tabular, words

from pixelflow.files import written_whole

Result = Mapping[str, Any]
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def classification(result: Result) -> str:
    """The models of a data set except banks, with the interval over seeds or over test images."""
    rows = {row["model"]: row for row in result["metrics"]["rows"]}
    lines = []
    for name, entry in result["metrics"]["summary"].items():
        if name in bank_names(result):
            continue
        row = rows[name]
        cells = [words(name), text("steps", row["steps"]), text("D", row["D"])]
        alpha = text("alpha", row["alpha"])
        cells += [alpha if entry["n_seeds"] == 1 else "--", text("n", entry["n_seeds"])]
        cells += [text("accuracy", entry["mean_accuracy"]), interval(entry)]
        lines.append([*cells, fraction(entry["non_affine"], 2)])
    head = ["Model", "Steps", "$D$", r"$\alpha$", "Seeds", "Accuracy", "Interval", "Non-affine"]
    return tabular("lrrrrrrr", head, [lines])


def comparisons(*results: Result) -> str:
    """The models except banks, each compared with its baselines on the same test images."""
    groups: dict[str, list[list[str]]] = {}
    entries = [
        (result, pair) for result in results for pair in result["metrics"]["comparisons"].items()
    ]
    for result, (name, entry) in entries:
        model, other = name.split("_against_")
        if model in bank_names(result):
            continue
        counts = [text("n", entry.get(key)) for key in ("gained", "lost")]
        difference = fraction(entry["difference_accuracy"], signed=True)
        cells = [words(model), words(other.removeprefix(f"{model}_")), *counts, difference]
        cells += [interval(entry, signed=True), probability(entry["p_holm"])]
        groups.setdefault(model, []).append(cells)
    head = ["Model", "Against", "Gained", "Lost", "Difference", "Interval", "$p$"]
    return tabular("llrrrrr", head, list(groups.values()))


def published(here: Result, recorded: Mapping[str, Result]) -> str:
    """The field's published accuracies, beside ours from this run and from other devices."""
    groups: dict[str, list[list[str]]] = {}
    for where, result in {"this run": here, **recorded}.items():
        firsts = {row["model"]: row for row in reversed(result["metrics"]["rows"])}
        for name, entry in result["metrics"]["summary"].items():
            twin = here["metrics"]["summary"].get(name, {})
            repeated = result is not here and twin.get("n_seeds") == entry["n_seeds"]
            if entry["published_accuracy"] is None or repeated:
                continue
            row, first = result["config"]["rows"][name], firsts[name]
            cells = [_model(row), text("n", row["subset"]) if row["subset"] else "all"]
            star = "" if first["converged"] else r"\textsuperscript{*}"
            cells += [text("n", first["n_iter"]) + star]
            cells += [
                text("accuracy", entry[f"{key}_accuracy"]) for key in ("published", "rebuilt")
            ]
            cells += [fraction(entry["off_by_accuracy"], signed=True), text("n", entry["n_seeds"])]
            cells += [text("accuracy", entry["mean_accuracy"]), interval(entry), where]
            groups.setdefault(row["dataset"], []).append(cells)
    head = ["", "Trained on", "Iterations", "Published", "Rebuilt", "Off by"]
    titled = [[[title, *[""] * 9], *rows] for title, rows in _titled(groups)]
    return tabular("lrrrrrrrrl", [*head, "Draws", "Mean", "Interval", "Where"], titled)


def _titled(groups: Mapping[str, list[list[str]]]) -> list[tuple[str, list[list[str]]]]:
    titles = {"mnist": "MNIST", "cifar10": "CIFAR-10, grey"}
    return [(rf"\emph{{{titles[name]}}}", rows) for name, rows in groups.items()]


def _model(row: Mapping[str, Any]) -> str:
    """The features: raw pixels, or a rule with its texture size and steps."""
    if row["rule"] is None:
        return "raw pixels"
    size = rf"{row['width']}\,$\times$\,{row['height']}"
    return f"{words(row['rule'])}, {size}, {row['steps']} steps"


def eikonal(result: Result) -> str:
    """Errors of the field's protocol: measured as published, and against exact times."""
    rows = {(row["case"], row["method"]): row for row in result["metrics"]["rows"]}
    lines = []
    for case, entry in result["config"]["cases"].items():
        wave = rows[case, "wave"]
        claim = "--" if entry["published"] is None else fraction(entry["published"], 3)
        cells = [words(case), claim, fraction(wave["error_fast_marching"])]
        cells += [fraction(wave[f"error_analytic{fit}"]) for fit in ("", "_scaled")]
        others = ("wave_reflect", "distance", "fast_marching", "fast_marching_2")
        cells += [fraction(rows[case, method]["error_analytic"]) for method in others]
        lines.append(cells)
    head = ["Case", "Published", "Rebuilt", "Wave", "Refitted", "Reflecting", "Distance"]
    extra_head = (
        r"& \multicolumn{2}{c}{as published} & \multicolumn{6}{c}{against exact times} \\"
        "\n\\cmidrule(lr){2-3}\\cmidrule(l){4-9}\n"
    )
    return tabular("lrrrrrrrr", [*head, "FMM 1", "FMM 2"], [lines], extra_head)


def seconds(value: float | None) -> str:
    """Seconds with two decimals; `not rerun` for None."""
    return "not rerun" if value is None else f"{value:.2f}"


def times(here: Result, recorded: Result) -> str:
    """The field's published times, beside times of its package here and on the GPU machine."""
    elsewhere = {(e["work"], e["backend"]): e for e in recorded["metrics"]["published"]}
    groups: dict[str, list[list[str]]] = {}
    for entry in here["metrics"]["published"]:
        other = elsewhere.get((entry["work"], entry["backend"]), {})
        cells = [words(entry["work"]) if entry["work"] not in groups else "", entry["backend"]]
        cells += [seconds(entry["published_s"])]
        cells += [seconds(found.get("measured_s")) for found in (entry, other)]
        groups.setdefault(entry["work"], []).append(cells)
    head = ["Work", "Backend", "Published (s)", "This run (s)", "H100 machine (s)"]
    return tabular("llrrr", head, list(groups.values()))


def _machines(recorded: Mapping[str, Result]) -> dict[str, Result]:
    """Recorded results by the titles that tables give them."""
    return {f"{device.upper()} machine": result for device, result in recorded.items()}


def main() -> None:
    arguments = parse(__doc__, "the folder of tables")
    here: dict[str, Result] = {}
    recorded: dict[str, dict[str, Result]] = {}
    for path, result in read_all(arguments.results, arguments.config).items():
        where = device(path)
        if where is None:
            here[result["experiment"]] = result
        else:
            recorded.setdefault(result["experiment"], {})[where] = result
    tables = {
        "mnist": classification(here["mnist"]),
        "mnist_comparisons": comparisons(here["mnist"]),
        "cifar10": classification(here["cifar10"]),
        "cifar10_comparisons": comparisons(here["cifar10"]),
        "published": published(here["published"], recorded["published"]),
        "published_comparisons": comparisons(here["published"], *recorded["published"].values()),
        "eikonal": eikonal(here["eikonal"]),
        "times": times(here["speed"], recorded["speed"]["h100"]),
        "speed_device": on_device(here["speed"], recorded["speed"]["h100"]),
        "speed_host": on_host(here["speed"], recorded["speed"]["h100"]),
        "first_call": first_call(here["speed"], recorded["speed"]["h100"]),
    }
    everywhere = {}
    for name, title in TITLES.items():
        found = {"this run": here[name], **_machines(recorded.get(name, {}))}
        titled = {f"{title}, {where}": result for where, result in found.items()}
        tables[f"{name}_banks"] = banks(titled)
        everywhere |= titled
    tables["bank_comparisons"] = bank_comparisons(everywhere)
    for name, content in tables.items():
        with written_whole(Path(arguments.out) / f"table_{name}.tex") as temporary:
            temporary.write_text("% Built from the results; do not edit.\n" + content, "utf-8")


if __name__ == "__main__":
    main()
