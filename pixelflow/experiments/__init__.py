"""The experiments of the paper: one module each, with `run(config) -> metrics`.

In a module `KEYS` are the keys of its config, and `DATASETS` the data sets that it reads.
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
    """The names of all experiments."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def run(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Run an experiment and return its result: metrics with config and provenance.

    Parameters
    ----------
    name : str
        One of `names()`.
    config : mapping
        The experiment's section of the config, and "seed".

    Raises
    ------
    TypeError
        If the config is not a mapping.
    ValueError
        If there is no such experiment, or the config's keys are not its `KEYS`, or a value is
        wrong.
    """
    if name not in names():
        raise ValueError(f"name must be one of {', '.join(names())}, got {brief(name)}")
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {brief(config)}")
    module = importlib.import_module(f"{__name__}.{name}")
    wrong = sorted({*module.KEYS, "seed"} ^ set(config), key=str)
    if wrong:
        raise ValueError(
            f"config of {name} must have the keys {('seed', *module.KEYS)}, "
            f"missing or unknown: {brief(wrong)}"
        )
    start = time.perf_counter()
    metrics = _metrics(module, name, config)
    wall_s = time.perf_counter() - start
    data: dict[str, str] = {}
    for dataset in getattr(module, "DATASETS", ()):
        data |= fetch.checksums(dataset)
    return results.wrap(name, config, metrics, wall_s=round(wall_s, 3), data=data)


def _metrics(module: ModuleType, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Run the experiment; an error becomes a ValueError if the config causes it, and not a bug."""
    try:
        return module.run(dict(config))
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        sections = {key: value for key, value in config.items() if key != "seed"}
        wrong = problems({"seed": config["seed"], name: sections}, name)
        if wrong == []:
            raise
        reasons = "; ".join(wrong or [f"{type(error).__name__}: {error}"])
        raise ValueError(f"config of {name} is wrong: {reasons}") from error
