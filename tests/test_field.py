"""The field's package in a process of its own, and the environment that is made for it."""

import importlib
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from pixelflow import Reservoir, ReservoirConfig
from pixelflow.experiments._speed.field import FieldReservoir
from pixelflow.experiments._speed.process import NotMeasured
from pixelflow.experiments._speed.works import Work

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
baseline = importlib.import_module("baseline")


def inputs(folder, n):
    X = np.random.default_rng(n).random((n, 9)).astype(np.float32)
    np.save(folder / "X.npy", X)
    return X, folder / "X.npy"


SMALL = Work("wave", 12, 4, 1, "random").reservoir


def test_the_fields_package_runs_and_ours_does_not_shadow_it(field, tmp_path):
    X, path = inputs(tmp_path, 12)
    with FieldReservoir(SMALL, "cpu", path, few=5, whole=True) as reservoir:
        expected = np.repeat(X[:5].sum(1, keepdims=True), 64, axis=1)
        assert np.array_equal(reservoir.features, expected)
        assert reservoir.versions["pixelflow-rc"] == "0.3.0"
        assert reservoir.renderer == f"NumPy {np.__version__} on 1 thread"
        assert 0 < reservoir.seconds() < 60
        process = reservoir.process
    assert process.returncode is not None


@pytest.mark.parametrize("whole", [True, False])
def test_a_process_that_ends_says_how(field, tmp_path, whole):
    _, path = inputs(tmp_path, 13)
    with pytest.raises(NotMeasured, match="ended with code 3: Killed: out of memory"):
        with FieldReservoir(SMALL, "cpu", path, few=5, whole=whole) as reservoir:
            assert not whole
            reservoir.seconds()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "PIXELFLOW_RC_PYTHON names no interpreter"),
        ("/nowhere/python", "/nowhere/python: No such file"),
        (sys.executable, "pixelflow-rc"),  # it has a `pixelflow`: ours, which must not be timed
        ("/bin/false", "ended with code 1: it printed nothing"),
    ],
)
def test_what_is_missing_is_said(monkeypatch, tmp_path, python, message):
    monkeypatch.delenv("PIXELFLOW_RC_PYTHON", raising=False)
    if python:
        monkeypatch.setenv("PIXELFLOW_RC_PYTHON", python)
    _, path = inputs(tmp_path, 12)
    with pytest.raises(NotMeasured, match=message):
        FieldReservoir(SMALL, "cpu", path, few=5, whole=False)


def test_a_package_of_that_name_elsewhere_is_not_the_fields(field, tmp_path):
    """An environment that has both: what is imported must be the distribution's own."""
    (site,) = field.glob("lib/python*/site-packages")
    (site / "pixelflow").rename(site / "moved")
    (site / "ours.pth").write_text(str(ROOT))
    try:
        _, path = inputs(tmp_path, 12)
        with pytest.raises(NotMeasured, match=r"pixelflow is .*, not .*site-packages/pixelflow"):
            FieldReservoir(SMALL, "cpu", path, few=5, whole=False)
    finally:
        (site / "ours.pth").unlink()
        (site / "moved").rename(site / "pixelflow")


real = os.environ.get("PIXELFLOW_RC_PYTHON") or baseline.default_folder() / "bin" / "python"


@pytest.mark.skipif(not Path(real).exists(), reason="the field's package is not installed here")
@pytest.mark.parametrize("rule", ["wave", "diffusion_reaction"])
def test_both_packages_compute_the_same(monkeypatch, tmp_path, rule):
    """Besides tests/golden, which stands for the field's package where it can't be had."""
    monkeypatch.setenv("PIXELFLOW_RC_PYTHON", str(real))
    X, path = inputs(tmp_path, 6)
    config = Work(rule, 6, 16, 8, "random").reservoir
    with FieldReservoir(config, "cpu", path, few=6, whole=False) as reservoir:
        ours = Reservoir(ReservoirConfig(**config), backend="numba").transform(X)
        assert np.abs(reservoir.features - ours).max() <= 1e-6


