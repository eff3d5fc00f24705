"""What users would otherwise write: the same maths, and processes that cost no one else's times."""

import contextlib
import json
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

from pixelflow import Reservoir
from pixelflow.core import get_rule
from pixelflow.experiments._speed.peers import Peers, processes, rules, with_cellpylib
from pixelflow.experiments._speed.peers.__main__ import MODULES, Server, job, textures
from pixelflow.experiments._speed.peers.job import CannotRun
from pixelflow.experiments._speed.process import NotMeasured, Process
from pixelflow.experiments._speed.works import PEERS, Contender, Work

RANDOM = {"seed": 3, "columns": 20}


def evolved(work):
    """What our reference makes of the work's textures."""
    states = textures(work, RANDOM)
    return Reservoir(work.config, backend="cpu").evolve(states)


@pytest.mark.parametrize("rule", rules.UPDATES)
@pytest.mark.parametrize("inputs", ["states", "random"])
def test_the_peers_rules_are_ours(rule, inputs):
    """NumPy in the place of jax.numpy, torch and CuPy: the same functions run there."""
    work = Work(rule, 3, 12, 9, inputs)
    start = textures(work, RANDOM)
    step, fields = rules.stepper(np, rule, get_rule(rule).params), rules.unpack_fields(start)
    for _ in range(work.steps):
        fields = step(fields)
    state = rules.pack_fields(np, fields, start)
    assert state.dtype == np.float32
    np.testing.assert_allclose(state, evolved(work), rtol=0, atol=1e-6)


def test_peers_start_from_what_our_encoder_makes():
    work = Work("wave", 5, 8, 3, "random")
    encoded = textures(work, RANDOM)
    features = Reservoir(work.config, backend="cpu").transform(work.draw(RANDOM))
    assert np.array_equal(
        Reservoir(work.config, backend="cpu").evolve(encoded).reshape(5, -1), features
    )


class Tensor(np.ndarray):
    """An array with the one method of torch's that is used on a processor."""

    def to(self, device):
        return self


def fake_jax():
    def loop(start, stop, body, value):
        for i in range(start, stop):
            value = body(i, value)
        return value

    def devices(kind):
        if kind == "gpu":
            raise RuntimeError("Unknown backend: 'gpu' requested")
        return [SimpleNamespace(device_kind="a processor")]

    return SimpleNamespace(
        __version__="1",
        numpy=np,
        jit=lambda function: function,
        lax=SimpleNamespace(fori_loop=loop),
        devices=devices,
        device_put=lambda array, device: array,
        block_until_ready=lambda array: array,
    )


def fake_torch():
    return SimpleNamespace(
        __version__="1",
        **{name: getattr(np, name) for name in ("roll", "clip", "stack")},
        cuda=SimpleNamespace(is_available=lambda: False),
        _dynamo=SimpleNamespace(reset=lambda: None),
        compile=lambda function, dynamic: function,
        inference_mode=contextlib.nullcontext,
        from_numpy=lambda array: array.view(Tensor),
        get_num_threads=lambda: 2,
    )


def fake_cupy():
    ticks = iter(range(1000))
    event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
    runtime = SimpleNamespace(getDeviceProperties=lambda device: {"name": b"a GPU"})
    return SimpleNamespace(
        __version__="1",
        **{name: getattr(np, name) for name in ("roll", "clip", "stack", "asarray")},
        asnumpy=np.asarray,
        get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
        cuda=SimpleNamespace(
            Event=lambda: event, get_elapsed_time=lambda a, b: next(ticks), runtime=runtime
        ),
    )


FAKES = {
    "jax": ("jax", fake_jax, "cpu"),
    "torch.compile": ("torch", fake_torch, "cpu"),
    "cupy": ("cupy", fake_cupy, "cuda"),
}


@pytest.mark.parametrize("system", FAKES)
def test_a_peer_runs_all_steps_and_counts_its_times(monkeypatch, system):
    library, fake, backend = FAKES[system]
    monkeypatch.setitem(sys.modules, library, fake())
    work = Work("wave", 4, 8, 5, "states")
    ready = Server(system, backend).module.prepare(job(work, RANDOM, backend))
    np.testing.assert_allclose(ready.result(3), evolved(work)[:3], rtol=0, atol=1e-6)
    assert len(ready.times(4)) == 4 and min(ready.times(2)) > 0
    ready.clear()


@pytest.mark.parametrize("system", ["jax", "torch.compile"])
def test_a_peer_without_the_gpu_says_so(monkeypatch, system):
    library, fake, _ = FAKES[system]
    monkeypatch.setitem(sys.modules, library, fake())
    with pytest.raises(CannotRun, match=r"gpu|GPU"):
        Server(system, "cuda").module.prepare(job(Work("wave", 1, 4, 1, "states"), RANDOM, "cuda"))


