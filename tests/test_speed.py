"""The timings: the clock, fair turns, rows that say what they are, the field's package."""

import importlib
import itertools
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pixelflow import Reservoir, ReservoirConfig, plotting, results, timing
from pixelflow.experiments import speed
from pixelflow.experiments._contest import Work, all_works, contenders
from pixelflow.experiments._field import FieldReservoir, NotMeasured

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
baseline = importlib.import_module("baseline")
PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())["speed"]


# -- the clock ---------------------------------------------------------------------------------


class Clock:
    """A clock that only what is timed moves on."""

    def __init__(self):
        self.now, self.events = 100.0, []

    def __call__(self):
        self.events.append("clock")
        return self.now

    def work(self, seconds=0.0, name="work"):
        self.events.append(name)
        self.now += seconds


def test_one_call_is_timed_between_two_synchronisations():
    """What the device still had to do before is not in the time; what the call started is."""
    clock = Clock()
    waits = iter([5.0, 0.25])
    took = timing.seconds(
        lambda: clock.work(0.5), lambda: clock.work(next(waits), "synchronise"), clock
    )
    assert took == 0.75
    assert clock.events == ["synchronise", "clock", "work", "synchronise", "clock"]


def test_the_warm_up_is_not_timed():
    clock = Clock()
    takes = iter([9.0, 7.0, 0.003, 0.001, 0.002, 0.010])
    measured = timing.measure(lambda: clock.work(next(takes)), 4, warm_up=2, clock=clock)
    assert measured == pytest.approx((2.5, 1.75, 4.75, 4))
    assert next(takes, None) is None


def test_quartiles_are_those_of_the_standard_library():
    times = list(np.random.default_rng(0).random(11))
    q25, median, q75 = (1e3 * q for q in statistics.quantiles(times, n=4, method="inclusive"))
    assert timing.summary(times) == pytest.approx((median, q25, q75, 11))
    with pytest.raises(ValueError, match="no times"):
        timing.summary([])


def test_contenders_take_turns():
    order = []
    times = {"a": iter([1.0, 2.0, 3.0]), "b": iter([5.0])}

    def timed(name):
        return lambda: (order.append(name), next(times[name]))[1]

    found = timing.in_turn({"a": timed("a"), "b": timed("b")}, {"a": 3, "b": 1})
    assert "".join(order) == "abaa"
    assert found["a"] == timing.Timing(2000, 1500, 2500, 3)
    assert found["b"] == timing.Timing(5000, 5000, 5000, 1)
    assert timing.in_turn({}, {}) == {}


@pytest.mark.parametrize("threads", [1, 3])
def test_copying_counts_bytes_read_and_written(monkeypatch, threads):
    copied = []
    copyto = np.copyto
    monkeypatch.setattr(np, "copyto", lambda to, a: (copyto(to, a), copied.append(to.nbytes)))
    ticks = itertools.count(0, 0.5)
    assert timing.copy_GBps(10**6, threads, 4, lambda: next(ticks)) == pytest.approx(0.004)
    assert sum(copied) == 5 * 10**6 and len(copied) == 5 * threads  # a warm-up, and four


def test_the_timing_module_needs_nothing_of_the_package():
    code = f"import runpy, sys; runpy.run_path({timing.__file__!r}); "
    code += "sys.exit('pixelflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", code]).returncode == 0


# -- the field's package -----------------------------------------------------------------------

