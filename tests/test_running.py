"""How a reservoir runs: processes, threads, memory, caches and the choice of a backend."""

import logging
import pickle
import subprocess
import sys
import tracemalloc
from collections import OrderedDict

import joblib
import numpy as np
import pytest

from pixelflow import (
    Probe,
    Reservoir,
    ReservoirConfig,
    available_backends,
)
from pixelflow.backends import cpu, registry
from pixelflow.backends.numba import modules, run
from pixelflow.core import plan as plan_module
from pixelflow.core import rule
from pixelflow.core.plan import compile_plan

SMALL = ReservoirConfig(width=5, height=4, channels=3, steps=2, rule="wave")


def test_a_rule_of_a_script_runs_in_another_process(registry):
    reservoir = Reservoir(ReservoirConfig(4, 4, 2, 3, "test_swap"), backend="cpu")
    X = np.random.default_rng(0).random((2, 16))
    with joblib.Parallel(n_jobs=2) as parallel:
        got = parallel(joblib.delayed(reservoir.transform)(X) for _ in range(2))
    assert all(np.array_equal(features, reservoir.transform(X)) for features in got)
    frozen = pickle.dumps(reservoir)
    del registry["test_swap"]
    assert np.array_equal(pickle.loads(frozen).transform(X), got[0])


def test_a_worker_runs_the_rule_as_it_is_now(registry):
    """Workers live on between calls, with the rules of earlier calls in their registry."""
    zeros = np.zeros((1, 3, 3, 1), np.float32)
    with joblib.Parallel(n_jobs=2) as parallel:
        for rate in (1, 2):
            rule("test_now", channels=("a",))(lambda at, p, rate=rate: {"a": at(0, 0, "a") + rate})
            reservoir = Reservoir(ReservoirConfig(3, 3, 1, 1, "test_now"), backend="cpu")
            got = parallel(joblib.delayed(reservoir.evolve)(zeros) for _ in range(4))
            assert np.unique(got) == [rate]


def test_a_config_that_a_new_rule_does_not_fit_is_refused(registry):
    """The rule was defined anew, with more channels or other parameters."""
    rule("test_grow", channels=("a",), params={"k": 1.0})(lambda at, p: {"a": at(0, 0, "a") * p.k})
    small = Reservoir(ReservoirConfig(3, 3, 1, 1, "test_grow"), backend="numba")
    named = Reservoir(ReservoirConfig(3, 3, 2, 1, "test_grow", {"k": 2.0}), backend="numba")
    rule("test_grow", channels=("a", "b"))(lambda at, p: {"b": at(0, 0, "a") + 1})
    with pytest.raises(ValueError, match="needs 2 channels"):
        small.transform(np.ones((1, 9)))
    with pytest.raises(ValueError, match=r"unknown \['k'\]"):
        named.transform(np.ones((1, 9)))


def test_threads_share_a_backend(tmp_path, monkeypatch):
    """The first use too, when a rule is compiled, and without a folder to keep it in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    (tmp_path / "a file").touch()
    modules.imported.cache_clear()
    X = np.random.default_rng(0).random((40, 20))
    expected = Reservoir(SMALL, backend="cpu").transform(X)
    for backend in available_backends():
        reservoir = Reservoir(SMALL, backend=backend)
        with joblib.Parallel(n_jobs=4, prefer="threads") as parallel:
            got = parallel(joblib.delayed(reservoir.transform)(X) for _ in range(8))
        assert all(np.array_equal(features, expected) for features in got)


def test_plans_are_kept_while_they_are_few_and_small(monkeypatch):
    monkeypatch.setattr(plan_module, "_PLANS", OrderedDict())
    configs = [SMALL.with_params(seed=seed, input_encoding="project") for seed in range(6)]
    first = [compile_plan(config, (20,)) for config in configs]
    assert [compile_plan(config, (20,)) for config in configs] == first
    monkeypatch.setattr(plan_module, "CACHE_BYTES", 3 * first[0].nbytes)
    last = compile_plan(SMALL, (20,))
    assert list(plan_module._PLANS.values())[-1] is last and len(plan_module._PLANS) == 3
    monkeypatch.setattr(plan_module, "CACHE_BYTES", 1)
    assert compile_plan(configs[0], (20,)) is not first[0] and len(plan_module._PLANS) == 1


@pytest.mark.parametrize("encoding", ["tile", "project", "random"])
@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_memory_is_bounded_whatever_the_number_of_samples(backend, encoding, monkeypatch):
    monkeypatch.setattr(cpu, "CHUNK_BYTES", 2**20)
    monkeypatch.setattr(run, "CHUNK_BYTES", 2**20)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    probe = Probe(channels=(0,), pool=1)
    config = ReservoirConfig(32, 32, steps=1, rule="wave", input_encoding=encoding, probe=probe)
    reservoir = Reservoir(config, backend=backend)
    reservoir.transform(np.zeros((2, 4), np.float32))

    def peak(method, n):
        X = np.zeros((n, 4), np.float32)
        tracemalloc.start()
        method(X)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few = 2**16  # bytes that the interpreter itself may take more or less
    assert peak(reservoir.transform, 4000) < 1.1 * peak(reservoir.transform, 1000) + few
    monkeypatch.setattr("pixelflow.reservoir.MOST_QUANTILE_VALUES", 2**18)
    reservoir.set_params(config__probe__rectify=True, config__probe__threshold={"quantile": 0.5})
    assert peak(reservoir.fit, 4000) < 1.1 * peak(reservoir.fit, 1000) + few


def test_auto_takes_the_fastest_and_says_so_once(caplog, monkeypatch):
    """A GPU before a processor, but no renderer in software."""
    caplog.set_level(logging.INFO, "pixelflow")
    registry._fastest.cache_clear()
    for _ in range(2):
        Reservoir(SMALL).transform(np.zeros((1, 4)))
    [message] = [r.message for r in caplog.records if "auto" in r.message]
    runs = [(n, on) for n, on in available_backends().items() if not on.endswith("(software)")]
    assert message.startswith("backend auto: {} ({})".format(*runs[0]))
    assert ("cuda can't run" in message) == ("cuda" not in available_backends())


def test_auto_passes_over_what_cannot_run(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "pixelflow")
    monkeypatch.setattr(registry, "BACKENDS", ("numba", "cpu"))
    monkeypatch.setitem(sys.modules, "numba", None)
    registry._probe.cache_clear(), registry._fastest.cache_clear()
    try:
        assert registry.get_backend("auto").describe().startswith("NumPy")
        assert "pip install numba" in caplog.text
        with pytest.raises(ImportError, match="pip install numba"):
            Reservoir(SMALL, backend="numba")
    finally:
        registry._probe.cache_clear(), registry._fastest.cache_clear()


def test_numba_compiles_once_for_all_processes(tmp_path):
    script = """
from pixelflow import Reservoir, ReservoirConfig
from pixelflow.backends.numba import modules, source
from pixelflow.core.plan import compile_states
config = ReservoirConfig(4, 4, 2, 1, "wave")
Reservoir(config, backend="numba").transform([[1.0, 2.0]])
module = modules.compiled(source.source(compile_states(config).program, 2, True))
print(sum(module.run.stats.cache_misses.values()), module.__file__)
"""
    import os

    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [misses for misses, _ in outputs] == ["1", "0"]
    assert outputs[0][1].startswith(str(tmp_path))
