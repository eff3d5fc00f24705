"""Verification: which number passes, what a failure prints and leaves, and what is expected."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from pixelflow import experiments, results
from pixelflow.experiments.eikonal import MARCHED
from pixelflow.tasks import fetch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
verify = importlib.import_module("verify")
EXPECTED = json.loads((ROOT / "paper" / "expected.json").read_text())

CLASSIFIED = ("mnist", "fashion_mnist", "cifar10")
CONFIG = {"seed": 0, "mnist": {"subset": 5}}
RESULT = {
    "rows": [{"model": "wave", "D": 4, "accuracy": 0.9281}],
    "summary": {"raw_ridge": {"mean_accuracy": 0.9}},
    "dirty": True,
    "names": ["a"],
    "none": None,
}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Verify a small result against expected numbers; returns the exit status and what is said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "paper").mkdir()
    (tmp_path / "config" / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    results.save("mnist.json", results.wrap("mnist", {"subset": 5, "seed": 0}, RESULT))

    def verified(expected, *options, config=CONFIG):
        verify.EXPECTED.write_text(json.dumps({"config/tiny.yaml": expected, "config/no.yaml": {}}))
        given = ["verify.py", "mnist.json", "--config", json.dumps(config), "--out", "out.txt"]
        monkeypatch.setattr(sys, "argv", [*given, *options])
        status = None
        try:
            verify.main()
        except SystemExit as stop:
            status = stop.code
        return status, capsys.readouterr().out

    return verified


def entry(value, tolerance=0.001, **more):
    return {"value": value, "tolerance": tolerance, **more}


def test_numbers_within_their_tolerance_pass(run):
    """Exactly at the tolerance, too: 0.25 is one of the numbers that binary has."""
    expected = {
        "mnist.wave.accuracy": entry(0.9285),
        "mnist.wave.D": entry(4.25, 0.25),
        "mnist.summary.raw_ridge.mean_accuracy": entry(0.9, 0),
    }
    status, said = run(expected)
    assert status is None and Path("out.txt").read_text() == said
    assert said.count(" ok\n") == 3 and "3 of 3 numbers as expected" in said


@pytest.mark.parametrize("value", [0.9270, 0.9292, 1.9281, -0.9281])
def test_a_number_out_of_tolerance_fails_and_leaves_no_file(run, value):
    expected = {"mnist.wave.accuracy": entry(value), "mnist.wave.D": entry(4)}
    status, said = run(expected)
    assert "are not as expected" in status  # what sys.exit prints; the status is 1
    assert not Path("out.txt").exists()
    last, count = said.splitlines()[-2:]
    assert last.startswith("mnist.wave.accuracy") and last.endswith("DIFFERS")
    assert said.count("DIFFERS") == 1 and count == "1 of 2 numbers as expected"


@pytest.mark.parametrize("key", ["mnist.wave.error", "cifar10.wave.D", "mnist.dirty", "mnist.none"])
def test_a_number_that_is_not_there_fails(run, key):
    status, said = run({key: entry(1, 100)})
    assert status and "absent" in said and not Path("out.txt").exists()


def test_a_config_that_is_not_known_has_nothing_to_compare(run):
    status, said = run({"mnist.wave.D": entry(5)}, config={**CONFIG, "seed": 1})
    assert status is None and "has no numbers for this config" in said
    assert Path("out.txt").read_text() == said


def test_recording_takes_what_is_not_fixed(run):
    fixed = {"mnist.wave.D": entry(4.5, 1, fixed=True)}
    status, _ = run({"mnist.wave.accuracy": entry(0.1), **fixed}, "--record")
    now = json.loads(verify.EXPECTED.read_text())
    assert status is None
    assert now == {
        "config/tiny.yaml": {"mnist.wave.accuracy": entry(0.9281), **fixed},
        "config/no.yaml": {},
    }


def test_recording_does_not_let_a_fixed_number_pass(run):
    expected = {"mnist.wave.D": entry(5, 0.5, fixed=True)}
    status, said = run(expected, "--record")
    assert status and "DIFFERS" in said
    assert json.loads(verify.EXPECTED.read_text())["config/tiny.yaml"] == expected


def test_an_absent_number_is_not_recorded(run):
    """It keeps its value and fails, as it does without recording."""
    expected = {"mnist.gone": entry(0.5), "mnist.wave.D": entry(3)}
    status, said = run(expected, "--record")
    assert status and "absent" in said
    now = json.loads(verify.EXPECTED.read_text())["config/tiny.yaml"]
    assert now == {"mnist.gone": entry(0.5), "mnist.wave.D": entry(4)}


# -- banks among the seeds that were recorded ---------------------------------------------------

SEEDS = [0.983, 0.99, 0.985, 0.981, 0.986]
RECORDED = Path("results/recorded/h100/mnist.json")


def save_banked(path, name, accuracies, bank=None, config=None, data=None, first=0):
    """A result of one bank, a seed each, and of the same without steps, .01 below."""
    made = {"reservoirs": [{"members": 2}], "augment": None, "images": "grey", "n_train": None}
    made |= {"tier": "random", "seeds": list(range(first, first + len(accuracies)))}
    made |= bank or {}
    rows = [
        {"model": f"{name}{end}", "seed": seed, "accuracy": accuracy - below}
        for end, below in (("", 0), ("_zero_steps", 0.01))
        for seed, accuracy in enumerate(accuracies, first)
    ]
    config = {"seed": 0, "subset": None, "banks": {name: made}, **(config or {})}
    results.save(path, results.wrap("mnist", config, {"rows": rows}, data=data))


@pytest.mark.parametrize(("beyond", "passes"), [(-1e-6, True), (1e-6, False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_bank_is_where_one_more_seed_would_be(run, beyond, passes, side):
    half = stats.t.ppf(0.975, 4) * np.std(SEEDS, ddof=1) * np.sqrt(1 + 1 / 5)
    save_banked("mnist.json", "energy", [np.mean(SEEDS) + side * (half + beyond)])
    save_banked(RECORDED, "energy_96", SEEDS, first=1)
    status, said = run({}, "--recorded", str(RECORDED))
    assert (status is None) == passes == Path("out.txt").exists()
    assert said.count(" ok\n" if passes else " DIFFERS\n") == 2
    assert "mnist.energy, seed 0, among h100's seeds " in said
    assert "mnist.energy_zero_steps, seed 0, among h100's seeds " in said


@pytest.mark.parametrize(("off", "passes"), [(0.0019, True), (0.0021, False)])
def test_a_seed_that_was_recorded_is_the_same_again(run, off, passes):
    """However far apart the seeds are."""
    save_banked("mnist.json", "energy", [SEEDS[2] + off], first=2)
    save_banked(RECORDED, "energy_96", SEEDS)
    status, said = run({}, "--recorded", str(RECORDED))
    assert (status is None) == passes
    assert "mnist.energy, seed 2, as on h100 " in said


@pytest.mark.parametrize(
    "change",
    [
        {"bank": {"reservoirs": [{"members": 3}]}},
        {"bank": {"augment": {"flip": True}}},
        {"bank": {"images": "rgb"}},
        {"bank": {"n_train": 100}},
        {"config": {"seed": 1}},
        {"config": {"subset": 100}},
        {"data": {"t10k-images": "1f"}},
        {"accuracies": [0.9]},
    ],
    ids=str,
)
def test_a_bank_that_was_not_recorded_over_seeds_has_nothing_to_compare(run, change):
    save_banked("mnist.json", "energy", [0.5])
    save_banked(RECORDED, "energy", **{"accuracies": SEEDS, **change})
    status, said = run({}, "--recorded", str(RECORDED))
    assert status is None and "0 of 0 numbers as expected" in said


def test_every_bank_of_the_paper_was_recorded_and_what_is_expected_is_among_its_seeds(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(ROOT)
    paper = yaml.safe_load(Path("config/paper.yaml").read_text())
    recorded = sorted(Path("results/recorded").glob("*/*.json"))
    expected, names = EXPECTED["config/paper.yaml"], []
    for name in CLASSIFIED:
        banks = paper[name]["banks"]
        rows = [
            {"model": model, "seed": banks[bank]["seeds"][0], "accuracy": entry["value"]}
            for bank in banks
            for model in (bank, f"{bank}_zero_steps")
            for entry in [expected[f"{name}.summary.{model}.mean_accuracy"]]
        ]
        names += [f"{name}.{row['model']}" for row in rows]
        config = {**paper[name], "seed": paper["seed"]}
        made = results.wrap(name, config, {"rows": rows}, data=fetch.checksums(name))
        results.save(tmp_path / f"{name}.json", made)
    found = verify.among_seeds([tmp_path / f"{name}.json" for name in CLASSIFIED], recorded)
    assert [check.key.partition(",")[0] for check in found] == names
    assert all(check.passed for check in found)


# -- paper/expected.json -----------------------------------------------------------------------


def classified(name, config):
    """The models of a classification's summary: random features once for each D."""
    first, rules = {}, config.get("models", {})
    for model, entry in rules.items():
        first.setdefault(entry["width"] * entry["height"] * len(entry["channels"]), model)
    models = ["raw_ridge", *(["raw_rgb_ridge"] if name == "cifar10" else [])]
    models += [f"{model}{end}" for model in rules for end in ("", "_zero_steps")]
    models += [f"{m}_unclipped" for m, entry in rules.items() if entry["rule"] == "wave"]
    models += config["banks"]
    models += [f"{m}_zero_steps" for m, entry in config["banks"].items() if entry["zero_steps"]]
    models += [f"random_features_as_{model}" for model in first.values()]
    models += config["baselines"]
    keys = ("mean_accuracy", "low_accuracy", "high_accuracy")
    return {f"{name}.summary.{model}.{key}" for model in models for key in keys}


