"""Compare rebuilt numbers with paper/expected.json, and print a table of them.

`expected.json` holds, for each config it knows, the numbers by their path in the results
("mnist.wave.accuracy") with the value and the tolerance of each. A run of another config has
nothing to compare and says so. `--record` writes the rebuilt values in place of the expected, but
for entries that are `fixed`: what others published, and how near to it we must come.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from macros import leaves

from pixelflow import results
from pixelflow.files import written_whole

EXPECTED = Path("paper/expected.json")


class Check(NamedTuple):
    """One number: where it stands, what was expected, what came; None where nothing came."""

    key: str
    expected: float
    tolerance: float
    rebuilt: float | None

    @property
    def passed(self) -> bool:
        return self.rebuilt is not None and abs(self.rebuilt - self.expected) <= self.tolerance


def numbers(paths: Sequence[Path]) -> dict[str, float]:
    """Every number of the results' metrics by its path."""
    found = {}
    for path in paths:
        result = results.read(path)
        for key, value in leaves((result["experiment"],), result["metrics"]):
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[".".join(key)] = value
    return found


def known_config(expected: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """The name of the config file that holds just this config, among those expected."""
    for name in expected:
        path = Path(name)
        if path.exists() and yaml.safe_load(path.read_text(encoding="utf-8")) == config:
            return name
    return None


def compare(expected: Mapping[str, Any], found: Mapping[str, float]) -> list[Check]:
    """A check for every expected number."""
    return [
        Check(key, entry["value"], entry["tolerance"], found.get(key))
        for key, entry in expected.items()
    ]


def table(checks: Sequence[Check]) -> str:
    """The checks as lines of text, failures last so that they are seen."""
    lines = [f"{'number':60s} {'expected':>10s} {'rebuilt':>10s} {'off by':>9s} {'allowed':>9s}"]
    for check in sorted(checks, key=lambda check: not check.passed):
        rebuilt, off = ("absent", "-")
        if check.rebuilt is not None:
            rebuilt, off = f"{check.rebuilt:.6g}", f"{abs(check.rebuilt - check.expected):.2g}"
        lines.append(
            f"{check.key:60s} {check.expected:10.6g} {rebuilt:>10s} {off:>9s} "
            f"{check.tolerance:9.2g} {'ok' if check.passed else 'DIFFERS'}"
        )
    failed = sum(not check.passed for check in checks)
    lines.append(f"{len(checks) - failed} of {len(checks)} numbers as expected")
    return "\n".join(lines) + "\n"


def record(expected: Mapping[str, Any], found: Mapping[str, float]) -> dict[str, Any]:
    """The expected numbers with the values found, where they are not fixed or absent."""
    return {
        key: entry if entry.get("fixed") or key not in found else {**entry, "value": found[key]}
        for key, entry in expected.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT")
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, JSON")
    parser.add_argument("--out", type=Path, required=True, help="where the table goes")
    parser.add_argument("--record", action="store_true", help="take the rebuilt values from now on")
    arguments = parser.parse_args()
    every = json.loads(EXPECTED.read_text(encoding="utf-8"))
    name = known_config(every, arguments.config)
    found = numbers(arguments.results)
    if name is not None and arguments.record:
        every[name] = record(every[name], found)
        with written_whole(EXPECTED) as temporary:
            temporary.write_text(json.dumps(every, indent=2) + "\n", encoding="utf-8")
    checks = compare(every[name], found) if name is not None else []
    text = table(checks) if name is not None else f"{EXPECTED} knows no numbers of this config\n"
    print(text, end="")
    if not all(check.passed for check in checks):
        sys.exit("verify.py: numbers differ from paper/expected.json (marked DIFFERS above)")
    with written_whole(arguments.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
