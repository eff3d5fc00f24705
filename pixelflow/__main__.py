"""Report of the installation: `python -m pixelflow [--json]` prints backends, versions and data."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from pixelflow import results
from pixelflow.backends.registry import BACKENDS, get_backend
from pixelflow.tasks.fetch import DATASETS, data_root

REQUIREMENT = re.compile(r"(?P<spec>(?P<name>[\w.-]+)[^;]*)(;.*extra == ['\"](?P<extra>\w+)['\"])?")


def attempt(section: Callable[[], Any]) -> Any:
    """Make a section of the report, or return its error as text, so that the others are printed."""
    try:
        return section()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def backends() -> dict[str, Any]:
    """The device of each backend, fastest first, or why it can't run and what to install."""

    def describe(name: str) -> dict[str, Any]:
        try:
            return {"runs": True, "on": get_backend(name).describe()}
        except Exception as error:  # a broken driver may raise anything
            return {"runs": False, "why": str(error)}

    return {name: describe(name) for name in BACKENDS}


def packages() -> dict[str, Any]:
    """The installed version of every dependency or None: {extra: {requirement: version}}."""
    try:
        lines = importlib.metadata.requires("pixelflow") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return {"core": results.provenance({})["versions"]}
    found: dict[str, Any] = {}
    for line in lines:
        match = REQUIREMENT.match(line)
        if match and match["extra"] not in ("all", "dev"):
            extra = found.setdefault(match["extra"] or "core", {})
            extra[match["spec"].strip()] = _version(match["name"])
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def data() -> dict[str, Any]:
    """The data folder, and the number of files that it has of each data set."""
    root = data_root()
    sets = {
        name: {
            "files": sum((root / dataset.folder / file).is_file() for file in dataset.md5),
            "of": len(dataset.md5),
        }
        for name, dataset in DATASETS.items()
    }
    return {"folder": str(root), "sets": sets}


def cache() -> Path:
    """The default folder of compiled code and data: the user's cache folder."""
    return Path(platformdirs.user_cache_dir("pixelflow")).expanduser()


def machine() -> dict[str, Any]:
    """The package's version and folder, Python, the processor and the GPUs, as in a result."""
    here = results.provenance({})
    found = {key: here[key] for key in ("python", "platform", "cpu", "gpu", "git")}
    return {"version": here["versions"]["pixelflow"], "folder": str(results.PACKAGE), **found}


def status() -> dict[str, Any]:
    """The whole report; a section that failed is the text of its error."""
    sections = {"machine": machine, "backends": backends, "packages": packages, "data": data}
    found = {name: attempt(section) for name, section in sections.items()}
    return {**found, "cache": attempt(lambda: str(cache()))}


def _machine_lines(here: dict[str, Any]) -> list[str]:
    commit, dirty = here["git"]["commit"], here["git"]["dirty"]
    where = f", commit {commit[:10]}{' with changes' if dirty else ''}" if commit else ""
    gpus = [f"{gpu['name']} (driver {gpu['driver']})" for gpu in here["gpu"] or []]
    return [
        f"pixelflow {here['version'] or '(not installed)'} in {here['folder']}{where}",
        f"Python {here['python']} on {here['platform']}",
        f"CPU: {here['cpu']['model']}, {here['cpu']['cores']} cores",
        f"GPU: {', '.join(gpus) or 'nvidia-smi finds none'}",
    ]


def _backend_lines(found: dict[str, Any]) -> list[str]:
    return [
        f"{name:10s} {entry['on'] if entry['runs'] else 'does not run: ' + entry['why']}"
        for name, entry in found.items()
    ]


def _package_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for extra, versions in found.items():
        there = [f"{re.split('[<>=!~ ]', spec)[0]} {v}" for spec, v in versions.items() if v]
        missing = [f"'{spec}'" for spec, version in versions.items() if not version]
        wanted = [f"missing: pip install {' '.join(missing)}"] if missing else []
        lines.append(f"{extra:10s} {'; '.join([', '.join(there)] * bool(there) + wanted)}")
    return lines


def _data_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, count in found["sets"].items():
        there = f"{count['files']} of {count['of']} files" if count["files"] else "not fetched"
        if count["files"] < count["of"]:
            there += f": python -m pixelflow.tasks.fetch {name}"
        lines.append(f"{name:18s} {there}")
    return lines


def text(found: dict[str, Any]) -> str:
    """Format the report as text."""

    def lines(name: str, layout: Callable[[dict[str, Any]], list[str]], indent: str) -> list[str]:
        section = found[name]
        printed = [section] if isinstance(section, str) else layout(section)
        return [f"{indent}{line}" for line in printed]

    root = found["data"]["folder"] if isinstance(found["data"], dict) else "?"
    return "\n".join(
        [
            *lines("machine", _machine_lines, ""),
            "\nBackends; 'auto' takes the first that runs:",
            *lines("backends", _backend_lines, "  "),
            "\nPackages:",
            *lines("packages", _package_lines, "  "),
            f"\nData in {root}; a file is verified whenever it is read:",
            *lines("data", _data_lines, "  "),
            f"\nCache: {found['cache']}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pixelflow", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the same, for programs")
    arguments = parser.parse_args()
    found = status()
    print(json.dumps(found, indent=2) if arguments.json else text(found))


if __name__ == "__main__":
    main()
