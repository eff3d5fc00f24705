"""Timing of calls; all timings use this module.

It imports nothing from the package, because the field's package is timed by this same file in an
interpreter of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


class Timing(NamedTuple):
    """Median and quartiles of `n` times, milliseconds."""

    median_ms: float
    q25_ms: float
    q75_ms: float
    n: int


def seconds(
    call: Callable[[], object],
    synchronise: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Wall time of one call in seconds; its result is deleted after the clock is read.

    Parameters
    ----------
    call : callable
        The call to time. It is not warmed up here.
    synchronise : callable, optional
        Waits until the device is idle. It is called before the clock starts, so that earlier work
        is not counted, and before the clock stops, so that all work of the call is counted.
    clock : callable
        Returns seconds.
    """
    if synchronise is not None:
        synchronise()
    start = clock()
    result = call()
    if synchronise is not None:
        synchronise()
    stop = clock()
    del result  # freeing memory is not timed
    return stop - start


def summary(times: Sequence[float]) -> Timing:
    """Median and quartiles of times in seconds, interpolated linearly.

    Raises
    ------
    ValueError
        If there are no times.

    Examples
    --------
    >>> from pixelflow.timing import summary
    >>> summary([0.004, 0.001, 0.002])
    Timing(median_ms=2.0, q25_ms=1.5, q75_ms=3.0, n=3)
    """
    if not times:
        raise ValueError("times must have at least one number, got no times")
    q25, median, q75 = np.quantile(times, [0.25, 0.5, 0.75]) * 1e3
    return Timing(float(median), float(q25), float(q75), len(times))


def measure(
    call: Callable[[], object],
    n: int,
    *,
    warm_up: int = 1,
    synchronise: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time `n` calls after `warm_up` calls that are not timed.

    Parameters are those of `seconds`.
    """
    for _ in range(warm_up):
        call()
    return summary([seconds(call, synchronise, clock) for _ in range(n)])


def in_turn(
    timed: Mapping[Key, Callable[[], Sequence[float]]], rounds: Mapping[Key, int]
) -> dict[Key, list[float]]:
    """Time contenders in turn, round by round, so that other load on the machine affects all.

    Parameters
    ----------
    timed : mapping
        The contenders, warmed up. Each call is one turn and returns its times in seconds; a
        contender that returns no times gets no more turns.
    rounds : mapping
        Number of turns of each contender, at least one.

    Returns
    -------
    dict
        All times of each contender, seconds.
    """
    times: dict[Key, list[float]] = {key: [] for key in timed}
    failed: set[Key] = set()
    for done in range(max((rounds[key] for key in timed), default=0)):
        for key in (key for key in timed if done < rounds[key] and key not in failed):
            found = timed[key]()
            times[key] += found
            if not found:
                failed.add(key)
    return times


def burst(once_s: float, total_s: float = 0.1, most: int = 20) -> int:
    """Number of calls in a turn: as many of `once_s` seconds as fit into `total_s`, 1 to `most`.

    Examples
    --------
    >>> from pixelflow.timing import burst
    >>> burst(0.02), burst(3.0), burst(1e-6)
    (5, 1, 20)
    """
    return max(1, min(most, int(total_s / max(once_s, 1e-9) + 1e-9)))


def copy_GBps(
    n_bytes: int,
    n_threads: int = 1,
    n: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Copying speed of memory, GB/s: bytes read plus bytes written, over the median time.

    Parameters
    ----------
    n_bytes : int
        Size of the array and of its copy; each should be much larger than the caches.
    n_threads : int
        Number of threads, which copy a part each; one thread doesn't saturate most memories.
    n : int
        Number of copies that are timed.
    clock : callable
        Returns seconds.
    """
    source = np.ones(max(1, n_bytes // 8))
    target = np.empty_like(source)
    parts = np.array_split(target, n_threads), np.array_split(source, n_threads)
    with ThreadPoolExecutor(n_threads) as pool:
        timing = measure(lambda: list(pool.map(np.copyto, *parts)), n, clock=clock)
    return 2 * source.nbytes / timing.median_ms / 1e6
