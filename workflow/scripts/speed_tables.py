"""Results of `speed` to LaTeX: a work a row, a contender a column, this run and a recorded one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tabular import tabular, three_digits, words

Result = Mapping[str, Any]
Rows = Mapping[tuple[str, ...], Mapping[str, Any]]  # by work, system, backend and out
OURS, FIELD = "pixelflow", "pixelflow-rc"
SHORT = {"states in and out": "states", "uint8 images in": "bytes", r"\d+x\d+ pooled out": "pooled"}
ON_DEVICE = {
    "cuda": (OURS, "cuda"),
    "moderngl": (OURS, "moderngl"),
    "JAX": ("jax", "cuda"),
    "torch.compile": ("torch.compile", "cuda"),
    "CuPy": ("cupy", "cuda"),
    "CAX": ("cax", "cuda"),
}
BACKENDS = ("cuda", "moderngl", "numba", "cpu")
THEIRS = ("cuda", "moderngl", "cpu")
NOTHING = "--"


def on_device(here: Result, recorded: Result) -> str:
    """Device times, and what the works' bytes take at the device's copying speed."""

    def cells(result: Result, rows: Rows, work: str) -> list[str]:
        timed = [_cell(rows, work, *contender, "device") for contender in ON_DEVICE.values()]
        return [*timed, _copying(result, work)] if {*timed} != {NOTHING} else []

    head = ["Work", *ON_DEVICE, "copying"]
    return tabular("l" + "r" * 7, head, _blocks(here, recorded, cells, len(head)))


def on_host(here: Result, recorded: Result) -> str:
    """Times from host to host memory, ours into a reused array and into a fresh one."""

    def cells(_: Result, rows: Rows, work: str) -> list[str]:
        ours = [
            " / ".join(_cell(rows, work, OURS, backend, out) for out in ("reused", "fresh"))
            for backend in BACKENDS
        ]
        ours = [NOTHING if cell == f"{NOTHING} / {NOTHING}" else cell for cell in ours]
        theirs = [_cell(rows, work, FIELD, backend, "fresh") for backend in THEIRS]
        return [*ours, *theirs] if {*ours, *theirs} != {NOTHING} else []

    head = ["Work", *BACKENDS, *THEIRS]
    above = (
        rf"& \multicolumn{{4}}{{c}}{{{OURS}, reused / fresh}}"
        rf" & \multicolumn{{3}}{{c}}{{{FIELD}}} \\"
        "\n\\cmidrule(lr){2-5}\\cmidrule(l){6-8}\n"
    )
    return tabular("l" + "r" * 7, head, _blocks(here, recorded, cells, len(head)), above)


def first_call(here: Result, recorded: Result) -> str:
    """Seconds of a process's first call, by backend."""
    found = [
        {entry["backend"]: entry for entry in result["metrics"].get("first_call", [])}
        for result in (here, recorded)
    ]
    lines = []
    for backend in dict.fromkeys((*found[0], *found[1])):
        entries = [calls.get(backend, {}) for calls in found]
        times = [entry.get(key) for entry in entries for key in ("empty_s", "cached_s")]
        lines.append([backend, *(NOTHING if t is None else three_digits(t) for t in times)])
    head = ["Backend", *["empty", "full"] * 2]
    above = (
        r"& \multicolumn{2}{c}{this run} & \multicolumn{2}{c}{H100 machine} \\"
        "\n\\cmidrule(lr){2-3}\\cmidrule(l){4-5}\n"
    )
    return tabular("lrrrr", head, [lines], above)


Cells = Callable[[Result, Rows, str], list[str]]


def _blocks(here: Result, recorded: Result, cells: Cells, n: int) -> list[list[list[str]]]:
    """The named works of each result under its title; a work with nothing measured is left out."""
    blocks = []
    for title, result in (("This run", here), ("H100 machine", recorded)):
        # A result recorded before there was "out" has times into fresh arrays.
        rows = {
            (row["work"], row["system"], row["backend"], row.get("out", "fresh")): row
            for row in result["metrics"]["rows"]
        }
        lines = []
        for work in _named(result):
            found = cells(result, rows, work)
            lines += [[_short(work), *found]] if found else []
        blocks.append([[rf"\emph{{{title}}}", *[""] * (n - 1)], *(lines or [[NOTHING] * n])])
    return blocks


def _named(result: Result) -> list[str]:
    """The names of the config's works."""
    metrics = result["metrics"]
    entries = [*metrics.get("demands", {}).values(), *metrics["published"]]
    return list(dict.fromkeys(entry["work"] for entry in entries))


def _short(work: str) -> str:
    for long, short in SHORT.items():
        work = re.sub(long, short, work)
    return words(work).replace(" x ", r"\,$\times$\,")


def _cell(rows: Rows, work: str, system: str, backend: str, out: str) -> str:
    """Milliseconds; marked where timed once, and where a software renderer ran."""
    row = rows.get((work, system, backend, out))
    if row is None or not row["n"]:
        return NOTHING
    software = "(software)" in row.get("renderer", "")
    marks = ["s"] * software + ["*"] * (row["n"] == 1)
    raised = rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""
    return three_digits(row["median_ms"]) + raised


def _copying(result: Result, work: str) -> str:
    """Milliseconds that reading the inputs and writing the features takes at copying speed."""
    metrics = result["metrics"]
    speed: float | None = metrics.get("device", {}).get("copy_GBps")
    needs = {entry["work"]: entry for entry in metrics.get("demands", {}).values()}
    if speed is None or work not in needs:
        return NOTHING
    moved = needs[work]["bytes_in"] + needs[work]["bytes_out"]
    return three_digits(moved / speed / 1e6)
