"""Numba: a rule's emitted source in one loop over a sample's cells, all steps in cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from functools import cache, lru_cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
import platformdirs

from pixelflow.backends import compose
from pixelflow.backends.emit import NUMBA, statements
from pixelflow.backends.layout import (
    cell_numbers,
    halo_sources,
    in_blocks,
    n_threads,
    no_device,
    padded,
)
from pixelflow.core.graph import SMALLEST, Program, expanded
from pixelflow.core.plan import Plan
from pixelflow.files import written_whole

BLOCKS = 8  # for each thread, so that none waits long for another at the end
_IMPORTING = threading.Lock()

# Planes are padded by the rule's radius and flat, so that one loop without branches runs over
# a whole texture: its cells between two rows are computed too, and the next halo overwrites them.
# Planes lie a multiple of 4096 bytes and a bit apart: at exactly a multiple, a store to one and a
# load from the next look like the same address to the processor, and the load waits.
TEMPLATE = '''"""One rule for the numba backend, made by pixelflow from its graph."""

import numpy as np
from numba import njit

f32, u32, u64 = np.float32, np.uint32, np.uint64  # an unsigned index has no sign to be checked
SMALLEST = f32({smallest!r})
WRITTEN = {written}  # which channels the rule writes


@njit(cache=True, nogil=True, error_model="numpy", fastmath={fastmath})
def step(a, b, params, media, cells, key, done, height, width):
    pitch = width + {twice}
    first = {radius} * pitch + {radius}
    n = (height - 1) * pitch + width
{uniform}
{views}
    for i in range(n):
{body}


@njit(cache=True, nogil=True)
def halo(plane, height, width, rows, cols):
    high, wide, pitch = u64(height), u64(width), u64(width + {twice})
    zero = cols[0] < 0
{sources}
    at = u64({radius}) * pitch
    for y in range(height):
{columns}
        at += pitch
    at = u64(0)
    for x in range(width + {twice}):
{ends}
        at += u64(1)


@njit(cache=True, nogil=True)
def load(latents, index, plane, height, width):
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        for x in range(width):
            source = index[y, x]
            plane[first + x] = latents[source] if source >= 0 else f32(0)


@njit(cache=True, nogil=True)
def store(a, out, height, width):
{planes}
    flat = out.reshape(height * width * {channels})
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        start = y * width * {channels}
        for x in range(width):
{interleave}


@njit(cache=True, nogil=True)
def run(latents, index, driven, params, media, cells, keys, rows, cols, times, out, start, stop):
    members, height, width = out.shape[1], out.shape[3], out.shape[4]
    size = (height + {twice}) * (width + {twice})
    size += ({spread} - size) % 1024
    planes = np.zeros((2, {channels}, size), f32)
    a, b = planes[0], planes[1]
    for im in range(start, stop):
        i, m = im // members, im % members
        seen = latents[i, min(m, latents.shape[1] - 1)]
        for c in range({channels}):
            if driven[c]:
                load(seen, index[c], a[c], height, width)
                if not WRITTEN[c]:
                    b[c] = a[c]
            elif WRITTEN[c]:
                a[c] = f32(0)
        read = 0
        for done in range(times[-1] + 1):
            if done == times[read]:
                store(a, out[i, m, read], height, width)
                read += 1
            if done < times[-1]:
{halos}
                step(a, b, params[m], media[m], cells, keys[m], u32(done), height, width)
                a, b = b, a
'''


def describe(device: int | None = None) -> str:
    """What it runs on; ImportError if Numba is missing."""
    no_device("numba", device)
    try:
        import numba
    except ImportError as error:
        raise ImportError(f"backend 'numba' needs Numba ({error}): pip install numba") from error
    return f"Numba {numba.__version__} on {n_threads()} threads"


def trajectories(plan: Plan, latents: np.ndarray, out: np.ndarray, exact: bool) -> None:
    """See `compose.Trajectories`."""
    (height, width, channels), program = plan.shape, plan.program
    radius = program.radius
    module = _compiled(source(program, channels, exact))
    index = np.ascontiguousarray(np.moveaxis(plan.encoder.index, -1, 0))
    fixed = (
        latents,
        index,
        (index >= 0).any(axis=(1, 2)),
        plan.params,
        padded(plan.media, radius),
        cell_numbers(height, width, radius),
        plan.keys,
        halo_sources(height, radius, plan.boundary),
        halo_sources(width, radius, plan.boundary),
        np.array(plan.times),
        out,
    )
    textures = out.reshape(-1, *out.shape[2:])
    block = max(1, -(-len(textures) // (BLOCKS * n_threads())))
    in_blocks(lambda start, stop: module.run(*fixed, start, stop), textures, block)


features = partial(compose.features, trajectories)
batches = partial(compose.batches, features)


@lru_cache(maxsize=256)
def source(program: Program, channels: int, exact: bool) -> str:
    """The module that runs a rule on textures of that many channels."""
    program = expanded(program)
    reads = [i for i, node in enumerate(program.nodes) if node[0] == "read"]
    media = [i for i, node in enumerate(program.nodes) if node[0] == "medium"]
    leaves = {i: f"r{i}[i]" for i in [*reads, *media]}
    views = {i: _view(program.nodes[i]) for i in reads}
    for i, (op, *operands) in enumerate(program.nodes):
        if op == "param":
            leaves[i] = f"params[{program.params.index(operands[0])}]"
        elif op == "medium":
            views[i] = f"media[{program.media.index(operands[0])}, first : first + n]"
        elif op == "cell":
            leaves[i] = "cells[first + i]"
        elif op in ("step", "key"):
            leaves[i] = {"step": "done", "key": "key"}[op]
    lines = statements(program, NUMBA, leaves)
    written = dict(program.outputs)
    ends = [f"o{c} = b[{c}, first : first + n]" for c in written]
    uniform = [line for line, rank in zip(lines, program.ranks, strict=True) if rank == 0]
    varying = [line for line, rank in zip(lines, program.ranks, strict=True) if rank > 0]
    return TEMPLATE.format(
        smallest=float(SMALLEST),
        **_halo_lines(program.radius),
        spread=512 // channels // 16 * 16,
        written=tuple(c in written for c in range(channels)),
        radius=program.radius,
        twice=2 * program.radius,
        channels=channels,
        fastmath=False if exact else {"contract", "afn", "arcp", "nsz"},
        uniform=_indented(uniform, 4),
        views=_indented([*(f"r{i} = {view}" for i, view in views.items()), *ends], 4),
        body=_indented([*varying, *(f"o{c}[i] = v{i}" for c, i in written.items())], 8),
        planes=_indented([f"p{c} = a[{c}]" for c in range(channels)], 4),
        interleave=_indented(
            [f"flat[start + {channels} * x + {c}] = p{c}[first + x]" for c in range(channels)], 12
        ),
        halos=_indented(
            [f"halo(a[{c}], height, width, rows, cols)" for c in program.neighboured], 16
        ),
    )


def _halo_lines(radius: int) -> dict[str, str]:
    """The lines of `halo`, unrolled: where each cell beyond an edge is, and where it comes from."""
    sources, columns, ends = ["pass"], ["pass"], ["pass"]
    for j in range(2 * radius):
        x = f"u64({j})" if j < radius else f"wide + u64({j})"
        y = f"u64({j})" if j < radius else f"(high + u64({j}))"
        sources += [f"c{j} = u64({radius} + max(cols[{j}], 0))"]
        sources += [f"r{j}, e{j} = u64({radius} + max(rows[{j}], 0)) * pitch, {y} * pitch"]
        columns += [f"plane[at + {x}] = f32(0) if zero else plane[at + c{j}]"]
        ends += [f"plane[at + e{j}] = f32(0) if zero else plane[at + r{j}]"]
    lines = {"sources": (sources, 4), "columns": (columns, 8), "ends": (ends, 8)}
    return {name: _indented(text, spaces) for name, (text, spaces) in lines.items()}


def _view(node: tuple) -> str:
    """The cells that a read sees, as a slice of a flat plane."""
    _, dy, dx, channel = node
    start = f"first + {dy} * pitch + {dx}"
    return f"a[{channel}, {start} : {start} + n]"


def _indented(lines: list[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def _compiled(text: str) -> ModuleType:
    """One module for all threads, so that each rule is compiled once."""
    with _IMPORTING:
        return _imported(text)


@lru_cache(maxsize=256)
def _imported(text: str) -> ModuleType:
    """The imported module of that source, kept on disk so that Numba's own cache finds it."""
    name = f"rule_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = _folder() / f"{name}.py"
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(text)
    spec = importlib.util.spec_from_file_location(f"pixelflow_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _folder() -> Path:
    """Where emitted modules live: the user's cache folder, else one of this process alone."""
    folder = Path(platformdirs.user_cache_dir("pixelflow")) / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(_own_folder().name)


@cache
def _own_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="pixelflow-")