@pytest.mark.parametrize("system", PEERS)
def test_a_peer_that_is_not_installed_says_what_to_install(monkeypatch, system):
    assert list(MODULES) == list(PEERS)
    for library in ("jax", "torch", "cupy", "cax", "cellpylib"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(CannotRun, match="pip install"):
        Server(system, "cpu").module.prepare(job(Work("wave", 1, 4, 1, "states"), RANDOM, "cpu"))


def test_cellpylib_gets_life_on_the_first_channel(monkeypatch):
    """Its rule and neighbourhood by name; the other channels stay as they are."""
    asked = []

    def evolve2d(grids, timesteps, rule, neighbourhood):
        asked.append((grids.shape, timesteps, rule, neighbourhood))
        return np.stack([grids[0]] * (timesteps - 1) + [1 - grids[0]])

    fake = SimpleNamespace(evolve2d=evolve2d, game_of_life_rule="life")
    monkeypatch.setitem(sys.modules, "cellpylib", fake)
    monkeypatch.setattr(with_cellpylib, "version", lambda name: "1")
    work = Work("life_like", 2, 6, 3, "states")
    states = textures(work, RANDOM)
    ready = with_cellpylib.prepare(job(work, RANDOM, "cpu"))
    after = ready.result(2)
    assert np.array_equal(after[..., 0], states[..., 0] < 0.5)
    assert np.array_equal(after[..., 1:], states[..., 1:])
    assert asked == [((1, 6, 6), 4, "life", "Moore")] * 2
    with pytest.raises(CannotRun, match="not wave"):
        with_cellpylib.prepare(job(Work("wave", 2, 6, 3, "states"), RANDOM, "cpu"))


def test_a_request_that_fails_is_answered():
    server = Server("jax", "cpu")
    assert server.answer({"do": "turn"}) == {"error": "it was not got ready"}
    work = {"rule": "no_such", "n": 1, "side": 4, "steps": 1, "inputs": "states", "pool": None}
    request = {"do": "get_ready", "work": work, "random": RANDOM, "few": 1, "features": "f"}
    assert "no_such" in server.answer(request)["error"]
    assert server.answer({"do": "leave"}) == {}


ANSWERS = """
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    if request.get("do") == "crash":
        sys.exit("out of memory")
    time.sleep(request.get("sleep", 0))
    print(json.dumps(request), flush=True)
"""


def test_a_process_that_hangs_or_crashes_says_how():
    def started():
        return Process([sys.executable, "-c", textwrap.dedent(ANSWERS)], "Python")

    process = started()
    assert process.ask(20, a=1) == {"a": 1} and process.running
    with pytest.raises(NotMeasured, match="wrong"):
        process.ask(20, error="wrong")
    with pytest.raises(NotMeasured, match=r"no answer in 0\.3 s"):
        process.ask(0.3, sleep=60)
    assert not process.running and process.returncode == -9
    process.close()
    process = started()
    with pytest.raises(NotMeasured, match="ended with code 1: out of memory"):
        process.ask(20, do="crash")
    with pytest.raises(NotMeasured, match="ended with code 1"):
        process.ask(20, a=1)
    process.close()
    with pytest.raises(NotMeasured, match="Python is /nowhere: No such file"):
        Process(["/nowhere"], "Python")


def test_a_peers_process_serves_all_works_and_is_started_anew_when_it_ended():
    """The real one: without JAX it says so, and goes on."""
    contender, work = Contender("jax", "cpu", "fresh"), Work("wave", 2, 4, 1, "states")
    with Peers() as peers, ExitStack() as stack:
        for _ in range(2):
            try:
                entrant = peers.enter(contender, work, RANDOM, stack)
                assert entrant.features.shape == (2, 64) and min(entrant.turn()) > 0
            except NotMeasured as error:
                assert "pip install jax" in str(error)
        (process,) = peers._running.values()
        process.close()
        assert peers._process(contender).running
        peers._process(contender).close()
        with pytest.raises(NotMeasured, match="given up: its process ended 2 times"):
            peers.enter(contender, work, RANDOM, stack)
    assert not peers._running


def test_memory_is_given_back_by_ending_a_process_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(processes, "TURN_S", 0.2)
    process = Process([sys.executable, "-c", "import time; time.sleep(60)"], "Python")
    processes._leave(process)
    assert not process.running


def test_the_peers_command_answers_on_its_own_output():
    command = [sys.executable, "-m", "pixelflow.experiments._speed.peers", "cupy", "cuda"]
    request = json.dumps({"do": "leave"}) + "\n"
    done = subprocess.run(command, input=request, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "{}\n"
