"""The CUDA source of a plan: its constants, the template of its layout, its rule's graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelflow.backends.cuda import convolved, rest
from pixelflow.backends.cuda.patches import registers_of, stride
from pixelflow.backends.cuda.shapes import (
    REGISTERS_OF_ALL,
    Layout,
    Reach,
    is_local,
    is_texture,
    reach,
)
from pixelflow.backends.cuda.shortcuts import Shortcuts, shortcuts
from pixelflow.backends.cuda.tables import position, table
from pixelflow.backends.emit import CUDA, declared
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.drives import Drive
from pixelflow.core.encoders import PIXEL, Encoder
from pixelflow.core.forms import LIMITS, Form, Local
from pixelflow.core.graph import SMALLEST, Program
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

PARTS = {
    "registers": ("common", "probe", "patch", "stage", "registers"),
    "shared": ("common", "probe", "strips", "shared"),
    "convolved": ("common", "probe", "convolve", "convolved"),
    "convolved_tiles": ("common", "probe", "convolve", "planes", "convolved_tiles"),
    "tiles": ("common", "probe", "patch", "planes", "tiles"),
    "cells": ("common", "probe", "strips", "planes", "cells"),
    "rest": ("common", "rest"),
}
FOLDER = Path(__file__).parent


def source(plan: Plan, chosen: Layout, value: type, exact: bool) -> str:
    """The module of a plan in a layout, for inputs of a type.

    Two plans with the same source differ in numbers alone: parameters, media, keys, index, steps.
    """
    seen = reach(plan.program)
    short = shortcuts(plan)
    constants = _constants(plan, chosen, seen, short, value)
    parts = [(FOLDER / f"{name}.cuh").read_text() for name in PARTS[chosen.kind]]
    if chosen.kind in convolved.KINDS:
        parts.append(convolved.convolutions(plan))
    if chosen.kind == "rest":
        parts.append(rest.may_change(plan.program))
    functions = _squash(plan.encoder.form), _rule(plan.program, short, chosen.kind)
    return "\n".join([constants, *parts, *functions])


def _constants(plan: Plan, chosen: Layout, seen: Reach, short: Shortcuts, value: type) -> str:
    """Namespace `plan`: numbers, types, and what holds for each channel."""
    numbers = _of_plan(plan, seen) | _of_layout(plan, chosen, value)
    if chosen.kind in convolved.KINDS:
        numbers |= convolved.constants(plan, chosen, value)
    if chosen.kind == "rest":
        numbers |= rest.constants(plan.program)
    numbers["SHORTCUTS"] = int(bool(short.bounds))
    lines = [f"#define DRIVEN {int(plan.drive is not None)}"]
    lines += ["namespace plan {", f"enum {{ {', '.join(BOUNDARIES).upper()} }};"]
    lines += [f"constexpr int {name} = {number};" for name, number in numbers.items()]
    lines += [
        f"using Value = {'unsigned char' if value == np.uint8 else 'float'};",
        f"constexpr float SMALLEST = {float(SMALLEST)!r}f, PIXEL = {float(PIXEL)!r}f;",
        *_tables(plan, seen, short),
        *(rest.tables(plan.program) if chosen.kind == "rest" else ()),
        "}",
    ]
    return "\n".join(lines)


def _of_plan(plan: Plan, seen: Reach) -> dict[str, int]:
    height, width, channels = plan.shape
    probe, program = plan.probe, plan.program
    return {
        "H": height,
        "W": width,
        "C": channels,
        "K": len(program.held),
        "REACH": program.radius,
        "UP": seen.up,
        "DOWN": seen.down,
        "LEFT": seen.left,
        "RIGHT": seen.right,
        "VERTICALS": len(seen.vertical),
        "EXACT_RULE": int(program.exact),
        "MEMBERS": plan.members,
        "PARAMETERS": plan.params.shape[1],
        "MEDIA": plan.media.shape[1],
        "BOUNDARY": BOUNDARIES.index(plan.boundary),
        "IDENTITY": int(plan.encoder.identical),
        "PRODUCTS": int(is_local(plan)),
        "DEPTH": _depth(plan.encoder),
        "PLAIN": int(probe == Probe()),
        "READ": channels if probe.channels is None else len(probe.channels),
        "SIGNS": 1 + probe.rectify,
        "POOL": probe.pool or 0,
        "MEAN": int(probe.pool_op == "mean"),
        "ALIGNED": int(plan.feature_dim % 4 == 0 and plan.texture_size % 4 == 0),
        **_of_drive(plan.drive),
    }


def _of_drive(drive: Drive | None) -> dict[str, int]:
    if drive is None:
        return {"TERMS": 0, "DRIVES": 0, "COLUMNS": 0}
    _, terms, channels, *_ = drive.columns.shape
    return {"TERMS": terms, "DRIVES": channels, "COLUMNS": drive.inputs}


def _depth(encoder: Encoder) -> int:
    """How many latent values lie, in the encoder's order, between one cell's and the next one's."""
    if isinstance(encoder.form, Local):
        return encoder.form.kernel.shape[1]
    return encoder.index.shape[2] if encoder.identical else 1


