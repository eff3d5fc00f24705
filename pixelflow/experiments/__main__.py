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
from pixelflow.experiments._kept import FOLDER_VARIABLE
from pixelflow.experiments._schema import problems
from pixelflow.tasks.fetch import FetchError

MAX_PROBLEMS = 5  # in an error message
DEFAULT = Path("config/paper.yaml")


def section(path: Path, name: str) -> dict[str, Any]:
    """Read the experiment's section of a config file (YAML or JSON), and the seed."""
    config = _parse(path)
    missing = [key for key in ("seed", name) if not isinstance(config, dict) or key not in config]
    if missing:
        raise ValueError(f"{path} must have the keys {' and '.join(missing)}")
    wrong = problems({"seed": config["seed"], name: config[name]}, name)
    if wrong:
        raise ValueError(f"{path} is wrong: {'; '.join(wrong[:MAX_PROBLEMS])}")
    if not isinstance(config[name], dict):  # the schema is not checked without PyYAML
        raise ValueError(f"{path} is wrong: {name} must be a mapping, got {brief(config[name])}")
    return {**config[name], "seed": config["seed"]}


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else _parse_yaml(text)
        return results.to_json_values(config, "config")  # refuses dates and infinity, say
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a config: {error}") from error


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("reading YAML needs PyYAML: pip install pyyaml, or use JSON") from error
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
    keep = "a folder for finished banks, which an interrupted run does not train again"
    parser.add_argument("--keep", metavar="DIR", type=Path, help=keep)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.keep:
        os.environ[FOLDER_VARIABLE] = str(arguments.keep.expanduser().resolve())
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
