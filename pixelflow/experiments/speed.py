"""Speed of our backends, of the field's package, and of what a user would otherwise write.

Our backends run in this process; the field's package and each peer run in processes of their own.
They are timed in turn, and the processes that wait are idle. A row says what its time includes:
the device alone, or also the transfers from and to the host's memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pixelflow.backends.layout import n_threads
from pixelflow.experiments._speed import roofline
from pixelflow.experiments._speed.contest import Contest
from pixelflow.experiments._speed.first_call import first_calls
from pixelflow.experiments._speed.peers import Peers
from pixelflow.experiments._speed.works import (
    FIELD,
    IMAGES,
    OURS,
    STUDIES,
    Contender,
    Rounds,
    Work,
    all_works,
    contenders,
    named_work,
    study,
)
from pixelflow.tasks import mnist
from pixelflow.timing import copy_GBps

KEYS = ("limit_s", "copy_mib", "random", "works", "by_n", "by_grid", "first_call")
DATASETS = ("mnist",)
logger = logging.getLogger(__name__)

Point = tuple[int, float, float, float]  # n or side, and the median and quartiles of its time
Rows = Mapping[tuple[str, str, str, str], Mapping[str, Any]]  # keys are (work, *contender)


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Time each work of the config on all systems and backends that the config lists for it.

    Parameters
    ----------
    config : mapping
        The section `speed` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        - "copy_GBps": copying speed of the host's memory;
        - "device": the ceilings of the CUDA device;
        - "rows": one per work and contender; where nothing was measured, times are None and
          "renderer" is "not measured: " and the reason;
        - "published": the field's published times, and its package's times on this machine;
        - "summary": by name, medians in ms and how many times faster ours are;
        - "renderers": the hardware that our backends ran on;
        - "roofline": the rates of the named works;
        - "demands": the bytes and operations that each named work needs;
        - "first_call": seconds of the first call in a process;
        - "agreement": by work and contender, the largest difference of features from ours;
        - "baseline": the versions in the environment of the field's package.

    Raises
    ------
    ValueError
        If the config names a work twice.
    """
    start = time.monotonic()
    works = all_works(config)
    if any(work.inputs in ("mnist", IMAGES) for work, *_ in works):
        mnist.load()  # so that missing data is an error before anything is timed
    copied = copy_GBps(config["copy_mib"] * 2**20, n_threads())
    device = roofline.device_ceilings(config["copy_mib"] * 2**20)
    logger.info("copying memory: %.1f GB/s; device: %s", copied, device)
    first = first_calls(config["first_call"])
    logger.info("first calls: %s", first)
    contests = _contests(works, config, start)
    rows = [row for contest in contests.values() for row in contest.rows]
    found = {(row["work"], *(row[key] for key in Contender._fields)): row for row in rows}
    named = {name: named_work(entry) for name, entry in config["works"].items()}
    needs = {w.name: roofline.demands(w, contests[w.name].bytes_in) for w in named.values()}
    return {
        "copy_GBps": copied,
        "device": device,
        "rows": rows,
        "published": _published(config, found),
        "summary": _summary(config, found),
        "renderers": {r["backend"]: r["renderer"] for r in rows[::-1] if r["system"] == OURS},
        "demands": {name: needs[work.name] for name, work in named.items()},
        "roofline": roofline.points(rows, needs),
        "first_call": first,
        "agreement": {name: _agreement(contests[w.name]) for name, w in named.items()},
        "baseline": {k: v for c in contests.values() for k, v in c.versions.items()} or None,
    }


def _contests(
    works: Sequence[tuple[Work, list[Contender], Rounds]], config: Mapping[str, Any], start: float
) -> dict[str, Contest]:
    """Time each work; the rows of works after the time limit only say that it was over."""
    contests: dict[str, Contest] = {}
    with Peers() as peers:
        for work, who, rounds in works:
            contest = contests[work.name] = Contest(work, who, rounds)
            if time.monotonic() - start < config["limit_s"]:
                contest.run(config["random"], peers)
            else:
                contest.skip(f"the run's {config['limit_s']} s were over")
    return contests


def curves(result: Mapping[str, Any], name: str) -> dict[tuple[str, str], list[Point]]:
    """The curves of a scaling study, by system and backend, without points that were not measured.

    They are milliseconds per call against n ("by_n"), or nanoseconds per cell and step against side
    ("by_grid").
    """
    rows = {(r["work"], r["system"], r["backend"], r["out"]): r for r in result["metrics"]["rows"]}
    lines: dict[tuple[str, str], list[Point]] = {}
    for work, who, _ in study(result["config"][name]):
        scale = 1.0 if name == "by_n" else 1e6 / (work.n * work.side**2 * work.steps)
        for contender in who:
            row = rows[work.name, *contender]
            if row["n"]:
                median, q25, q75 = (row[k] * scale for k in ("median_ms", "q25_ms", "q75_ms"))
                point = (getattr(work, STUDIES[name]), median, q25, q75)
                lines.setdefault((contender.system, contender.backend), []).append(point)
    return lines


def scaling_panels(
    result: Mapping[str, Any],
) -> dict[tuple[str, str], dict[tuple[str, str], list[Point]]]:
    """Both studies of a result by their axis labels, size and time, for `plotting.scaling`."""
    return {
        ("samples in one call", "ms a call"): curves(result, "by_n"),
        ("side of the grid, cells", "ns a cell and step"): curves(result, "by_grid"),
    }


def _agreement(contest: Contest) -> dict[str, float | None]:
    return {who.label: contest.agreement.get(who.label) for who in contest.contenders}


def _published(config: Mapping[str, Any], rows: Rows) -> list[dict[str, Any]]:
    """Each published time, and the time of the same backend of the field's package here."""
    found = []
    for entry in config["works"].values():
        work = named_work(entry).name
        for backend, published_s in entry["published"].items():
            row = rows.get((work, FIELD, backend, "fresh"))
            measured = row is not None and row["n"] > 0
            why = row["renderer"].removeprefix("not measured: ") if row else "not in the config"
            found.append(
                {
                    "work": work,
                    "backend": backend,
                    "published_s": published_s,
                    "measured_s": row["median_ms"] / 1e3 if row and measured else None,
                    "status": "rerun" if measured else f"not rerun: {why}",
                }
            )
    return found


def _summary(config: Mapping[str, Any], rows: Rows) -> dict[str, float | None]:
    """Medians of the named works, and their ratios to ours with the same transfers.

    Values without a time are None. The keys depend only on the config: the median
    "wave_2000_numba_reused_ms", and the ratio "wave_2000_field_cpu_over_numba_reused", which says
    how many times faster numba is than the field's cpu.
    """
    found: dict[str, float | None] = {}
    for name, entry in config["works"].items():
        work = named_work(entry).name
        who = contenders(entry["rounds"], entry["out"])
        median = {c: rows[work, *c]["median_ms"] for c in who}
        found |= {f"{name}_{c.label}_ms": median[c] for c in who}
        for ours in (c for c in who if c.system == OURS):
            for other in (c for c in who if c.system != OURS and c.transfers == ours.transfers):
                both = median[ours] and median[other]
                ratio = median[other] / median[ours] if both else None
                found[f"{name}_{other.label}_over_{ours.label}"] = ratio
    return found
