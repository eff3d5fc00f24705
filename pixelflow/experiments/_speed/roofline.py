"""The bytes and operations that a work needs, and the rates that contenders reach."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pixelflow.backends import get_backend
from pixelflow.core.graph import OPERATIONS, Program
from pixelflow.core.plan import compile_states
from pixelflow.experiments._speed.works import CHANNELS, PEERS, Contender, Work

logger = logging.getLogger(__name__)

# Number of float operations in a node of the graph, for those that are more than one.
COUNTED = {"clip": 2, "clip_flush": 2}
LANES = 128  # float32 units per multiprocessor: all NVIDIA GPUs since Maxwell but V100 and A100


def operations(program: Program) -> int:
    """Number of float operations per cell and step; only nodes that vary over cells count."""
    return sum(
        COUNTED.get(op, 1)
        for (op, *_), rank in zip(program.nodes, program.ranks, strict=True)
        if rank == 2 and op in OPERATIONS and "f" in OPERATIONS[op][:-1]
    )


def demands(work: Work, bytes_in: int) -> dict[str, Any]:
    """The work's name, and the bytes and float operations of one call."""
    program = compile_states(work.config).program
    cells = work.n * work.side**2
    features = np.prod(work.config.probe.shape(work.steps, work.side, work.side, CHANNELS))
    each = operations(program)
    return {
        "work": work.name,
        "bytes_in": bytes_in,
        "bytes_out": int(work.n * features * np.float32().itemsize),
        "bytes_states": cells * CHANNELS * np.float32().itemsize,
        "cell_steps": cells * work.steps,
        "operations_per_cell_step": each,
        "operations": each * cells * work.steps,
    }


def points(
    rows: Sequence[Mapping[str, Any]], works: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Operational intensity and rates of all rows that were measured for these works.

    The bytes of peers are those of their states, because they read and write states for all works.
    """
    found = []
    for row in (row for row in rows if row["n"] and row["work"] in works):
        needs = works[row["work"]]
        moved = needs["bytes_in"] + needs["bytes_out"]
        if row["system"] in PEERS:
            moved = 2 * needs["bytes_states"]
        seconds = row["median_ms"] / 1e3
        found.append(
            {
                **{key: row[key] for key in ("work", *Contender._fields)},
                "operations_per_byte": needs["operations"] / moved,
                "GBps": moved / seconds / 1e9,
                "GFLOPs": needs["operations"] / seconds / 1e9,
            }
        )
    return found


def device_ceilings(n_bytes: int) -> dict[str, float | None]:
    """Copying speed of the CUDA device and its peak of float operations; None without a device.

    The peak counts one operation per lane and clock cycle, because products and sums are not
    contracted to one instruction.
    """
    try:
        cuda: Any = get_backend("cuda")
        from cupy.cuda import Device  # pyright: ignore[reportMissingImports]

        has = Device().attributes
        lanes, kilohertz = has["MultiProcessorCount"] * LANES, has["ClockRate"]
        copied = float(cuda.copy_GBps(n_bytes, None))
    except (ImportError, RuntimeError, ValueError, MemoryError, KeyError) as error:
        logger.info("no ceilings of a CUDA device: %s", error)
        return {"copy_GBps": None, "GFLOPs": None}
    return {"copy_GBps": copied, "GFLOPs": lanes * kilohertz / 1e6}