# -- its environment ---------------------------------------------------------------------------

FAKE_PYTHON = """#!/bin/sh
# Stands for python and, copied, for the environment's: fails to install where `broken` exists.
here=$(dirname "$0")
echo "$*" >> {log}
for last; do :; done
case "$*" in *" -r "*) cat "$last" >> {log} ;; esac
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *" install "*) test ! -e {broken} || {{ echo "ERROR: no such package" >&2; exit 1; }} ;;
    "-I -c "*) echo "pixelflow-rc 0.3.0" ;;
esac
"""


@pytest.fixture
def python(tmp_path):
    path = tmp_path / "python"
    path.write_text(FAKE_PYTHON.format(log=tmp_path / "log", broken=tmp_path / "broken"))
    path.chmod(0o755)
    return path


def test_the_environment_is_made_once_and_whole(python, tmp_path):
    """One that was cut short is not taken for whole; of a broken one nothing stays."""
    folder = tmp_path / "made" / "baseline"
    (tmp_path / "broken").touch()
    with pytest.raises(baseline.NoBaselineError, match=r"^ERROR: no such package$"):
        baseline.environment(folder, str(python))
    assert not folder.exists()
    (tmp_path / "broken").unlink()
    leftover = folder.with_name("baseline.part") / "leftover"
    leftover.touch()
    assert baseline.environment(folder, str(python)) == folder / "bin" / "python"
    assert sorted(path.name for path in folder.iterdir()) == ["bin"]
    commands = (tmp_path / "log").read_text()
    assert "--require-hashes" in commands and f"numpy=={np.__version__}" in commands
    assert "pixelflow-rc==0.3.0 --hash=sha256:a030465932541b30" in commands
    baseline.environment(folder, str(python))
    assert (tmp_path / "log").read_text() == commands


def test_the_environment_holds_what_is_here_by_its_hashes(monkeypatch):
    """All that pixelflow-rc and scikit-learn import; what the lock doesn't know apart."""
    hashed, unknown = baseline.requirements()
    entries = re.findall(r"^([a-z-]+)==([\w.]+)", hashed, re.MULTILINE)
    here = {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "tqdm", "joblib")}
    assert {**dict(entries), **here, "pixelflow-rc": "0.3.0"} == dict(entries)
    assert unknown == [] and hashed.count("--hash=sha256:") > len(entries)

    def other(name):
        return "1.2.3" if name == "scipy" else version(name)

    monkeypatch.setattr(baseline, "version", other)
    hashed, unknown = baseline.requirements()
    assert unknown == ["scipy==1.2.3"] and "scipy==" not in hashed and "numpy==" in hashed


def test_libraries_that_the_lock_does_not_know_are_asked_for_apart(python, tmp_path, monkeypatch):
    monkeypatch.setattr(baseline, "version", lambda name: "1.2.3")
    baseline.environment(tmp_path / "baseline", str(python))
    asked = [line for line in (tmp_path / "log").read_text().splitlines() if " install " in line]
    assert len(asked) == 2 and "--require-hashes" in asked[0] and "numpy==1.2.3" in asked[1]
    assert all("--no-deps" in line and "pixelflow-rc" not in line for line in asked)


def test_the_file_names_the_interpreter_or_says_why_not(python, tmp_path, monkeypatch):
    out = tmp_path / "baseline.txt"
    monkeypatch.setattr(sys, "argv", ["baseline.py", str(out), "--date", "2001-02-03"])
    monkeypatch.setenv("PIXELFLOW_RC_PYTHON", str(python))
    baseline.main()
    assert out.read_text() == f"{python}\npixelflow-rc 0.3.0\n2001-02-03\n"
    monkeypatch.setenv("PIXELFLOW_RC_PYTHON", "/nowhere/python")
    baseline.main()
    interpreter, why, date = out.read_text().splitlines()
    assert interpreter == "" and date == "2001-02-03"
    assert why.startswith("not measured: ") and "/nowhere/python" in why
