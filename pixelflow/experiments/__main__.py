"""Run one experiment, without Jupyter or Snakemake, and write its result."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pixelflow import experiments, results

DEFAULT = Path("config/paper.yaml")


def section(path: Path, name: str) -> dict[str, Any]:
    """The experiment's own section of a config file (YAML or JSON), and the seed."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        config = json.loads(text)
    else:
        import yaml

        config = yaml.safe_load(text)
    missing = [key for key in ("seed", name) if key not in config]
    if missing:
        raise ValueError(f"{path} has no {' and no '.join(missing)}")
    return {**config[name], "seed": config["seed"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pixelflow.experiments", description=__doc__)
    parser.add_argument("name", metavar="NAME", choices=experiments.names(), help="the experiment")
    default = DEFAULT if DEFAULT.exists() else None
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=default, required=not default
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        config = section(arguments.config, arguments.name)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results.save(arguments.out, experiments.run(arguments.name, config))


if __name__ == "__main__":
    main()
