"""The experiments of the paper: one module each, with `run(config) -> metrics`.

A module names the keys of its config in `KEYS`, and the data sets that it reads in `DATASETS`.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pixelflow import results
from pixelflow.checks import brief
from pixelflow.experiments._schema import problems
from pixelflow.tasks import fetch

__all__ = ["names", "run"]


def names() -> list[str]:
    """The experiments there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def run(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Run an experiment and return its result: metrics with config and provenance.

    Parameters
    ----------
    name : str
        One of `names()`.
    config : mapping
        The experiment's own section of the config, and "seed".

    Raises
    ------
    TypeError
        When the config is no mapping.
    ValueError
        When there is no such experiment, or the config has other keys than its `KEYS`, or values
        that its experiment can't read.
    """
    if name not in names():
        raise ValueError(f"no experiment {brief(name)}; there are: {', '.join(names())}")
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {brief(config)}")
    module = importlib.import_module(f"{__name__}.{name}")
    wrong = sorted({*module.KEYS, "seed"} ^ set(config), key=str)
    if wrong:
        raise ValueError(
            f"config of {name}: missing or unknown {brief(wrong)}; it has {module.KEYS}"
        )
    start = time.perf_counter()
    metrics = _metrics(module, name, config)
    wall_s = time.perf_counter() - start
    data: dict[str, str] = {}
    for dataset in getattr(module, "DATASETS", ()):
        data |= fetch.checksums(dataset)
    return results.wrap(name, config, metrics, wall_s=round(wall_s, 3), data=data)


def _metrics(module: ModuleType, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiment measured; a config that made it stumble is told from a bug of ours."""
    try:
        return module.run(dict(config))
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        sections = {key: value for key, value in config.items() if key != "seed"}
        wrong = problems({"seed": config["seed"], name: sections}, name)
        if wrong == []:
            raise
        told = "; ".join(wrong or [f"{type(error).__name__}: {error}"])
        raise ValueError(f"config of {name} is wrong: {told}") from error
