"""Run one experiment, without Jupyter or Snakemake, and write its result."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from pixelflow import experiments, results
from pixelflow.checks import brief
from pixelflow.experiments._kept import FOLDER
from pixelflow.experiments._schema import problems
from pixelflow.tasks.fetch import FetchError

MOST = 5  # things that are wrong, of which it tells
DEFAULT = Path("config/paper.yaml")


def section(path: Path, name: str) -> dict[str, Any]:
    """The experiment's own section of a config file (YAML or JSON), and the seed."""
    config = _parsed(path)
    missing = [key for key in ("seed", name) if not isinstance(config, dict) or key not in config]
    if missing:
        raise ValueError(f"{path} has no {' and no '.join(missing)}")
    wrong = problems({"seed": config["seed"], name: config[name]}, name)
    if wrong:
        raise ValueError(f"{path} is wrong: {'; '.join(wrong[:MOST])}")
    if not isinstance(config[name], dict):  # where the schema can't be looked at
        raise ValueError(f"{path} is wrong: {name} must be a mapping, got {brief(config[name])}")
    return {**config[name], "seed": config["seed"]}


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else _parsed_yaml(text)
        return results._plain(config, "config")  # what a result can't hold: dates, say, or infinity
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no config: {error}") from error


def _parsed_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("YAML needs PyYAML (pip install pyyaml); JSON needs nothing") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pixelflow.experiments", description=__doc__)
    parser.add_argument("name", metavar="NAME", choices=experiments.names(), help="the experiment")
    default = DEFAULT if DEFAULT.exists() else None
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=default, required=not default
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    keep = "a folder for finished banks: a run that was cut short goes on with them"
    parser.add_argument("--keep", metavar="DIR", type=Path, help=keep)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.keep:
        os.environ[FOLDER] = str(arguments.keep.expanduser().resolve())
    try:
        config = section(arguments.config, arguments.name)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        results.save(arguments.out, experiments.run(arguments.name, config))
        logging.info("wrote %s", arguments.out)
    except (OSError, ValueError, FetchError) as error:
        sys.exit(f"{arguments.name}: {error}")
    except MemoryError as error:
        sys.exit(f"{arguments.name}: not enough memory for this config: {error}")


if __name__ == "__main__":
    main()
