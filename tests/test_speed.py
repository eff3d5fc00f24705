"""The experiment `speed`: rows that say what they are, summaries, what one failure costs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from pixelflow import plotting, results
from pixelflow.backends import get_backend
from pixelflow.experiments import speed
from pixelflow.experiments._speed import first_call, ours
from pixelflow.experiments._speed.works import Contender, Work, all_works, contenders, study

ROOT = Path(__file__).resolve().parents[1]
PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())["speed"]

ROUNDS = {"pixelflow-rc": {"cpu": 2, "cuda": 1}, "pixelflow": {"cpu": 3, "numba": 1}}
RANDOM = {"inputs": "random", "out": ["reused"]}
CONFIG = {
    "limit_s": 60,
    "copy_mib": 1,
    "random": {"seed": 42, "columns": 9},
    "works": {
        "first": {
            **{"rule": "wave", "n": 12, "side": 4, "steps": 2, **RANDOM},
            "out": ["device", "reused", "fresh"],
            "rounds": ROUNDS,
            "published": {"cpu": 5.0, "moderngl": 25.95, "cuda": 0.28},
        },
        "crashes": {
            **{"rule": "diffusion_reaction", "n": 13, "side": 4, "steps": 2, **RANDOM},
            "rounds": {"pixelflow-rc": {"cpu": 1}, "pixelflow": {"cpu": 1}},
            "published": {"cpu": 2.13},
        },
        "states": {
            **{"rule": "wave", "n": 3, "side": 6, "steps": 2, "inputs": "states"},
            "out": ["fresh", "reused"],
            "rounds": {"pixelflow": {"cpu": 2}, "cellpylib": {"cpu": 1}},
            "published": {},
        },
    },
    "by_n": {
        "rule": "wave",
        "steps": 2,
        "points": [{"n": 2, "side": 6}, {"n": 20, "side": 6}],
        "rounds": ROUNDS,
        "n_max": {"pixelflow-rc": 2},
    },
    "by_grid": {
        "rule": "wave",
        "steps": 2,
        "points": [{"n": 2, "side": 5}],
        "rounds": {"pixelflow": {"cpu": 2}},
        "n_max": {},
    },
    "first_call": {"rule": "wave", "n": 1, "side": 4, "steps": 1, "backends": []},
}
ROW = ["work", "system", "backend", "renderer", "median_ms", "q25_ms", "q75_ms", "n", "transfers"]


def by_contender(metrics):
    return {(r["work"], r["system"], r["backend"], r["out"]): r for r in metrics["rows"]}


def test_every_contender_has_its_row(field):
    metrics = speed.run(CONFIG)
    rows = by_contender(metrics)
    assert all(sorted(row) == sorted([*ROW, "out"]) and row["transfers"] for row in rows.values())
    assert set(rows) == {(work.name, *c) for work, who, _ in all_works(CONFIG) for c in who}
    assert len(rows) == len(metrics["rows"]) == 6 + 2 + 3 + 4 + 2 + 1
    name = "wave, 12 x 4x4x4, 2 steps"
    ran = {backend: rows[name, "pixelflow-rc", backend, "fresh"] for backend in ("cpu", "cuda")}
    assert ran["cpu"]["n"] == 2 and ran["cpu"]["q25_ms"] <= ran["cpu"]["median_ms"]
    assert ran["cuda"]["n"] == 0 and ran["cuda"]["median_ms"] is None
    assert ran["cuda"]["renderer"] == "not measured: No module named 'cupy' in its environment"
    assert "Numba" in rows[name, "pixelflow", "numba", "fresh"]["renderer"]
    assert rows[name, "pixelflow", "cpu", "reused"]["n"] == 3
    crashed = rows["Gray-Scott, 13 x 4x4x4, 2 steps", "pixelflow-rc", "cpu", "fresh"]
    assert crashed["n"] == 0 and "out of memory" in crashed["renderer"]
    states = "wave, 3 x 6x6x4, 2 steps, states in and out"
    assert "not measured: " in rows[states, "cellpylib", "cpu", "fresh"]["renderer"]
    assert {rows[states, "pixelflow", "cpu", out]["n"] for out in ("fresh", "reused")} == {2}
    assert metrics["baseline"]["pixelflow-rc"] == "0.3.0"
    assert metrics["copy_GBps"] > 0
    results.wrap("speed", {**CONFIG, "seed": 0}, metrics)  # all of it has a place in a result


def test_published_times_stand_beside_those_of_this_run(field):
    metrics = speed.run(CONFIG)
    published = {(p["work"].split(",")[0], p["backend"]): p for p in metrics["published"]}
    medians = {c[1:]: r["median_ms"] for c, r in by_contender(metrics).items() if " 12 x" in c[0]}
    theirs = medians["pixelflow-rc", "cpu", "fresh"]
    assert published["wave", "cpu"]["measured_s"] == theirs / 1e3
    assert published["wave", "cpu"]["status"] == "rerun"
    assert published["wave", "cpu"]["published_s"] == 5.0
    statuses = {key: value["status"] for key, value in published.items()}
    assert statuses["wave", "moderngl"] == "not rerun: not in the config"
    assert statuses["wave", "cuda"] == "not rerun: No module named 'cupy' in its environment"
    assert "out of memory" in statuses["Gray-Scott", "cpu"]
    assert sum(p["measured_s"] is None for p in published.values()) == 3
    summary = metrics["summary"]
    for out in ("reused", "fresh"):
        ours = medians["pixelflow", "numba", out]
        assert summary[f"first_field_cpu_over_numba_{out}"] == theirs / ours
        assert summary[f"first_numba_{out}_ms"] == ours
    assert summary["first_field_cuda_ms"] is summary["first_field_cuda_over_cpu_fresh"] is None
    sums = np.random.default_rng(42).standard_normal((12, 9)).astype(np.float32)[:8].sum(1)
    assert metrics["agreement"]["first"]["field_cpu"] >= np.abs(sums).max() - 1  # wave is within 1
    assert metrics["agreement"]["first"]["cpu_reused"] == 0
    assert metrics["agreement"]["first"]["field_cuda"] is None


def test_without_the_fields_package_the_names_are_the_same(field, monkeypatch):
    """So that the paper's macros exist wherever it is built."""
    there = speed.run(CONFIG)
    monkeypatch.delenv("PIXELFLOW_RC_PYTHON")
    gone = speed.run(CONFIG)
    assert list(gone["summary"]) == list(there["summary"])
    assert len(gone["rows"]) == len(there["rows"])
    for row in gone["rows"]:
        missing = row["system"] in ("pixelflow-rc", "cellpylib")
        assert missing == (row["n"] == 0) == row["renderer"].startswith("not measured: ")
    assert {p["measured_s"] for p in gone["published"]} == {None}
    assert gone["baseline"] is None


