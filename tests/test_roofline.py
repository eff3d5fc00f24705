"""The roofline: what is counted, and the figure under its ceilings."""

import numpy as np
import pytest

from pixelflow import plotting
from pixelflow.core import clip, rule, where
from pixelflow.experiments._speed import roofline
from pixelflow.experiments._speed.works import Work


def test_float_operations_of_a_cell_are_counted_from_the_graph(registry):
    """Once each; what is the same for all cells is not, nor the integers of the noise."""

    @rule("counted", channels=("a", "b"), params={"p": 0.5, "q": 0.25})
    def counted(at, p):
        a = at(0, 0, "a") + at(0, 1, "a") * (p.p * p.q)  # 2: the product of parameters is none
        return {"a": clip(a, -1, 1), "b": where(a > 0, a, 0.0)}  # 2; 2

    flushes = 2  # what is written near zero becomes zero: one operation each
    assert roofline.operations(counted.program) == 2 + 2 + 2 + flushes


@pytest.mark.parametrize(("name", "count"), [("wave", 13), ("diffusion_reaction", 27)])
def test_the_built_in_rules_are_of_the_known_size(name, count):
    """By hand, a Laplacian being 5 and a clip 2; a product with a dt of 1 is none.

    The wave: 5, c c lap, its sum, damping, the next amplitude, its clip, both flushed. Gray-Scott:
    two of 5, u v v 2, the rates 5 and 4, two sums, and two clips, which flush too.
    """
    work = Work(name, 10, 8, 5, "states")
    demands = roofline.demands(work, 123)
    assert demands["operations_per_cell_step"] == count
    assert demands["operations"] == demands["operations_per_cell_step"] * 10 * 64 * 5
    assert demands["bytes_in"] == 123 and demands["bytes_out"] == 10 * 64 * 4 * 4
    pooled = roofline.demands(Work(name, 10, 8, 5, "mnist_uint8", pool=2), 123)
    assert pooled["bytes_out"] == 10 * 4 * 2 * 2 * 4


def rows():
    row = {"work": "w", "q25_ms": 1.0, "q75_ms": 3.0, "n": 5, "renderer": "a device"}
    return [
        {**row, "system": "pixelflow", "backend": "cuda", "out": "device", "median_ms": 2.0},
        {**row, "system": "pixelflow", "backend": "cuda", "out": "fresh", "median_ms": 20.0},
        {**row, "system": "pixelflow", "backend": "numba", "out": "fresh", "median_ms": 50.0},
        {**row, "system": "jax", "backend": "cuda", "out": "device", "median_ms": 10.0},
        {**row, "system": "cupy", "backend": "cuda", "out": "device", "median_ms": None, "n": 0},
        {**row, "work": "study", "system": "jax", "backend": "cuda", "out": "device"},
    ]


NEEDS = {"bytes_in": 10**6, "bytes_out": 3 * 10**6, "bytes_states": 10**6, "operations": 8 * 10**9}


def test_rates_are_of_what_must_move():
    points = roofline.points(rows(), {"w": NEEDS})
    assert len(points) == 4
    ours, peer = points[0], points[3]
    assert ours["GBps"] == pytest.approx(2.0) and ours["GFLOPs"] == pytest.approx(4000)
    assert ours["operations_per_byte"] == 2000
    assert peer["operations_per_byte"] == 4000  # its states, in and out
    assert peer["GBps"] == pytest.approx(0.2) and peer["GFLOPs"] == pytest.approx(800)


@pytest.mark.parametrize("device", [{"copy_GBps": 3000.0, "GFLOPs": 33000.0}, None])
def test_the_figure_has_everyones_best_and_the_ceilings_there_are(device):
    nothing = {"copy_GBps": None, "GFLOPs": None}
    metrics = {"roofline": roofline.points(rows(), {"w": NEEDS}), "copy_GBps": 50.0}
    figure = plotting.roofline({"metrics": {**metrics, "device": device or nothing}})
    (axis,) = figure.axes
    marks = [line for line in axis.lines if line.get_marker() != "None"]
    assert [line.get_ydata()[0] for line in marks] == pytest.approx([4000, 160, 800])
    assert marks[0].get_markerfacecolor() != "none" == marks[1].get_markerfacecolor()
    ceilings = [line for line in axis.lines if line.get_marker() == "None"]
    assert len(ceilings) == (2 if device else 1)
    if device:
        x, y = ceilings[0].get_data()
        np.testing.assert_allclose(y, np.minimum(3000 * x, 33000))


def test_without_a_device_there_are_no_ceilings_of_one(monkeypatch):
    def missing(name):
        raise ImportError("no GPU")

    monkeypatch.setattr(roofline, "get_backend", missing)
    assert roofline.device_ceilings(1) == {"copy_GBps": None, "GFLOPs": None}