FAKE = '''
"""Stands for the field's package: its features are the inputs' sums; 13 inputs are too many."""
import os, sys
from dataclasses import dataclass
import numpy as np

@dataclass
class ReservoirConfig:
    width: int
    height: int
    channels: int
    steps: int
    rule: str
    input_encoding: str

class Reservoir:
    def __init__(self, config, backend):
        self.size = config.width * config.height * config.channels

    def transform(self, X):
        print("not an answer")
        if len(X) == 13:
            print("Killed: out of memory", file=sys.stderr)
            sys.stderr.flush()
            os._exit(3)
        return np.repeat(X.sum(1, keepdims=True), self.size, axis=1)
'''


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """An environment whose `pixelflow` is the fake one, and which sees our NumPy."""
    folder = tmp_path_factory.mktemp("field") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "pixelflow").mkdir()
    (site / "pixelflow" / "__init__.py").write_text(FAKE)
    (site / "pixelflow_rc-0.3.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: pixelflow-rc\nVersion: 0.3.0\n"
    (site / "pixelflow_rc-0.3.0.dist-info" / "METADATA").write_text(metadata)
    (site / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    return folder


@pytest.fixture
def field(environment, monkeypatch):
    """That environment as the field's, with our package on PYTHONPATH as the workflow has it."""
    monkeypatch.setenv("PIXELFLOW_RC_PYTHON", str(environment / "bin" / "python"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return environment


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
        process = reservoir._process
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


# -- the experiment ----------------------------------------------------------------------------

ROUNDS = {"pixelflow-rc": {"cpu": 2, "cuda": 1}, "pixelflow": {"cpu": 3, "numba": 1}}
CONFIG = {
    "copy_mib": 1,
    "random": {"seed": 42, "columns": 9},
    "works": {
        "first": {
            **{"rule": "wave", "n": 12, "side": 4, "steps": 2, "inputs": "random"},
            "rounds": ROUNDS,
            "published": {"cpu": 5.0, "moderngl": 25.95, "cuda": 0.28},
        },
        "crashes": {
            **{"rule": "diffusion_reaction", "n": 13, "side": 4, "steps": 2, "inputs": "random"},
            "rounds": {"pixelflow-rc": {"cpu": 1}, "pixelflow": {"cpu": 1}},
            "published": {"cpu": 2.13},
        },
    },
    "by_n": {
        "rule": "wave",
        "steps": 2,
        "points": [{"n": 2, "side": 6}, {"n": 20, "side": 6}],
        "rounds": ROUNDS,
        "field_n_max": 2,
    },
    "by_grid": {
        "rule": "wave",
        "steps": 2,
        "points": [{"n": 2, "side": 5}],
        "rounds": {"pixelflow-rc": {}, "pixelflow": {"cpu": 2}},
        "field_n_max": 2,
    },
}
ROW = ["work", "system", "backend", "renderer", "median_ms", "q25_ms", "q75_ms", "n", "transfers"]


def test_every_contender_has_its_row(field):
    metrics = speed.run(CONFIG)
    rows = {(row["work"], row["system"], row["backend"]): row for row in metrics["rows"]}
    assert all(sorted(row) == sorted(ROW) and row["transfers"] is True for row in rows.values())
    expected = {(work.name, *c) for work, r in all_works(CONFIG) for c in contenders(r)}
    assert set(rows) == expected and len(metrics["rows"]) == 4 + 2 + 4 + 2 + 1
    name = "wave, 12 x 4x4x4, 2 steps"
    ran = {backend: rows[name, "pixelflow-rc", backend] for backend in ("cpu", "cuda")}
    assert ran["cpu"]["n"] == 2 and ran["cpu"]["q25_ms"] <= ran["cpu"]["median_ms"]
    assert ran["cuda"]["n"] == 0 and ran["cuda"]["median_ms"] is None
    assert ran["cuda"]["renderer"] == "not measured: No module named 'cupy' in its environment"
    assert "Numba" in rows[name, "pixelflow", "numba"]["renderer"]
    assert rows[name, "pixelflow", "cpu"]["n"] == 3
    crashed = rows["Gray-Scott, 13 x 4x4x4, 2 steps", "pixelflow-rc", "cpu"]
    assert crashed["n"] == 0 and "out of memory" in crashed["renderer"]
    assert metrics["baseline"]["pixelflow-rc"] == "0.3.0"
    assert metrics["copy_GBps"] > 0
    results.wrap("speed", {**CONFIG, "seed": 0}, metrics)  # all of it has a place in a result


def test_published_times_stand_beside_those_of_this_run(field):
    metrics = speed.run(CONFIG)
    published = {(p["work"].split(",")[0], p["backend"]): p for p in metrics["published"]}
    medians = [r["median_ms"] for r in metrics["rows"] if r["work"].startswith("wave, 12 ")]
    assert published["wave", "cpu"]["measured_s"] == medians[0] / 1e3
    assert published["wave", "cpu"]["status"] == "rerun"
    assert published["wave", "cpu"]["published_s"] == 5.0
    statuses = {key: value["status"] for key, value in published.items()}
    assert statuses["wave", "moderngl"] == "not rerun: not in the config"
    assert statuses["wave", "cuda"] == "not rerun: No module named 'cupy' in its environment"
    assert "out of memory" in statuses["Gray-Scott", "cpu"]
    assert sum(p["measured_s"] is None for p in published.values()) == 3
    summary = metrics["summary"]
    assert summary["first_numba_over_field_cpu"] == medians[0] / medians[3]
    assert summary["first_cpu_ms"] == medians[2] and summary["first_field_cuda_ms"] is None
    sums = np.random.default_rng(42).standard_normal((12, 9)).astype(np.float32)[:8].sum(1)
    assert metrics["agreement"]["first"]["cpu"] >= np.abs(sums).max() - 1  # wave stays within 1
    assert metrics["agreement"]["first"]["cuda"] is None


def test_without_the_fields_package_the_names_are_the_same(field, monkeypatch):
    """So that the paper's macros exist wherever it is built."""
    there = speed.run(CONFIG)
    monkeypatch.delenv("PIXELFLOW_RC_PYTHON")
    gone = speed.run(CONFIG)
    assert list(gone["summary"]) == list(there["summary"])
    assert len(gone["rows"]) == len(there["rows"])
    for row in gone["rows"]:
        missing = row["system"] == "pixelflow-rc"
        assert missing == (row["n"] == 0) == row["renderer"].startswith("not measured: ")
    assert {p["measured_s"] for p in gone["published"]} == {None}
    assert gone["baseline"] is None


def test_a_missing_backend_of_ours_is_a_row_too(monkeypatch):
    def missing(name):
        raise ImportError(f"backend {name!r} needs a GPU")

    monkeypatch.setattr("pixelflow.experiments._contest.get_backend", missing)
    config = {**CONFIG, "works": {}, "by_n": {**CONFIG["by_n"], "points": []}}
    (row,) = speed.run(config)["rows"]
    assert row["renderer"] == "not measured: backend 'cpu' needs a GPU" and row["n"] == 0


def test_the_papers_works_are_named_as_everywhere():
    names = [work.name for work, _ in all_works(PAPER)]
    assert names[:4] == [
        "Gray-Scott, 1000 x 64x64x4, 32 steps",
        "wave, 2000 x 32x32x4, 16 steps",
        "wave, 60000 x 32x32x4, 4 steps",
        "Gray-Scott, 60000 x 32x32x4, 8 steps",
    ]
    point = {"n": 2000, "side": 32}
    with pytest.raises(ValueError, match="'wave, 2000 x 32x32x4, 16 steps' stands there twice"):
        all_works({**PAPER, "by_n": {**PAPER["by_n"], "points": [point]}})


def test_random_inputs_are_the_fields():
    X = Work("wave", 5, 8, 1, "random").draw({"seed": 42, "columns": 64})
    assert np.array_equal(
        X, np.random.default_rng(42).standard_normal((5, 64), np.float64).astype("f4")
    )


def test_curves_are_times_a_sample_and_the_figure_has_them_all(field):
    result = {"config": CONFIG, "metrics": speed.run(CONFIG)}
    by_n = speed.curves(result, "by_n")
    rows = {(r["work"], r["backend"]): r for r in result["metrics"]["rows"] if r["n"]}
    numba = rows["wave, 20 x 6x6x4, 2 steps", "numba"]
    assert by_n["pixelflow", "numba"][1][:2] == (20, numba["median_ms"] / 20)
    assert [point[0] for point in by_n["pixelflow-rc", "cpu"]] == [2]
    assert ("pixelflow-rc", "cuda") not in by_n
    by_grid = speed.curves(result, "by_grid")
    assert list(by_grid) == [("pixelflow", "cpu")] and by_grid["pixelflow", "cpu"][0][0] == 5
    figure = plotting.scaling({"samples": by_n, "side": by_grid})
    left, right = figure.axes
    assert len(left.lines) == 3 and len(right.lines) == 1
    colour = {line.get_color() for line in left.lines}
    assert len(colour) == 3 and right.lines[0].get_color() == left.lines[1].get_color()


# -- its environment ---------------------------------------------------------------------------

FAKE_PYTHON = """#!/bin/sh
# Stands for python and, copied, for the environment's: fails to install where `broken` exists.
here=$(dirname "$0")
echo "$*" >> {log}
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
    assert "pixelflow-rc==0.3.0" in commands and f"numpy=={np.__version__}" in commands
    baseline.environment(folder, str(python))
    assert (tmp_path / "log").read_text() == commands


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