def _squash(form: Form | None) -> str:
    """What becomes of a local map's product, as a function; NaN stays."""
    lines = []
    if isinstance(form, Local):
        low, high = (float(np.float32(limit)) for limit in LIMITS[form.squash])
        lines += [f"x = x < {low!r}f ? {low!r}f : x;"] * (low > -np.inf)
        lines += [f"x = x > {high!r}f ? {high!r}f : x;"] * (high < np.inf)
        lines += ["x = root(x);"] * (form.squash == "root")
    body = " ".join([*lines, "return x;"])
    return f"__device__ __forceinline__ float squashed(float x) {{ {body} }}"


def _of_layout(plan: Plan, chosen: Layout, value: type) -> dict[str, int]:
    height, width, _ = plan.shape
    return {
        "STRIDE": stride(chosen, width),
        "STAGED": chosen.staged,
        "STAGED_IN": int(is_texture(plan) and value == np.float32),
        "KEPT": int(chosen.kept and value == np.float32),
        "P": chosen.columns,
        "R": chosen.rows,
        "ROW_STRIDE": chosen.row_stride,
        "BH": chosen.tile[0],
        "BW": chosen.tile[1],
        "TILED_Y": int(chosen.tile[0] < height),
        "TILED_X": int(chosen.tile[1] < width),
        "SLOTS": chosen.slots,
        "THREADS": chosen.threads,
        "BLOCKS": max(1, REGISTERS_OF_ALL // registers_of(chosen) // chosen.threads),
    }


def _tables(plan: Plan, seen: Reach, short: Shortcuts) -> list[str]:
    """For each held channel, or each channel of the texture, what kernels ask of it."""
    program, channels = plan.program, plan.shape[2]
    held, written, read = program.held, dict(program.outputs), plan.probe.channels
    return [
        table("held", held),
        table("written", [int(c in written) for c in held]),
        table("neighboured", [int(c in program.neighboured) for c in held]),
        table("vertical", [position(seen.vertical, c) for c in held]),
        table("horizontal", [int(c in seen.horizontal) for c in held]),
        table("diagonal", [int(c in seen.diagonal) for c in held]),
        table("unit", [int(written.get(c) in short.units) for c in held]),
        table("bound", [f"{short.bounds.get(c, -1.0)!r}f" for c in held], "float"),
        table("held_as", [position(held, c) for c in range(channels)]),
        table("encodes", [position(plan.encoder.encoded_channels, c) for c in range(channels)]),
        table("drives", [position(plan.drive.channels if plan.drive else (), c) for c in held]),
        table("read_channel", range(channels) if read is None else read),
    ]


def _rule(program: Program, short: Shortcuts, kind: str) -> str:
    """The rule as a function of one cell."""
    sums = convolved.numbered(program) if kind in convolved.KINDS else {}
    texts = {i: f"at.unit(v{program.nodes[i][1]})" for i in short.units}
    for i, (scale, j, other, sign) in short.scaled.items():
        texts[i] = f"at.scaled({scale!r}f, v{j}, {sign}v{other})"
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "read":
            dy, dx, channel = operands
            texts[i] = f"at.read({program.held.index(channel)}, {dy}, {dx})"
        elif op == "param":
            texts[i] = f"at.param({operands[0]})"
        elif op == "medium":
            texts[i] = f"at.medium({program.media.index(operands[0])})"
        elif op == "convolve":
            sides = ", ".join(map(str, operands))
            texts[i] = f"at.convolved({sums[i]})" if i in sums else f"at.convolve({sides})"
        elif op in ("step", "cell", "key"):
            texts[i] = f"at.{op}()"
    lines = declared(program, CUDA, texts)
    lines += [f"next[{program.held.index(channel)}] = v{i};" for channel, i in program.outputs]
    body = "\n".join(f"    {line}" for line in lines)
    head = "__device__ __forceinline__ void rule(const Cell& at, float* next)"
    return f"template <class Cell>\n{head} {{\n{body}\n}}"
