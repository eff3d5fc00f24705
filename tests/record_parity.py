"""Runs the suites that compare backends, on the hardware that is here, and records the outcome.

    python tests/record_parity.py --out results/recorded/DEVICE/parity.json

All four backends take part; none is stood in for, and none is skipped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from pixelflow import available_backends, results
from pixelflow.backends.registry import BACKENDS

TESTS = Path(__file__).resolve().parent
CONFIG = TESTS.parent / "config" / "recorded"


class Outcomes:
    """A plugin of pytest that counts outcomes by test function and backend."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        path, _, test = report.nodeid.partition("::")
        function, _, parameters = test.partition("[")
        named = [b for b in BACKENDS if b in parameters.rstrip("]").split("-")]
        key = f"{Path(path).name}::{function}" + (f" on {named[0]}" if named else "")
        self.counts.setdefault(key, Counter())[report.outcome] += 1
        if report.outcome == "failed":
            self.failed.append(report.nodeid)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the parity suites' outcome.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="h200", help="a config in config/recorded")
    parser.add_argument("--processes", type=int, default=8, help="if pytest-xdist is there")
    arguments = parser.parse_args()
    config = yaml.safe_load((CONFIG / f"{arguments.device}.yaml").read_text())
    section = config["parity"]
    missing = set(section["backends"]) - set(available_backends())
    if missing:
        sys.exit(f"these backends can't run here: {sorted(missing)}; see python -m pixelflow")
    os.environ["PIXELFLOW_TEST_BACKENDS"] = ",".join(section["backends"])
    os.environ["PIXELFLOW_TEST_SHAPES"] = str(section["shapes"])
    outcomes, start = Outcomes(), time.perf_counter()
    files = [str(TESTS / name) for name in section["suites"]]
    options = ["-q", "-p", "no:cacheprovider", "--durations=8"]
    if find_spec("xdist"):  # kernels are compiled on all cores
        options += ["-n", str(arguments.processes), "--dist", "worksteal"]
    pytest.main([*options, *files], plugins=[outcomes])
    total = sum(outcomes.counts.values(), Counter())
    metrics = {
        "backends": {name: available_backends()[name] for name in section["backends"]},
        "passed": total["passed"],
        "failed": total["failed"],
        "skipped": total["skipped"],
        "failures": outcomes.failed,
        "tests": {key: dict(outcomes.counts[key]) for key in sorted(outcomes.counts)},
    }
    wall_s = time.perf_counter() - start
    whole = {**section, "seed": config["seed"]}
    results.save(arguments.out, results.wrap("parity", whole, metrics, wall_s=wall_s))
    sys.exit(bool(total["failed"] or total["skipped"]))


if __name__ == "__main__":
    main()
