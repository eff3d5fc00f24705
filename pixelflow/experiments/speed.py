"""Speed: our backends beside the field's package, and how both scale with samples and grid.

What is timed is one whole `transform`, float32 inputs in host memory to features in host memory.
Ours runs in this process, on all its cores where the backend uses them; the field's package in a
process of its own for each work and backend. They take turns, and whichever waits is idle.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pixelflow.backends.layout import n_threads
from pixelflow.experiments._contest import (
    FIELD,
    OURS,
    STUDIES,
    Contender,
    Contest,
    all_works,
    contenders,
    published_work,
    study,
)
from pixelflow.timing import copy_GBps

KEYS = ("copy_mib", "random", "works", "by_n", "by_grid")
DATASETS = ("mnist",)
logger = logging.getLogger(__name__)

Point = tuple[int, float, float, float]  # n or side, and a sample's median and quartiles in ms


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Time every work of the config on every system and backend that the config names for it.

    Parameters
    ----------
    config : mapping
        The section `speed` of the config, whose schema describes it, and "seed".

    Returns
    -------
    dict
        "copy_GBps" of this machine's memory; "rows", one per work, system and backend, whose times
        are None and whose "renderer" is "not measured" and why where there are none; "published",
        the field's figures and what its package takes here; "summary", medians in ms and how many
        times faster ours is, by name; "agreement", the largest difference of the field's features
        from ours, by work and backend; and "baseline", the versions in the field's environment.

    Raises
    ------
    ValueError
        If the config names a work twice.
    """
    works = all_works(config)
    copied = copy_GBps(config["copy_mib"] * 2**20, n_threads())
    logger.info("copying memory: %.1f GB/s", copied)
    contests: dict[str, Contest] = {}
    for work, rounds in works:
        contest = contests[work.name] = Contest(work, rounds)
        contest.run(work.draw(config["random"]))
    versions = {k: v for contest in contests.values() for k, v in contest.versions.items()}
    rows = [row for contest in contests.values() for row in contest.rows]
    found = {(row["work"], row["system"], row["backend"]): row for row in rows}
    return {
        "copy_GBps": copied,
        "rows": rows,
        "published": _published(config, found),
        "summary": _summary(config, found),
        "agreement": {
            name: {
                backend: contests[published_work(entry).name].agreement.get(backend)
                for backend in entry["rounds"].get(FIELD, {})
            }
            for name, entry in config["works"].items()
        },
        "baseline": versions or None,
    }


def curves(result: Mapping[str, Any], name: str) -> dict[Contender, list[Point]]:
    """A scaling study of a result: milliseconds a sample against n ("by_n") or side ("by_grid").

    Systems and backends that were not measured are left out.
    """
    rows = {(r["work"], r["system"], r["backend"]): r for r in result["metrics"]["rows"]}
    lines: dict[Contender, list[Point]] = {}
    for work, rounds in study(result["config"][name]):
        for contender in contenders(rounds):
            row = rows[work.name, *contender]
            if row["n"]:
                median, q25, q75 = (row[key] / work.n for key in ("median_ms", "q25_ms", "q75_ms"))
                point = (getattr(work, STUDIES[name]), median, q25, q75)
                lines.setdefault(contender, []).append(point)
    return lines


Rows = Mapping[tuple[str, str, str], Mapping[str, Any]]  # by work, system and backend


def _published(config: Mapping[str, Any], rows: Rows) -> list[dict[str, Any]]:
    """Each published time, and what the same backend of the field's package takes here."""
    found = []
    for entry in config["works"].values():
        work = published_work(entry).name
        for backend, published_s in entry["published"].items():
            row = rows.get((work, FIELD, backend))
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
    """Medians, and the field's medians over ours, of the published works; None: not measured.

    The keys depend on the config alone: "wave_2000_field_cpu_ms", and
    "wave_2000_numba_over_field_cpu", how many times the speed of the field's cpu numba has.
    """
    found: dict[str, float | None] = {}
    for name, entry in config["works"].items():
        work = published_work(entry).name
        median = {c: rows[work, *c]["median_ms"] for c in contenders(entry["rounds"])}
        label = {(s, b): f"field_{b}" if s == FIELD else b for s, b in median}
        found |= {f"{name}_{label[c]}_ms": median[c] for c in median}
        for ours in (c for c in median if c[0] == OURS):
            for theirs in (c for c in median if c[0] == FIELD):
                both = median[ours] and median[theirs]
                ratio = median[theirs] / median[ours] if both else None
                found[f"{name}_{label[ours]}_over_{label[theirs]}"] = ratio
    return found