ALONE = {**CONFIG, "works": {}, "by_n": {**CONFIG["by_n"], "points": []}}


def test_a_missing_backend_of_ours_is_a_row_too(monkeypatch):
    def missing(name):
        raise ImportError(f"backend {name!r} needs a GPU")

    monkeypatch.setattr("pixelflow.experiments._speed.ours.get_backend", missing)
    (row,) = speed.run(ALONE)["rows"]
    assert row["renderer"] == "not measured: backend 'cpu' needs a GPU" and row["n"] == 0


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_backend_that_fails_costs_its_own_row_only(monkeypatch, when):
    """In its first call, when it is warmed up or in a turn."""
    calls = []
    cpu = get_backend("cpu")

    def prepare(plan, exact, device):
        def counted(method):
            def call(X, *more, **options):
                calls.append(len(X))
                if len(calls) == when:
                    raise MemoryError("the device is full")
                method(X, *more, **options)

            return call

        prepared = cpu.prepare(plan, exact, device)
        return SimpleNamespace(
            features=counted(prepared.features), advance=counted(prepared.advance)
        )

    broken = SimpleNamespace(describe=lambda: "a device", prepare=prepare)
    monkeypatch.setattr(
        "pixelflow.evolution.get_backend",
        lambda name, *more: broken if name == "cpu" else get_backend(name),
    )
    monkeypatch.setattr("pixelflow.experiments._speed.ours.get_backend", lambda name: broken)
    grid = {**CONFIG["by_grid"], "points": [{"n": 2, "side": 5}, {"n": 2, "side": 6}]}
    first, second = speed.run({**ALONE, "by_grid": grid})["rows"]
    assert first["renderer"] == "not measured: MemoryError: the device is full"
    assert first["n"] == 0 and second["n"] == 2


