"""`python -m pixelflow.experiments`: a config that is wrong ends in words, schema or none."""

import copy
import re
import sys
from pathlib import Path

import pytest
import yaml

from pixelflow import experiments
from pixelflow.experiments import __main__ as command
from pixelflow.experiments import _schema

ROOT = Path(__file__).parents[1]
EIKONAL = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())["eikonal"]
CASE = next(iter(EIKONAL["cases"]))


def changed(path, value):
    """The section with another value at a path."""
    config = {"eikonal": copy.deepcopy(EIKONAL)}
    *parents, last = path
    target = config
    for key in parents:
        target = target[key]
    target[last] = value
    return config


WRONG = {
    "null": (changed(["eikonal"], None), "eikonal: None is not of type 'object'"),
    "a list": (changed(["eikonal"], [1]), r"eikonal: \[1\] is not of type 'object'"),
    "a number": (changed(["eikonal", "cases"], {"a": 3}), "eikonal.cases.a: 3 is not of type"),
    "a word": (
        changed(["eikonal", "cases", CASE, "steps"], "x"),
        f"eikonal.cases.{CASE}.steps: 'x' is not of type 'integer'",
    ),
    "misspelt": (changed(["eikonal", "treshold"], 0.1), "'treshold' was unexpected"),
    "too large": (changed(["eikonal", "threshold"], 2), "threshold: 2 is greater than"),
    "long": (changed(["eikonal", "cases"], list(range(9999))), r"cases: \[0, 1, 2"),
    "mixed keys": (changed(["eikonal", 1], 0), "config.eikonal must have keys .* got 1"),
    "a number's key": (changed(["eikonal", "cases", 1], EIKONAL["cases"][CASE]), "strings, got 1"),
    "not finite": (
        changed(["eikonal", "threshold"], float("nan")),
        "config.eikonal.threshold must be finite, got nan",
    ),
}
WITHOUT_SCHEMA = {  # what is said by the experiments themselves
    "null": "eikonal must be a mapping, got None",
    "a list": r"eikonal must be a mapping, got \[1\]",
    "a number": "config of eikonal is wrong: TypeError",
    "a word": "config of eikonal is wrong: TypeError",
    "misspelt": r"missing or unknown: \['treshold'\]",
    "too large": "threshold must be between 0 and 1, got 2",
    "long": "config of eikonal is wrong: AttributeError",
}


def said(config, folder, monkeypatch, capsys):
    """The exit status and what is printed of a config in YAML."""
    path = folder / "config.yaml"
    text = config if isinstance(config, bytes) else yaml.safe_dump({"seed": 0, **config}).encode()
    path.write_bytes(text)
    arguments = ["x", "eikonal", "--config", str(path), "--out", str(folder / "out.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        command.main()
    assert not (folder / "out.json").exists()
    printed = capsys.readouterr().err
    return (2, printed) if left.value.code == 2 else (1, str(left.value.code))


@pytest.mark.parametrize("kind", WRONG)
def test_the_schema_is_applied(kind, tmp_path, monkeypatch, capsys):
    config, message = WRONG[kind]
    code, printed = said(config, tmp_path, monkeypatch, capsys)
    assert code == 2 and "config.yaml is " in printed
    assert re.search(message, printed) and len(printed) < 2500, printed


@pytest.mark.parametrize("kind", WITHOUT_SCHEMA)
def test_without_the_schema_errors_are_words_too(kind, tmp_path, monkeypatch, capsys):
    for module in (command, experiments):
        monkeypatch.setattr(module, "problems", lambda config, section: None)
    _, printed = said(WRONG[kind][0], tmp_path, monkeypatch, capsys)
    assert re.search(WITHOUT_SCHEMA[kind], printed), printed


@pytest.mark.parametrize("module", ["jsonschema", "yaml"])
def test_a_package_that_is_missing_hides_the_schema(module, monkeypatch):
    assert _schema.problems({"seed": 0}, "eikonal") == [
        "top level: 'eikonal' is a required property"
    ]
    monkeypatch.setitem(sys.modules, module, None)
    assert _schema.problems({"seed": 0}, "eikonal") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"seed: 0\neikonal: &a {threshold: *a}\n", "recursion|nested too deep"),
        (b"seed: 0\neikonal: " + b"[" * 3000 + b"]" * 3000, "recursion|nested too deep"),
        (b"seed: 2020-01-01\neikonal: {}", "config.seed must be a JSON value .*got a date"),
        (b"seed: \xff", "can't decode"),
        (b"seed: [", "is not a config: while parsing"),
        (b"- 1", "must have the keys seed and eikonal"),
    ],
)
def test_what_is_no_config_is_said(text, message, tmp_path, monkeypatch, capsys):
    code, printed = said(text, tmp_path, monkeypatch, capsys)
    assert code == 2 and re.search(f"config.yaml .*({message})", printed)


def test_run_says_what_is_wrong_too_and_keeps_bugs_apart(monkeypatch):
    config = {**WRONG["a number"][0]["eikonal"], "seed": 0}
    with pytest.raises(ValueError, match=r"eikonal\.cases\.a: 3 is not of type 'object'"):
        experiments.run("eikonal", config)
    with pytest.raises(TypeError, match="config must be a mapping, got None"):
        experiments.run("eikonal", None)
    with pytest.raises(ValueError, match=r"missing or unknown: \[1, 'cases'"):
        experiments.run("eikonal", {1: 0})

    def bug(config):
        raise KeyError("ours")

    monkeypatch.setattr("pixelflow.experiments.eikonal.run", bug)
    with pytest.raises(KeyError, match="ours"):
        experiments.run("eikonal", {**EIKONAL, "seed": 0})


def test_too_little_memory_is_said(tmp_path, monkeypatch, capsys):
    def too_much(config):
        raise MemoryError("Unable to allocate 6.94 EiB")

    monkeypatch.setattr("pixelflow.experiments.eikonal.run", too_much)
    code, printed = said({"eikonal": EIKONAL}, tmp_path, monkeypatch, capsys)
    assert code == 1 and printed.startswith("eikonal: not enough memory for this config: Unable")


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_passes(path):
    """Those of recorded devices too, section by section; of the two sizes as a whole."""
    config = yaml.safe_load(path.read_text())
    names = [name for name in config if name in experiments.names()]
    assert names
    for name in names:
        assert command.section(path, name) == {**config[name], "seed": config["seed"]}
    if path.parent.name == "config":
        assert _schema.problems(config) == []
