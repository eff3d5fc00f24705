"""What the processor backends share: padded planes, beyond the edge, and threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pixelflow.core.boundaries import beyond

PAGE_BYTES = 4096


def halo_sources(length: int, radius: int, boundary: str) -> np.ndarray:
    """Where the `radius` cells before and the `radius` after an axis come from; -1 is zero.

    Returns
    -------
    int64 array (2 * radius,)
        Positions inside the axis, first for -radius .. -1, then length .. length + radius - 1.
    """
    before_and_after = np.concatenate([np.arange(-radius, 0), np.arange(length, length + radius)])
    return beyond(before_and_after, length, boundary)


def padded(planes: np.ndarray, radius: int) -> np.ndarray:
    """Planes (..., H, W) with a halo of zeros, each flattened: (..., (H + 2r) (W + 2r))."""
    width = [(0, 0)] * (planes.ndim - 2) + [(radius, radius)] * 2
    whole = np.pad(planes, width)
    return whole.reshape(*planes.shape[:-2], whole.shape[-2] * whole.shape[-1])


def cell_numbers(height: int, width: int, radius: int) -> np.ndarray:
    """The number y * W + x of each cell of a padded plane, flattened, as uint32."""
    return padded(np.arange(height * width, dtype=np.uint32).reshape(height, width), radius)


def no_device(backend: str, device: int | None) -> None:
    """Refuse the choice of a GPU."""
    if device is not None:
        raise ValueError(f"device picks a GPU, and {backend!r} runs on none: leave it None")


def n_threads() -> int:
    """How many threads to use: NUMBA_NUM_THREADS (set by joblib in its workers) or all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, int(os.environ.get("NUMBA_NUM_THREADS") or cores or 1))


def in_blocks(work: Callable[[int, int], object], out: np.ndarray, block: int) -> None:
    """Call ``work(start, stop)`` for blocks of the rows of `out`, on all cores."""
    blocks = [(start, min(start + block, len(out))) for start in range(0, len(out), block)]
    threads = min(n_threads(), len(blocks))
    if threads <= 1:
        for start, stop in blocks:
            work(start, stop)
        return
    # This thread touches fresh memory a block ahead of the others: where they do it themselves,
    # on a virtual machine, page faults cost them as much time as the work. Then it does the last
    # block, for which no other thread need start where there are few.
    pages = out.reshape(len(out), -1)[:, :: PAGE_BYTES // out.itemsize]
    with ThreadPoolExecutor(threads) as pool:
        running = []
        for start, stop in blocks[:-1]:
            pages[start:stop] = 0
            running.append(pool.submit(work, start, stop))
        work(*blocks[-1])
        for future in running:
            future.result()