def test_works_that_come_too_late_have_rows_that_say_so():
    metrics = speed.run({**ALONE, "limit_s": 0})
    (row,) = metrics["rows"]
    assert row["renderer"] == "not measured: the run's 0 s were over" and row["n"] == 0


class Device:
    """A backend with a device of its own: the cpu's features, and times that are given."""

    def __init__(self, times):
        self.given, self.released, self.X = iter(times), 0, None

    def describe(self):
        return "a device"

    def prepare(self, plan, exact, device):
        assert exact and device is None
        prepared = get_backend("cpu").prepare(plan, exact, device)
        self.features, self.advance = prepared.features, prepared.advance
        return self

    def resident(self, X):
        assert X.flags.c_contiguous and X.ndim == 2
        self.X = X
        return self

    def times(self, n):
        return [next(self.given) for _ in range(n)]

    def release(self):
        self.released += 1


def test_on_a_device_its_own_times_count_and_its_memory_is_given_back(monkeypatch):
    device = Device([0.05, 0.003, 0.001, 0.002, 0.004])
    monkeypatch.setattr("pixelflow.experiments._speed.ours.get_backend", lambda name: device)
    entry = {"rule": "wave", "n": 3, "side": 4, "steps": 1, "inputs": "states", "published": {}}
    entry |= {"out": ["device"], "rounds": {"pixelflow": {"cuda": 2, "cpu": 1}}}
    metrics = speed.run(
        {**ALONE, "works": {"w": entry}, "by_grid": {**CONFIG["by_grid"], "points": []}}
    )
    there, host = metrics["rows"]
    assert (there["out"], there["transfers"], there["n"]) == ("device", False, 4)
    assert there["median_ms"] == 2.5 and device.released == 1  # one before, of 50 ms: 2 a turn
    assert (host["out"], host["transfers"], host["n"]) == ("reused", True, 1)
    assert device.X is not None and device.X.shape == (3, 64)
    assert metrics["agreement"]["w"] == {"cuda_device": 0.0, "cpu_reused": 0.0}
    assert metrics["summary"] == {"w_cuda_device_ms": 2.5, "w_cpu_reused_ms": host["median_ms"]}


def test_contenders_are_timed_between_the_memories_that_they_have():
    rounds = {"pixelflow": {"cuda": 1, "numba": 1}, "jax": {"cuda": 1, "cpu": 1}}
    who = contenders({**rounds, "pixelflow-rc": {"cuda": 1}}, ["device", "reused"])
    assert [(*c, c.transfers, c.label) for c in who] == [
        ("pixelflow-rc", "cuda", "fresh", True, "field_cuda"),
        ("jax", "cuda", "device", False, "jax_cuda"),
        ("jax", "cpu", "fresh", True, "jax_cpu"),
        ("pixelflow", "cuda", "device", False, "cuda_device"),
        ("pixelflow", "cuda", "reused", True, "cuda_reused"),
        ("pixelflow", "numba", "reused", True, "numba_reused"),
    ]
    assert Contender("torch.compile", "cuda", "device").label == "torch_compile_cuda"


def test_a_study_leaves_out_those_for_whom_a_work_is_too_large():
    small, large = study({**CONFIG["by_n"], "n_max": {"pixelflow-rc": 2, "pixelflow": 20}})
    assert {c.system for c in small[1]} == {"pixelflow-rc", "pixelflow"}
    assert {c.system for c in large[1]} == {"pixelflow"}


def test_the_papers_works_are_named_as_everywhere():
    names = {
        name: Work(**{k: entry[k] for k in Work.__dataclass_fields__ if k in entry}).name
        for name, entry in PAPER["works"].items()
    }
    assert names["gray_scott_1000"] == "Gray-Scott, 1000 x 64x64x4, 32 steps"
    assert names["wave_2000"] == "wave, 2000 x 32x32x4, 16 steps"
    assert names["mnist_wave"] == "wave, 60000 x 32x32x4, 4 steps"
    assert names["mnist_gray_scott"] == "Gray-Scott, 60000 x 32x32x4, 8 steps"
    assert names["wave_2048"] == "wave, 1 x 2048x2048x4, 1000 steps, states in and out"
    pooled = "wave, 60000 x 32x32x4, 8 steps, uint8 images in, 4x4 pooled out"
    assert names["mnist_pooled"] == pooled
    point = {"n": 2000, "side": 32}
    with pytest.raises(ValueError, match="got 'wave, 2000 x 32x32x4, 16 steps' twice"):
        all_works({**PAPER, "by_n": {**PAPER["by_n"], "points": [point]}})


