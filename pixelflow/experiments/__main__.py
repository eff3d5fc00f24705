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
from pixelflow.experiments._kept import FOLDER
from pixelflow.tasks.fetch import FetchError

DEFAULT = Path("config/paper.yaml")


def section(path: Path, name: str) -> dict[str, Any]:
    """The experiment's own section of a config file (YAML or JSON), and the seed."""
    config = _parsed(path)
    missing = [key for key in ("seed", name) if not isinstance(config, dict) or key not in config]
    if missing:
        raise ValueError(f"{path} has no {' and no '.join(missing)}")
    return {**config[name], "seed": config["seed"]}


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    try:
        import yaml
    except ImportError as error:
        raise ValueError(f"{path} needs PyYAML (pip install pyyaml); JSON needs nothing") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error


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
        os.environ[FOLDER] = str(arguments.keep.resolve())
    try:
        config = section(arguments.config, arguments.name)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        results.save(arguments.out, experiments.run(arguments.name, config))
        logging.info("wrote %s", arguments.out)
    except (OSError, ValueError, FetchError) as error:
        sys.exit(f"{arguments.name}: {error}")


if __name__ == "__main__":
    main()
