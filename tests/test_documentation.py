"""What the documentation shows: listings that run as printed, and the docstrings' examples."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pixelflow
from pixelflow import Reservoir, ReservoirConfig, RidgeReadout
from pixelflow.tasks.synthetic import two_moons

ROOT = Path(__file__).parents[1]
MODULES = [m.name for m in pkgutil.walk_packages(pixelflow.__path__, "pixelflow.")]


def test_the_readmes_listings_are_the_examples_and_print_what_it_says(tmp_path):
    listings = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = ("quickstart", "classifier", "custom_rule", "rule_with_weights", "states_and_sequences")
    files = [ROOT / "examples" / f"{name}.py" for name in names]
    assert listings == [path.read_text() for path in files]
    options = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    quick, classifier, custom, weights, sequences = (
        subprocess.run([sys.executable, path], **options).stdout for path in files
    )
    assert float(classifier.removeprefix("accuracy: ")) >= 0.91
    assert float(weights.removeprefix("accuracy: ")) >= 0.96
    rest, recalled = sequences.splitlines()
    assert rest.startswith("at rest after [") and float(recalled.split()[-1]) >= 0.97
    assert float(quick.removeprefix("accuracy: ")) >= 0.95
    assert not re.findall("@[A-Z0-9_]+@", (ROOT / "README.md").read_text())
    backends, *shapes = zip(*(line.split(" ", 1) for line in custom.splitlines()), strict=True)
    assert {"cpu", "numba", "moderngl"} <= set(backends) and len(set(shapes[0])) == 1


def test_no_target_follows_a_configfile_in_what_is_to_be_typed():
    """Snakemake takes every name behind --configfile for one more."""
    shown = [ROOT / name for name in ("README.md", "Makefile", "config/smoke.yaml")]
    found = re.findall(r"--configfile (.*?)[`'\n]", "".join(path.read_text() for path in shown))
    assert len(found) >= 3 and set(found) == {"config/smoke.yaml"}


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith("__main__")])
def test_the_docstrings_examples(name, registry, tmp_path, monkeypatch):
    """Each on its own, as a reader would type it."""
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name), globs={}).failed == 0


def test_two_moons_over_five_seeds():
    """The quickstart's model never falls below .94 (the field's package: .635)."""
    for seed in range(5):
        config = ReservoirConfig(width=32, height=32, steps=8, input_encoding="project", seed=seed)
        reservoir = Reservoir(config, backend="cpu")
        X, y = two_moons(n=500, noise=0.2, seed=2 * seed)
        readout = RidgeReadout(alpha=1.0).fit(reservoir.transform(X), y)
        X, y = two_moons(n=200, noise=0.2, seed=2 * seed + 1)
        assert readout.score(reservoir.transform(X), y) >= 0.94
