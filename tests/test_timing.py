"""The clock: warm-ups, fair turns, quartiles, copying."""

import itertools
import statistics
import subprocess
import sys

import numpy as np
import pytest

from pixelflow import timing


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
        return lambda: (order.append(name), [next(times[name])])[1]

    found = timing.in_turn({"a": timed("a"), "b": timed("b")}, {"a": 3, "b": 1})
    assert "".join(order) == "abaa"
    assert found == {"a": [1, 2, 3], "b": [5]}
    assert timing.in_turn({}, {}) == {}


def test_a_turn_has_several_times_and_without_any_there_is_no_further_turn():
    turns = {"a": iter([[1.0, 2.0], [3.0]]), "b": iter([[5.0], [], [6.0]])}
    timed = {name: lambda name=name: next(turns[name]) for name in turns}
    assert timing.in_turn(timed, {"a": 2, "b": 3}) == {"a": [1, 2, 3], "b": [5]}
    assert next(turns["b"]) == [6.0]


@pytest.mark.parametrize(("once", "n"), [(0.0, 20), (0.005, 20), (0.02, 5), (0.09, 1), (9.0, 1)])
def test_a_burst_is_short_and_never_empty(once, n):
    assert timing.burst(once) == n


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
