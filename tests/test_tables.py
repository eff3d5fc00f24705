"""The paper's tables, each of a small result made by hand: what stands in which cell."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
tables = importlib.import_module("tables")
tabular = importlib.import_module("tabular")
PLUS, MINUS = r"\ensuremath{+}", r"\ensuremath{-}"


def parsed(table):
    """Head and rows of cells, having checked that LaTeX can set it."""
    begin, *lines, end = table.splitlines()
    assert end == r"\end{tabular}"
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lcr]+)\}", begin)[1]
    assert not re.search(r"(?<!\\)[_%#^]", table), "a character that LaTeX takes for a command"
    rules = [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert (lines[0], lines[-1]) == (r"\toprule", r"\bottomrule")
    rows = []
    for line in lines:
        if line in rules or re.match(r"\\(addlinespace|cmidrule)", line):
            continue
        assert line.endswith(r" \\")
        cells = [cell.strip() for cell in re.split(r"(?<!\\)&", line[:-3])]
        spans = [int(re.match(r"\\multicolumn\{(\d+)", c)[1]) for c in cells if "multicol" in c]
        assert sum(spans) + len(cells) - len(spans) == len(columns), line
        rows += [] if spans else [cells]
    return rows[0], rows[1:]


def accuracies(mean, low, high, n_seeds=1, **more):
    entry = {"mean_accuracy": mean, "low_accuracy": low, "high_accuracy": high}
    return {**entry, "n_seeds": n_seeds, **more}


def result(banks=None, **metrics):
    """A result without banks unless they are given."""
    return {"config": {"banks": banks} if banks else {}, "metrics": metrics}


def test_a_table_of_groups_has_space_between_them_and_none_for_empty_ones():
    table = tables.tabular("lr", ["a", "b"], [[["1", "2"]], [], [["3", "4"], ["5", "6"]]])
    assert parsed(table) == (["a", "b"], [["1", "2"], ["3", "4"], ["5", "6"]])
    assert table.count("addlinespace") == 1


def test_a_row_for_every_model():
    row = {"steps": 4, "D": 2048, "alpha": 10.0, "seed": 0}
    rows = [
        {"model": "wave_&_co", **row},
        *({"model": "random_features", **row, "steps": 0, "alpha": a} for a in (1.0, 2.0)),
    ]
    summary = {
        "wave_&_co": accuracies(0.92812, 0.9, 0.95, non_affine=0.125),
        "random_features": accuracies(1.0, 0.99999, 1.00001, n_seeds=2, non_affine=0.0),
    }
    head, found = parsed(tables.classification(result(rows=rows, summary=summary)))
    assert len(head) == 8
    first, second = found
    assert first == [r"wave \& co", "4", "2{,}048", "10", "1", ".9281", "[.9000, .9500]", ".12"]
    assert second[:5] == ["random features", "0", "2{,}048", "--", "2"]


def comparison(difference, **more):
    entry = {"difference_accuracy": difference, "low_accuracy": -0.01, "high_accuracy": 0.02}
    return {**entry, "p": 1e-9, "p_holm": 0.0512, **more}


def test_comparisons_are_grouped_by_model():
    found = {
        "wave_against_wave_zero_steps": comparison(0.005, gained=1234, lost=5),
        "life_like_against_raw_ridge": comparison(-0.3, gained=0, lost=3000),
        "wave_against_random_features": comparison(0.0),
    }
    other = {"mnist_64_wave_against_mnist_raw": comparison(0.0193, gained=2, lost=1)}
    found, other = (result(comparisons=pairs) for pairs in (found, other))
    table = tables.comparisons(found, other)
    between = f"[{MINUS}.0100, {PLUS}.0200]"
    head, rows = parsed(table)
    assert rows == [
        ["wave", "zero steps", "1{,}234", "5", f"{PLUS}.0050", between, ".051"],
        ["wave", "random features", "--", "--", ".0000", between, ".051"],
        ["life like", "raw ridge", "0", "3{,}000", f"{MINUS}.3000", between, ".051"],
        ["mnist 64 wave", "mnist raw", "2", "1", f"{PLUS}.0193", between, ".051"],
    ]
    assert head[-1] == "$p$" and table.count("addlinespace") == 2


RAW = ["raw ridge", "raw rgb ridge"]
GREY = {"tier": "random", "images": "grey", "augment": None, "against": []}
BANKS = {
    "big_&_bad": {
        **{"tier": "data patches", "images": "rgb", "augment": {"flip": True}},
        **{"shown": ["comparisons", "table", "figure"], "against": ["alone", "fourier_64"]},
    },
    "alone": {**GREY, "shown": ["table"], "against": ["fourier_64"]},
    "big_&_bad_one_snapshot": {**GREY, "shown": ["comparisons"], "against": ["big_&_bad"]},
    "big_&_bad_12": {**GREY, "shown": ["figure"], "against": ["alone"]},
}
BASELINES = {"fourier_64": {"images": "rgb", "augment": {"shifts": 2}}}


def bank_result():
    """Banks shown here and there, one of them with its zero steps, and baselines."""
    rows, summary = [], {}
    for name, accuracy, n_seeds in (
        *(("raw_ridge", 0.5, 1), ("raw_rgb_ridge", 0.55, 1)),
        *(("big_&_bad", 0.81, 5), ("big_&_bad_zero_steps", 0.83, 5), ("alone", 0.7, 1)),
        *(("big_&_bad_one_snapshot", 0.8, 5), ("big_&_bad_12", 0.6, 1), ("fourier_64", 0.71, 3)),
    ):
        row = {"model": name, "tier": "random", "alpha": 10.0, "n_train": 50000}
        row |= {"D": 4096 if "one_" in name else 12288, "steps": 4 if name in BANKS else 0}
        rows += [{**row, "seed": seed} for seed in range(n_seeds)]
        non_affine = {"non_affine": 0.0} if "raw" in name else {}
        summary[name] = accuracies(
            accuracy, accuracy - 0.01, accuracy + 0.01, n_seeds, **non_affine
        )
    over = {"difference_accuracy": -0.02, "low_accuracy": -0.03, "high_accuracy": 0.001}
    pairs = {
        "wave_against_raw_ridge": comparison(0.1, gained=3, lost=2),
        "big_&_bad_against_big_&_bad_zero_steps": comparison(-0.02, over_seeds=over),
        "big_&_bad_against_alone": comparison(0.11),
        "big_&_bad_against_fourier_64": comparison(0.1),
        "alone_against_fourier_64": comparison(-0.01),
        "big_&_bad_one_snapshot_against_big_&_bad": comparison(-0.01, over_seeds=over),
        "big_&_bad_12_against_alone": comparison(-0.1),
    }
    found = result(BANKS, rows=rows, summary=summary, comparisons=pairs)
    return {**found, "config": {"banks": BANKS, "baselines": BASELINES}}


def test_banks_beside_the_same_without_steps_by_machine():
    here, there = bank_result(), bank_result()
    table = tables.banks({"MNIST, this run": here, "MNIST, H100 machine": there})
    head, rows = parsed(table)
    assert len(head) == 12 and len(rows) == 12 and table.count("addlinespace") == 3
    titles = [r"\emph{MNIST, this run}", r"\emph{MNIST, H100 machine}"]
    assert [row[0] for row in rows if not any(row[1:])] == titles
    names = [r"big \& bad", "alone", "raw ridge", "raw rgb ridge", "fourier 64"]
    assert [row[0] for row in rows[1:6]] == names, "those in tables, then baselines"
    size = ["50{,}000", "4", "12{,}288"]
    assert rows[1][1:6] == ["data patches", "rgb, copies", *size]
    between = f"[{MINUS}.0100, {PLUS}.0200]"
    assert rows[1][6:8] == [".8100", "[.8000, .8200]"]
    assert rows[1][8:] == [".8300", f"{MINUS}.0200", between, ".051"]
    one = r"\rlap{\textsuperscript{*}}"
    assert rows[2][1:3] == ["random", "grey"]
    assert rows[2][6:] == [".7000", f"[.6900, .7100]{one}", *["--"] * 4], "of one seed"
    assert [row[1:3] for row in rows[3:5]] == [["--", "grey"], ["--", "rgb"]]
    assert rows[5][1:3] == ["random", "rgb, copies"] and rows[5][4] == "0"


def test_banks_are_tested_over_images_and_over_seeds():
    _, rows = parsed(tables.bank_comparisons({"MNIST, this run": bank_result()}))
    between = f"[{MINUS}.0100, {PLUS}.0200]"
    over = f"[{MINUS}.0300, {PLUS}.0010]"
    big, size = [r"big \& bad", "12{,}288", ".8100"], "12{,}288"
    assert rows[1:] == [
        [*big, "zero steps", size, ".8300", f"{MINUS}.0200", between, ".051", over],
        [*big, "alone", size, ".7000", f"{PLUS}.1100", between, ".051", "--"],
        [*big, "fourier 64", size, ".7100", f"{PLUS}.1000", between, ".051", "--"],
        ["one snapshot", "4{,}096", ".8000", *big, f"{MINUS}.0100", between, ".051", over],
    ]


def test_banks_are_not_among_the_rules():
    found = bank_result()
    assert [row[0] for row in parsed(tables.classification(found))[1]] == RAW
    assert [row[:2] for row in parsed(tables.comparisons(found))[1]] == [["wave", "raw ridge"]]


def test_a_result_whose_banks_are_compared_with_nothing_is_left_out():
    found = bank_result()
    alone = result({"alone": BANKS["alone"]}, summary={}, comparisons={})
    assert parsed(tables.bank_comparisons({"this run": alone}))[1] == [["--"] * 10]
    _, rows = parsed(tables.bank_comparisons({"this run": alone, "elsewhere": found}))
    assert len(rows) == 5 and rows[0][0] == r"\emph{elsewhere}"


def published_result(models):
    """Of models given as (dataset, rule, subset, claim, rebuilt, number of draws)."""
    rows, summary, fits = {}, {}, []
    for name, (dataset, rule, subset, claim, rebuilt, n_seeds) in models.items():
        rows[name] = {"dataset": dataset, "rule": rule, "subset": subset}
        rows[name] |= {"width": 32, "height": 24, "steps": 6}
        summary[name] = accuracies(rebuilt, rebuilt - 0.01, rebuilt + 0.01, n_seeds)
        summary[name] |= {"published_accuracy": claim, "rebuilt_accuracy": rebuilt}
        fits += [{"model": name, "n_iter": n, "converged": n < 500} for n in (500, 77)[-n_seeds:]]
        if claim is not None:
            summary[name]["off_by_accuracy"] = rebuilt - claim
    return {"config": {"rows": rows}, "metrics": {"summary": summary, "rows": fits}}


def test_published_accuracies_beside_the_rebuilt_ones_by_data_set():
    here = published_result(
        {
            "a": ("mnist", None, None, 0.9261, 0.9263, 1),
            "b": ("mnist", "life_like", 3000, 0.3475, 0.3, 1),
            "no_claim": ("mnist", "wave", None, None, 0.9, 1),
            "c": ("cifar10", "wave", 10000, 0.243, 0.2431, 1),
        }
    )
    recorded = published_result(
        {
            "a": ("mnist", None, None, 0.9261, 0.9299, 1),  # as often as here: nothing new
            "b": ("mnist", "life_like", 3000, 0.3475, 0.31, 5),  # more draws than here
            "d": ("mnist", "wave", None, 0.9458, 0.9456, 1),  # not run here
        }
    )
    head, rows = parsed(tables.published(here, {"h100": recorded}))
    assert len(head) == 10
    titles = {i: row[0] for i, row in enumerate(rows) if not any(row[1:])}
    assert titles == {0: r"\emph{MNIST}", 5: r"\emph{CIFAR-10, grey}"}
    life = r"life like, 32\,$\times$\,24, 6 steps"
    assert rows[1][:6] == ["raw pixels", "all", "77", ".9261", ".9263", f"{PLUS}.0002"]
    assert rows[1][6:] == ["1", ".9263", "[.9163, .9363]", "this run"]
    wave = life.replace("life like", "wave")
    several = [[row[i] for i in (0, 1, 2, 4, 5, 6, 9)] for row in rows]
    assert several[2] == [life, "3{,}000", "77", ".3000", f"{MINUS}.0475", "1", "this run"]
    stopped = r"500\textsuperscript{*}"  # the first of several fits, which did not converge
    assert several[3] == [life, "3{,}000", stopped, ".3100", f"{MINUS}.0375", "5", "h100"]
    assert several[4] == [wave, "all", "77", ".9456", f"{MINUS}.0002", "1", "h100"]
    assert several[6] == [wave, "10{,}000", "77", ".2431", f"{PLUS}.0001", "1", "this run"]
    assert len(rows) == 7


METHODS = ("wave", "wave_reflect", "distance", "fast_marching", "fast_marching_2")


def test_eikonal_errors_by_case():
    rows = [
        {"case": case, "method": method, "error_analytic": i / 100 + j / 1000}
        for i, case in enumerate(("constant_32", "linear_64"))
        for j, method in enumerate(METHODS)
    ]
    for row in rows:
        row |= {"error_fast_marching": 0.07, "error_analytic_scaled": 0.05}
    cases = {"constant_32": {"published": 0.064}, "linear_64": {"published": None}}
    result = {"config": {"cases": cases}, "metrics": {"rows": rows[::-1]}}
    head, (first, second) = parsed(tables.eikonal(result))
    assert head[0] == "Case" and head[-2:] == ["FMM 1", "FMM 2"]
    assert first[:5] == ["constant 32", ".064", ".0700", ".0000", ".0500"]
    assert first[5:] == [".0010", ".0020", ".0030", ".0040"]
    assert second[:2] == ["linear 64", "--"] and second[3] == ".0100"


def claimed(work, backend, measured_s):
    return {"work": work, "backend": backend, "published_s": 24.154, "measured_s": measured_s}


def test_what_was_not_measured_says_so():
    here = [claimed("wave, 3 x 4", "cpu", 17.276), claimed("wave, 3 x 4", "cuda", None)]
    here += [claimed("life_like", "cuda", None)]
    recorded = [claimed("wave, 3 x 4", "cuda", 5.0), claimed("wave, 3 x 4", "moderngl", 1.0)]
    here, recorded = ({"metrics": {"published": found}} for found in (here, recorded))
    _, rows = parsed(tables.times(here, recorded))
    assert rows == [
        ["wave, 3 x 4", "cpu", "24.15", "17.28", "not rerun"],
        ["", "cuda", "24.15", "not rerun", "5.00"],
        ["life like", "cuda", "24.15", "not rerun", "not rerun"],
    ]


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.001234, "0.00123"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (123.4, "123"),
        (987654.0, "988{,}000"),
    ],
)
def test_three_digits(value, printed):
    assert tabular.three_digits(value) == printed
