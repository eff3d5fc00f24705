"""The paper's tables of times, of results made by hand: what stands in which cell."""

import importlib

import pytest
from test_tables import parsed

speed_tables = importlib.import_module("speed_tables")
LONG = "wave, 6 x 8x8x4, 2 steps, uint8 images in, 4x4 pooled out"
SHORT = r"wave, 6\,$\times$\,8x8x4, 2 steps, bytes, pooled"


def timed(work, system, backend, out, median_ms, n=3, renderer="a device"):
    row = {"work": work, "system": system, "backend": backend, "out": out, "renderer": renderer}
    return {**row, "median_ms": median_ms, "n": 0 if median_ms is None else n}


def result(rows, **more):
    works = {name: {"work": name} for name in ("gray", LONG)}
    metrics = {"rows": rows, "published": [], "demands": works, "device": {"copy_GBps": None}}
    return {"metrics": {**metrics, **more}}


def old(rows, works):
    """A result recorded before there were devices and peers."""
    for row in rows:
        del row["out"]
    return {"metrics": {"rows": rows, "published": [{"work": work} for work in works]}}


def test_device_times_beside_what_copying_takes():
    here = result([timed("gray", "pixelflow", "moderngl", "device", 5.0, renderer="x (software)")])
    rows = [
        timed("gray", "pixelflow", "cuda", "device", 0.0996),
        timed("gray", "pixelflow", "cuda", "fresh", 99.0),
        timed("gray", "jax", "cuda", "device", 1.5, n=1),
        timed("gray", "torch.compile", "cuda", "device", None),
        timed("by_n", "pixelflow", "cuda", "device", 1.0),  # of a study
        timed(LONG, "cupy", "cuda", "device", 1234.5),
    ]
    demands = {
        "a": {"work": "gray", "bytes_in": 10**9, "bytes_out": 2 * 10**9},
        "b": {"work": LONG, "bytes_in": 10**6, "bytes_out": 0},
    }
    there = result(rows, demands=demands, device={"copy_GBps": 3000.0})
    head, found = parsed(speed_tables.on_device(here, there))
    assert head == ["Work", "cuda", "moderngl", "JAX", "torch.compile", "CuPy", "CAX", "copying"]
    once = r"1.50\textsuperscript{*}"
    assert found == [
        [r"\emph{This run}", *[""] * 7],
        ["gray", "--", r"5.00\textsuperscript{s}", "--", "--", "--", "--", "--"],
        [r"\emph{H100 machine}", *[""] * 7],
        ["gray", "0.0996", "--", once, "--", "--", "--", "1.00"],
        [SHORT, "--", "--", "--", "--", "1{,}230", "--", "0.000333"],
    ]


def test_host_times_into_a_reused_array_and_a_fresh_one():
    rows = [
        timed("gray", "pixelflow", "numba", "reused", 2.0),
        timed("gray", "pixelflow", "numba", "fresh", 3.0),
        timed("gray", "pixelflow", "cpu", "reused", 4.0, n=1),
        timed("gray", "pixelflow-rc", "cpu", "fresh", 50.0),
    ]
    there = old(
        [timed("gray", "pixelflow-rc", "cuda", "fresh", 7.0), timed("no", "jax", "cpu", "x", None)],
        ["gray", "gray", "no"],
    )
    head, found = parsed(speed_tables.on_host(result(rows), there))
    assert head == ["Work", "cuda", "moderngl", "numba", "cpu", "cuda", "moderngl", "cpu"]
    once = r"4.00\textsuperscript{*} / --"
    assert found == [
        [r"\emph{This run}", *[""] * 7],
        ["gray", "--", "--", "2.00 / 3.00", once, "--", "--", "50.0"],
        [r"\emph{H100 machine}", *[""] * 7],
        ["gray", "--", "--", "--", "--", "7.00", "--", "--"],
    ]


def test_without_any_times_a_table_says_so():
    _, found = parsed(speed_tables.on_device(result([]), old([], [])))
    assert [row[0] for row in found] == [r"\emph{This run}", "--", r"\emph{H100 machine}", "--"]


@pytest.mark.parametrize("recorded", [True, False])
def test_first_calls_here_and_there(recorded):
    calls = [{"backend": "numba", "empty_s": 3.5, "cached_s": 0.15}]
    more = [{"backend": "cuda", "empty_s": 0.51, "cached_s": None}]
    there = result([], first_call=more) if recorded else old([], [])
    head, found = parsed(speed_tables.first_call(result([], first_call=calls), there))
    assert head == ["Backend", "empty", "full", "empty", "full"]
    cuda = [["cuda", "--", "--", "0.510", "--"]] if recorded else []
    assert found == [["numba", "3.50", "0.150", "--", "--"], *cuda]
