"""Results to LaTeX: names, formats, and no number in the paper that isn't a macro."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from pixelflow import results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
macros = importlib.import_module("macros")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("mnist", "wave", "accuracy"), "MnistWaveAccuracy"),
        (("mnist", "life_like0", "n_test"), "MnistLifeLikeZeroNTest"),
        (("mnist", "provenance", "versions", "scikit-learn"), "MnistProvenanceVersionsScikitLearn"),
        (("mnist", "x10", "D"), "MnistXOneZeroD"),
    ],
)
def test_macro_names(path, name):
    assert macros.macro_name(path) == name


@pytest.mark.parametrize(
    ("key", "value", "printed"),
    [
        ("accuracy", 0.928, ".9280"),
        ("accuracy", 1.0, "1.0000"),
        ("fit_s", 12.345, "12.3"),
        ("n_test", 10000, "10{,}000"),
        ("C", 0.00001, r"\ensuremath{1\times 10^{-5}}"),
        ("C", 0.25, "0.25"),
        ("model", "raw_ridge & 5%", r"raw\_ridge \& 5\%"),
        ("commit", "0123456789abcdef", "0123456789"),
        ("dirty", True, "yes"),
        ("gpu", None, "--"),
        ("mean_accuracy", 0.92806, ".9281"),
        ("difference_accuracy", 0.0121, r"\ensuremath{+}.0121"),
        ("difference_accuracy", -0.0121, r"\ensuremath{-}.0121"),
        ("off_by_accuracy", 0.00004, ".0000"),
        ("off_by_accuracy", -0.00004, ".0000"),
        ("low_accuracy", -0.5, r"\ensuremath{-}.5000"),
        ("accuracy", 0.99996, "1.0000"),
        ("p", 0.04321, ".043"),
        ("p_holm", 1.0, "1"),
        ("p_holm", 0.0001, ".0001"),
        ("p", 0.00009999, r"\ensuremath{<}.0001"),
        ("p", 0.0, r"\ensuremath{<}.0001"),
        ("path", "a~b^c", r"a\textasciitilde{}b\textasciicircum{}c"),
        ("sources_sha256", "f" * 64, "f" * 10),
    ],
)
def test_how_values_are_printed(key, value, printed):
    assert macros.text(key, value) == printed


@pytest.mark.parametrize("p", [0.9999, 0.5, 0.01, 0.00123, 0.00010001])
def test_a_probability_is_read_back_with_two_digits(p):
    printed = macros.probability(p)
    assert not printed.startswith("0") and "e" not in printed
    assert float(printed) == pytest.approx(p, rel=0.05)


def result(**metrics):
    config = {"subset": 5, "seed": 0}
    return {
        "experiment": "mnist",
        "config": config,
        "metrics": metrics,
        "provenance": {"a": [1, 2]},
    }


def test_macros_of_a_result():
    found = macros.macros(result(rows=[{"model": "wave", "D": 4}], n_train=7, more=[[1], [2]]))
    assert found == {
        "MnistWaveModel": "wave",
        "MnistWaveD": "4",
        "MnistNTrain": "7",
        "MnistMoreZero": "1",
        "MnistMoreOne": "2",
        "MnistConfigSubset": "5",
        "MnistConfigSeed": "0",
        "MnistProvenanceA": "1, 2",
    }


def test_leaves_are_the_values_themselves():
    """Verification compares them, so nothing is rounded or made text of."""
    value = {"a": {"b": 1 / 3}, "c": [1, 2], "d": None, "rows": [{"model": "wave", "p": 1e-300}]}
    assert dict(macros.leaves(("mnist",), value)) == {
        ("mnist", "a", "b"): 1 / 3,
        ("mnist", "c"): [1, 2],
        ("mnist", "d"): None,
        ("mnist", "wave", "model"): "wave",
        ("mnist", "wave", "p"): 1e-300,
    }


def test_a_model_of_several_rows_has_the_seed_in_its_name():
    rows = [
        {"model": "wave", "seed": 0, "D": 4},
        {"model": "random", "seed": 0, "D": 5},
        {"model": "random", "seed": 7, "D": 6},
    ]
    found = macros.macros(result(rows=rows))
    numbers = {name: value for name, value in found.items() if name.endswith("D")}
    assert numbers == {
        "MnistWaveD": "4",
        "MnistRandomSeedZeroD": "5",
        "MnistRandomSeedSevenD": "6",
    }


def test_two_rows_of_one_model_and_seed_are_refused():
    row = {"model": "wave", "seed": 0, "D": 4}
    with pytest.raises(ValueError, match="MnistWaveSeedZero"):
        macros.macros(result(rows=[row, row]))


def test_two_values_of_one_name_are_refused():
    with pytest.raises(ValueError, match="MnistAB"):
        macros.macros(result(a_b=1, a={"b": 2}))


def test_a_result_of_another_config_is_refused():
    macros.check_config(Path("r.json"), result(), {"seed": 0, "mnist": {"subset": 5}})
    with pytest.raises(ValueError, match=r"r\.json .*\(it differs in: seed, subset\)"):
        macros.check_config(Path("r.json"), result(), {"seed": 1, "mnist": {"subset": None}})


def test_results_of_here_and_recorded_ones_in_one_file(tmp_path, monkeypatch):
    """A recorded result has a prefix, and its config is its own."""
    here = tmp_path / "results" / "mnist.json"
    there = tmp_path / "results" / "recorded" / "h100" / "mnist.json"
    results.save(here, results.wrap("mnist", {"subset": 5, "seed": 0}, {"n_train": 5}))
    results.save(there, results.wrap("mnist", {"subset": None, "seed": 3}, {"n_train": 60000}))
    out = tmp_path / "macros.tex"

    def run(config):
        arguments = [str(here), str(there), "--config", json.dumps(config), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["macros.py", *arguments])
        macros.main()

    with pytest.raises(ValueError, match=r"mnist\.json .*\(it differs in: subset\)"):
        run({"seed": 0, "mnist": {"subset": 6}})
    assert not out.exists()
    run({"seed": 0, "mnist": {"subset": 5}, "another": {}})
    lines = out.read_text().splitlines()
    assert lines[0].startswith("%") and lines[1:] == sorted(lines[1:])
    assert r"\newcommand{\MnistNTrain}{5}" in lines
    assert r"\newcommand{\RecordedHOneZeroZeroMnistNTrain}{60{,}000}" in lines
    assert r"\newcommand{\RecordedHOneZeroZeroMnistConfigSubset}{--}" in lines
    assert all(re.fullmatch(r"\\newcommand\{\\[A-Za-z]+\}\{.+\}", line) for line in lines[1:])


def test_every_recorded_result_has_macros():
    paths = [*(ROOT / "results" / "recorded").glob("*/*.json")]
    assert paths
    for path in paths:
        found = macros.macros(results.read(path), ("recorded", macros.device(path)))
        assert found and all(name.startswith("Recorded") and value for name, value in found.items())


def test_the_paper_has_no_number_of_its_own():
    """Every decimal in the text is a macro; only lengths are written out."""
    length = r"\d*\.\d+\s*(\\(text|line|column)(width|height)|\\baselineskip|pt|em|ex|cm|mm|in)\b"
    layout = r"\\renewcommand\{\\\w+fraction\}\{[\d.]+\}"  # how much of a page figures may take
    papers = list((ROOT / "paper").glob("*.tex"))
    assert papers
    for paper in papers:
        for number, line in enumerate(paper.read_text().splitlines(), 1):
            code = re.sub(f"{length}|{layout}", "", re.sub(r"(?<!\\)%.*", "", line))
            assert not re.search(r"\d*\.\d+", code), f"{paper.name}:{number}: {line}"