def rebuilt(config):
    found = set()
    for model, row in config["rows"].items():
        keys = ["rebuilt_accuracy", "mean_accuracy", "non_affine"]
        keys += ["off_by_accuracy"] if row["published"] is not None else []
        found |= {f"published.summary.{model}.{key}" for key in keys}
    return found


def marched(config):
    methods = ("wave", "wave_reflect", "city_block", "distance", *MARCHED)
    rows = [f"eikonal.{case}_{method}" for case in config["cases"] for method in methods]
    return {f"{row}.{key}" for row in rows for key in ("error_analytic", "error_fast_marching")}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_what_is_expected_can_come_of_its_config(name):
    config = yaml.safe_load((ROOT / name).read_text())
    can_come = rebuilt(config["published"]) | marched(config["eikonal"])
    can_come = can_come.union(*(classified(name, config[name]) for name in CLASSIFIED))
    assert EXPECTED[name].keys() <= can_come
    assert {key.partition(".")[0] for key in EXPECTED[name]} <= set(experiments.names())
    for key, expected in EXPECTED[name].items():
        assert expected.keys() <= {"value", "tolerance", "fixed"}, key
        assert 0 < expected["tolerance"] <= 0.05, key


@pytest.mark.parametrize("name", list(EXPECTED))
def test_every_accuracy_and_error_of_the_paper_is_expected(name):
    """So a model or case that is added to the config is verified too."""
    config = yaml.safe_load((ROOT / name).read_text())
    keys = EXPECTED[name].keys()
    for experiment in CLASSIFIED:
        means = classified(experiment, config[experiment])
        assert {key for key in means if key.endswith("mean_accuracy")} <= keys
    assert {key for key in rebuilt(config["published"]) if "rebuilt" in key} <= keys
    for case in config["eikonal"]["cases"]:
        assert f"eikonal.{case}_wave.error_analytic" in keys


def test_how_near_to_what_was_published_is_fixed():
    """Zero off, not what came last time; and the field's errors are given to its own digits."""
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    expected = EXPECTED["config/paper.yaml"]
    for name, row in config["published"]["rows"].items():
        if row["published"] is not None:
            near = expected[f"published.summary.{name}.off_by_accuracy"]
            assert near["fixed"] and near["value"] == 0
    for name, case in config["eikonal"]["cases"].items():
        if case["published"] is not None:
            near = expected[f"eikonal.{name}_wave.error_fast_marching"]
            assert near["fixed"] and round(near["value"], 3) == case["published"]


def test_the_configs_are_found_by_their_content(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in EXPECTED:
        config = yaml.safe_load((ROOT / name).read_text())
        assert verify.known_config(EXPECTED, config) == name
        assert verify.known_config(EXPECTED, {**config, "seed": 99}) is None
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "paper.yaml").unlink()
    assert verify.known_config(EXPECTED, config) == name, "a file that isn't there is passed over"