@pytest.mark.parametrize("path", ["paper", "smoke", "recorded/h100"])
def test_every_contender_of_the_configs_has_a_look(path):
    config = yaml.safe_load((ROOT / "config" / f"{path}.yaml").read_text())["speed"]
    who = {c[:2] for _, found, _ in all_works(config) for c in found}
    assert who <= set(plotting.speed.STYLES)
    assert len(set(plotting.speed.STYLES.values())) == len(plotting.speed.STYLES)


def test_random_inputs_are_the_fields():
    X = Work("wave", 5, 8, 1, "random").draw({"seed": 42, "columns": 64})
    assert np.array_equal(
        X, np.random.default_rng(42).standard_normal((5, 64), np.float64).astype("f4")
    )


def test_images_are_mnists_bytes(monkeypatch):
    levels = np.random.default_rng(0).integers(0, 256, (7, 784), np.uint8)
    pixels = levels * np.float32(1 / 255)
    monkeypatch.setattr("pixelflow.tasks.mnist.load", lambda: (pixels,))
    X = Work("wave", 5, 32, 1, "mnist_uint8").draw({})
    assert X.dtype == np.uint8 and np.array_equal(X, levels[:5].reshape(5, 28, 28))
    with pytest.raises(ValueError, match=r"8 x 32x32x4.*n must be at most 7"):
        Work("wave", 8, 32, 1, "mnist").draw({})


def test_curves_are_of_one_contender_and_the_figure_has_them_all(field):
    result = {"config": CONFIG, "metrics": speed.run(CONFIG)}
    by_n = speed.curves(result, "by_n")
    rows = {(r["work"], r["backend"]): r for r in result["metrics"]["rows"] if r["n"]}
    numba = rows["wave, 20 x 6x6x4, 2 steps", "numba"]
    assert by_n["pixelflow", "numba"][1][:2] == (20, numba["median_ms"])
    assert [point[0] for point in by_n["pixelflow-rc", "cpu"]] == [2]
    assert ("pixelflow-rc", "cuda") not in by_n
    by_grid = speed.curves(result, "by_grid")
    (point,) = by_grid["pixelflow", "cpu"]
    cpu = rows["wave, 2 x 5x5x4, 2 steps", "cpu"]
    assert list(by_grid) == [("pixelflow", "cpu")]
    assert point[:2] == (5, pytest.approx(cpu["median_ms"] * 1e6 / (2 * 5 * 5 * 2)))
    figure = plotting.scaling({("samples", "ms"): by_n, ("side", "ns"): by_grid})
    left, right = figure.axes
    assert len(left.lines) == 3 and len(right.lines) == 1
    looks = {(line.get_color(), line.get_marker()) for line in left.lines}
    assert len(looks) == 3 and right.lines[0].get_marker() == left.lines[1].get_marker()


def test_a_first_call_is_timed_with_empty_caches_and_with_full_ones():
    config = {"rule": "wave", "n": 2, "side": 4, "steps": 1, "backends": ["numba", "no_such"]}
    numba, no_such = first_call.first_calls(config)
    assert numba["backend"] == "numba" and numba["why"] is None
    assert 0 < numba["cached_s"] < numba["empty_s"] < 60
    assert no_such["empty_s"] is no_such["cached_s"] is None
    assert no_such["why"].startswith("not measured: ValueError: unknown backend 'no_such'")


def test_textures_into_a_reused_array_are_the_backends_own_call(monkeypatch):
    """`evolve` takes no array; into a fresh one it is what is called."""
    called = []
    real = ours.Reservoir.evolve
    monkeypatch.setattr(
        ours.Reservoir, "evolve", lambda self, X: (called.append(len(X)), real(self, X))[1]
    )
    work = Work("wave", 3, 4, 1, "states")
    X = work.draw({"seed": 0})
    for out, calls in (("reused", []), ("fresh", [3, 3])):
        entrant = ours.enter(Contender("pixelflow", "cpu", out), work, X, 2, None)
        assert len(entrant.turn()) == 1 and called == calls
