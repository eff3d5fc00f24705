"""Compare the rebuilt numbers with the expected ones, and print a table of both.

paper/expected.json has the expected numbers of some configs, each with its path in the results
("mnist.wave.accuracy"), value and tolerance. If it has none for the config of this run, the output
says so. `--record` replaces the expected values by the rebuilt ones, except entries that are
`fixed`: they were published by others, and their tolerance says how close we must come.

An expected number is of the same seed, so its tolerance only covers rounding on another machine.
Banks that were recorded on another device over several seeds are checked against those, too. If the
same seed was recorded there, the accuracies may differ by a few test images. If not, the accuracy
must lie in the 95% prediction interval for one more seed: mean +- t s sqrt(1 + 1/S).
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
# Two banks are the same if these keys are equal in their configs, and these in their own sections.
CONFIG_KEYS = ("seed", "subset")
BANK_KEYS = ("reservoirs", "augment", "images", "n_train")
ROUNDING = 0.002  # of an accuracy, because devices round differently: 20 of 10,000 test images
Result = Mapping[str, Any]


class Check(NamedTuple):
    """One number: its path in the results, the expected and the rebuilt value (None if absent)."""

    key: str
    expected: float
    tolerance: float
    rebuilt: float | None

    @property
    def passed(self) -> bool:
        return self.rebuilt is not None and abs(self.rebuilt - self.expected) <= self.tolerance


def numbers(paths: Sequence[Path]) -> dict[str, float]:
    """Every number in the results' metrics, by its path."""
    found = {}
    for path in paths:
        result = results.read(path)
        for key, value in leaves((result["experiment"],), result["metrics"]):
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[".".join(key)] = value
    return found


def known_config(expected: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Which of the config files in expected.json has this content; None if none has."""
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
    """A check of every row of a bank that was also recorded on another device."""
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
    """The names, here and there, of banks that are the same and saw the same images."""
    ours, theirs = here["config"], there["config"]
    same = here["experiment"] == there["experiment"] and "banks" in ours
    if not same or here["provenance"]["data"] != there["provenance"]["data"]:
        return []
    return [
        (name, twin)
        for name, bank in ours["banks"].items()
        for twin, other in theirs["banks"].items()
        if all(ours[key] == theirs[key] for key in CONFIG_KEYS)
        and all(bank[key] == other[key] for key in BANK_KEYS)
    ]


def _among_seeds(here: Result, name: str, there: Result, twin: str, where: str) -> Iterator[Check]:
    rows = there["metrics"]["rows"]
    seeds = {row["seed"]: row["accuracy"] for row in rows if row["model"] == twin}
    if len(seeds) < 2:  # one seed has no spread; or it has no zero-step twin
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
    """The checks as lines of text, failures last, where a reader looks first."""
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
    """The expected numbers, with the rebuilt values where these exist and are not fixed."""
    return {
        key: entry if entry.get("fixed") or key not in found else {**entry, "value": found[key]}
        for key, entry in expected.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT", help="results of this run"
    )
    parser.add_argument(
        "--recorded", type=Path, nargs="*", default=[], metavar="RESULT", help="of other devices"
    )
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, JSON")
    parser.add_argument("--out", type=Path, required=True, help="the file for the table")
    parser.add_argument(
        "--record", action="store_true", help="make the rebuilt values the expected ones"
    )
    arguments = parser.parse_args()
    every_config = json.loads(EXPECTED.read_text(encoding="utf-8"))
    name = known_config(every_config, arguments.config)
    found = numbers(arguments.results)
    if name is not None and arguments.record:
        every_config[name] = record(every_config[name], found)
        with written_whole(EXPECTED) as temporary:
            temporary.write_text(json.dumps(every_config, indent=2) + "\n", encoding="utf-8")
    checks = []
    if name is not None:
        checks = compare(every_config[name], found) + among_seeds(
            arguments.results, arguments.recorded
        )
    text = table(checks) if name is not None else f"{EXPECTED} has no numbers for this config\n"
    print(text, end="")
    if not all(check.passed for check in checks):
        sys.exit("verify.py: some numbers are not as expected; they are marked DIFFERS above")
    with written_whole(arguments.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
