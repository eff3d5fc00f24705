"""Compare rebuilt numbers with paper/expected.json, and print a table of them.

`expected.json` holds, for each config it knows, the numbers by their path in the results
("mnist.wave.accuracy") with the value and the tolerance of each. A run of another config has
nothing to compare and says so. `--record` writes the rebuilt values in place of the expected, but
for entries that are `fixed`: what others published, and how near to it we must come.

An expected number is the same seed's, so its tolerance is for what another machine rounds. Where
the same bank was recorded on another device over several seeds, its accuracy is also that of the
same seed there, give or take a few test images; of a seed that was not recorded, it lies where one
more would: mean +- t s sqrt(1 + 1/S), the 95% prediction interval.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from macros import device, leaves

from pixelflow import results, stats
from pixelflow.files import written_whole

EXPECTED = Path("paper/expected.json")
IMAGES = ("seed", "subset")  # what of two configs must be equal, that banks see the same images,
ROUNDING = 0.002  # of an accuracy, where another device rounds otherwise: 20 of 10,000 images
BANK = ("reservoirs", "augment", "images", "n_train")  # and what of two banks, that they are one
Result = Mapping[str, Any]


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


def among_seeds(paths: Sequence[Path], recorded: Sequence[Path]) -> list[Check]:
    """A check for every row of a bank that was recorded: it is as its seed, or one more, is."""
    ours = [results.read(path) for path in paths]
    theirs = [(f"{device(path)}", results.read(path)) for path in recorded]
    return [
        check
        for here, (where, there) in itertools.product(ours, theirs)
        for name, twin in _recorded_banks(here, there)
        for end in ("", "_zero_steps")
        for check in _among_seeds(here, f"{name}{end}", there, f"{twin}{end}", where)
    ]


def _recorded_banks(here: Result, there: Result) -> list[tuple[str, str]]:
    """The name of each bank here and what it has there, trained and tested on the same images."""
    ours, theirs = here["config"], there["config"]
    alike = here["experiment"] == there["experiment"] and "banks" in ours
    if not alike or here["provenance"]["data"] != there["provenance"]["data"]:
        return []
    return [
        (name, twin)
        for name, bank in ours["banks"].items()
        for twin, other in theirs["banks"].items()
        if all(ours[key] == theirs[key] for key in IMAGES)
        and all(bank[key] == other[key] for key in BANK)
    ]


def _among_seeds(here: Result, name: str, there: Result, twin: str, where: str) -> Iterator[Check]:
    rows = there["metrics"]["rows"]
    seeds = {row["seed"]: row["accuracy"] for row in rows if row["model"] == twin}
    if len(seeds) < 2:  # it has no spread, or no twin without steps
        return
    mean, low, _ = stats.one_more_seed(list(seeds.values()))
    for row in here["metrics"]["rows"]:
        if row["model"] != name:
            continue
        key = f"{here['experiment']}.{name}, seed {row['seed']}"
        if row["seed"] in seeds:
            expected = seeds[row["seed"]]
            yield Check(f"{key}, as on {where}", expected, ROUNDING, row["accuracy"])
        else:
            yield Check(f"{key}, among {where}'s seeds", mean, mean - low, row["accuracy"])


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
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], metavar="RESULT")
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
    checks = []
    if name is not None:
        checks = compare(every[name], found) + among_seeds(arguments.results, arguments.recorded)
    text = table(checks) if name is not None else f"{EXPECTED} knows no numbers of this config\n"
    print(text, end="")
    if not all(check.passed for check in checks):
        sys.exit("verify.py: numbers differ from those expected (marked DIFFERS above)")
    with written_whole(arguments.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
