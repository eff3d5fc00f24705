"""Results to LaTeX: names, formats, and no number in the paper that isn't a macro."""

import importlib
import re
import sys
from pathlib import Path

import pytest

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
    ],
)
def test_how_values_are_printed(key, value, printed):
    assert macros.text(key, value) == printed


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


def test_two_values_of_one_name_are_refused():
    with pytest.raises(ValueError, match="MnistAB"):
        macros.macros(result(a_b=1, a={"b": 2}))


def test_a_result_of_another_config_is_refused():
    macros.check_config(Path("r.json"), result(), {"seed": 0, "mnist": {"subset": 5}})
    with pytest.raises(ValueError, match=r"r\.json .*\(it differs in: seed, subset\)"):
        macros.check_config(Path("r.json"), result(), {"seed": 1, "mnist": {"subset": None}})


def test_the_paper_has_no_number_of_its_own():
    """Every decimal in the text is a macro; only lengths are written out."""
    length = r"\d*\.\d+\s*(\\(text|line|column)(width|height)|\\baselineskip|pt|em|ex|cm|mm|in)\b"
    papers = list((ROOT / "paper").glob("*.tex"))
    assert papers
    for paper in papers:
        for number, line in enumerate(paper.read_text().splitlines(), 1):
            code = re.sub(length, "", re.sub(r"(?<!\\)%.*", "", line))
            assert not re.search(r"\d*\.\d+", code), f"{paper.name}:{number}: {line}"
