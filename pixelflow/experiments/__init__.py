"""The experiments of the paper: one module each, with `run(config) -> metrics`.

A module names the keys of its config in `KEYS`, and the data sets that it reads in `DATASETS`.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping
from typing import Any

from pixelflow import results
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
    ValueError
        When there is no such experiment, or the config has other keys than its `KEYS`.
    """
    if name not in names():
        raise ValueError(f"no experiment {name!r}; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    wrong = sorted({*module.KEYS, "seed"} ^ set(config))
    if wrong:
        raise ValueError(f"config of {name}: missing or unknown {wrong}; it has {module.KEYS}")
    start = time.perf_counter()
    metrics = module.run(dict(config))
    wall_s = time.perf_counter() - start
    data: dict[str, str] = {}
    for dataset in getattr(module, "DATASETS", ()):
        data |= fetch.checksums(dataset)
    return results.wrap(name, config, metrics, wall_s=round(wall_s, 3), data=data)
