"""The paper's tables of times: a row for each work, a column for each contender."""

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
NOT_MEASURED = "--"


def on_device(here: Result, recorded: Result) -> str:
    """Times on the device, and the time to copy as many bytes as each work must move."""

    def cells(result: Result, rows: Rows, work: str) -> list[str]:
        timed = [_cell(rows, work, *contender, "device") for contender in ON_DEVICE.values()]
        return [*timed, _copying(result, work)] if {*timed} != {NOT_MEASURED} else []

    head = ["Work", *ON_DEVICE, "copying"]
    return tabular("l" + "r" * 7, head, _blocks(here, recorded, cells, len(head)))


def on_host(here: Result, recorded: Result) -> str:
    """Times from host memory to host memory; ours into a reused and into a fresh array."""

    def cells(_: Result, rows: Rows, work: str) -> list[str]:
        ours = [
            " / ".join(_cell(rows, work, OURS, backend, out) for out in ("reused", "fresh"))
            for backend in BACKENDS
        ]
        ours = [
            NOT_MEASURED if cell == f"{NOT_MEASURED} / {NOT_MEASURED}" else cell for cell in ours
        ]
        theirs = [_cell(rows, work, FIELD, backend, "fresh") for backend in THEIRS]
        return [*ours, *theirs] if {*ours, *theirs} != {NOT_MEASURED} else []

    head = ["Work", *BACKENDS, *THEIRS]
    extra_head = (
        rf"& \multicolumn{{4}}{{c}}{{{OURS}, reused / fresh}}"
        rf" & \multicolumn{{3}}{{c}}{{{FIELD}}} \\"
        "\n\\cmidrule(lr){2-5}\\cmidrule(l){6-8}\n"
    )
    return tabular("l" + "r" * 7, head, _blocks(here, recorded, cells, len(head)), extra_head)


def first_call(here: Result, recorded: Result) -> str:
    """Seconds of the first call in a new process, by backend."""
    found = [
        {entry["backend"]: entry for entry in result["metrics"].get("first_call", [])}
        for result in (here, recorded)
    ]
    lines = []
    for backend in dict.fromkeys((*found[0], *found[1])):
        entries = [calls.get(backend, {}) for calls in found]
        times = [entry.get(key) for entry in entries for key in ("empty_s", "cached_s")]
        lines.append([backend, *(NOT_MEASURED if t is None else three_digits(t) for t in times)])
    head = ["Backend", *["empty", "full"] * 2]
    extra_head = (
        r"& \multicolumn{2}{c}{this run} & \multicolumn{2}{c}{H100 machine} \\"
        "\n\\cmidrule(lr){2-3}\\cmidrule(l){4-5}\n"
    )
    return tabular("lrrrr", head, [lines], extra_head)


Cells = Callable[[Result, Rows, str], list[str]]


def _blocks(here: Result, recorded: Result, cells: Cells, n: int) -> list[list[list[str]]]:
    """The named works of each result under its title, without those that were not measured."""
    blocks = []
    for title, result in (("This run", here), ("H100 machine", recorded)):
        # Older recorded results have no "out"; their times are into fresh arrays.
        rows = {
            (row["work"], row["system"], row["backend"], row.get("out", "fresh")): row
            for row in result["metrics"]["rows"]
        }
        lines = []
        for work in _named(result):
            found = cells(result, rows, work)
            lines += [[_short(work), *found]] if found else []
        blocks.append([[rf"\emph{{{title}}}", *[""] * (n - 1)], *(lines or [[NOT_MEASURED] * n])])
    return blocks


def _named(result: Result) -> list[str]:
    """The works that have a name of their own in the config."""
    metrics = result["metrics"]
    entries = [*metrics.get("demands", {}).values(), *metrics["published"]]
    return list(dict.fromkeys(entry["work"] for entry in entries))


def _short(work: str) -> str:
    for long, short in SHORT.items():
        work = re.sub(long, short, work)
    return words(work).replace(" x ", r"\,$\times$\,")


def _cell(rows: Rows, work: str, system: str, backend: str, out: str) -> str:
    """Milliseconds; marked * if timed once, and s if a software renderer ran."""
    row = rows.get((work, system, backend, out))
    if row is None or not row["n"]:
        return NOT_MEASURED
    software = "(software)" in row.get("renderer", "")
    marks = ["s"] * software + ["*"] * (row["n"] == 1)
    raised = rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""
    return three_digits(row["median_ms"]) + raised


def _copying(result: Result, work: str) -> str:
    """Milliseconds to read the inputs and write the features at the speed of copying."""
    metrics = result["metrics"]
    speed: float | None = metrics.get("device", {}).get("copy_GBps")
    needs = {entry["work"]: entry for entry in metrics.get("demands", {}).values()}
    if speed is None or work not in needs:
        return NOT_MEASURED
    moved = needs[work]["bytes_in"] + needs[work]["bytes_out"]
    return three_digits(moved / speed / 1e6)
