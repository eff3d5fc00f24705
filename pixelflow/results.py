"""Results: the only place that writes and reads their JSON, and says where a number came from."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.checks import brief
from pixelflow.files import opened, written_whole

__all__ = ["provenance", "read", "save", "wrap"]

SCHEMA = 1
KEYS = ("schema", "experiment", "config", "metrics", "provenance")
PACKAGE = Path(__file__).resolve().parent
DISTRIBUTIONS = ("numpy", "scipy", "scikit-learn", "numba", "pixelflow")
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")  # the distributions that it comes in


def wrap(
    experiment: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    wall_s: float | None = None,
    data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A result: metrics with the config and the provenance.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    config : mapping
        The experiment's own section of the config, and the seed.
    metrics : mapping
        What was measured. NumPy scalars and arrays become numbers and lists.
    wall_s : float, optional
        Wall time of the experiment, seconds.
    data : mapping of str to str, optional
        Checksum of every data file that was read.

    Raises
    ------
    ValueError
        When a number is NaN or infinite.
    TypeError
        When a value has no place in JSON.
    """
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "config": _plain(config, "config"),
        "metrics": _plain(metrics, "metrics"),
        "provenance": provenance(config, wall_s=wall_s, data=data),
    }


def save(path: str | os.PathLike[str], result: Mapping[str, Any]) -> None:
    """Write a result; a reader sees the old file or the new one, never a part of one.

    Raises
    ------
    OSError
        When the file can't be written; the message names it and says what to do.
    """
    text = json.dumps(_plain(result, "result"), indent=2, allow_nan=False) + "\n"
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a result.

    Raises
    ------
    ValueError
        When the file isn't a whole result of this schema, or holds a number that isn't finite.
    OSError
        When it can't be read.
    """
    with opened(path) as file:
        content = file.read()
    path = Path(file.name)
    try:
        result = _plain(json.loads(content.decode("utf-8")), "result")
    except ValueError as error:
        raise _foreign(path, f"not whole JSON ({error})") from error
    except RecursionError as error:
        raise _foreign(path, "JSON nested too deep") from error
    if not isinstance(result, dict):
        raise _foreign(path, f"a JSON {type(result).__name__}, not an object")
    missing = [key for key in KEYS if key not in result]
    if missing:
        raise _foreign(path, f"an object without {', '.join(missing)}")
    if result["schema"] != SCHEMA:
        raise _foreign(path, f"schema {brief(result['schema'])}, and this version reads {SCHEMA}")
    wrong = [
        key for key in ("config", "metrics", "provenance") if not isinstance(result[key], dict)
    ]
    if wrong or not isinstance(result["experiment"], str):
        raise _foreign(path, f"of the wrong shape in {', '.join(wrong or ['experiment'])}")
    return result


def provenance(
    config: Mapping[str, Any],
    *,
    wall_s: float | None = None,
    data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Where and from what a number came: code, data, seeds, versions, machine and time."""
    from threadpoolctl import threadpool_info

    blas = ("user_api", "internal_api", "version", "threading_layer", "architecture", "num_threads")
    return {
        "git": _git(PACKAGE.parent),
        "sources_sha256": _sources_sha256(),
        "seeds": _seeds(config),
        "data": _plain(data or {}, "data"),
        "python": platform.python_version(),
        "versions": _versions(),
        "platform": platform.platform(),
        "cpu": {"model": _cpu_model(), "cores": _cores()},
        "blas": [{key: pool.get(key) for key in blas} for pool in threadpool_info()],
        "gpu": _gpu(),
        "wall_s": _plain(wall_s, "wall_s"),
        "date_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _foreign(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is not a result file: it is {what}; delete it and run again")


def _plain(value: Any, where: str) -> Any:
    """The value as JSON has it; `where` names it in errors."""
    try:
        return _converted(value, where)
    except RecursionError as error:
        raise ValueError(f"{where} is nested too deep, or holds itself") from error


def _converted(value: Any, where: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; a result holds finite numbers only")
        return value
    if isinstance(value, Mapping):
        names = [key for key in value if not isinstance(key, str)]
        if names:
            key = brief(names[0])
            raise TypeError(f"{where} has the key {key}; the keys of a result are strings")
        return {key: _converted(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}, which has no place in a result")


def _seeds(config: Mapping[str, Any]) -> list[int]:
    """The values of every `seed` and `seeds` in the config."""
    found: list[int] = []
    for key, value in config.items():
        if key in ("seed", "seeds"):
            found += value if isinstance(value, list | tuple) else [value]
        elif isinstance(value, Mapping):
            found += _seeds(value)
    return found


def _sources_sha256() -> str:
    """One hash over the names and bytes of the package's sources, Python's and CUDA's."""
    total = hashlib.sha256()
    paths = (path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".cuh"))
    for path in sorted(paths, key=lambda path: path.relative_to(PACKAGE).as_posix()):
        content = path.read_bytes()
        total.update(f"{path.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _versions() -> dict[str, str | None]:
    found = {name: _version(name) for name in DISTRIBUTIONS}
    return found | {"cupy": next(filter(None, map(_version, CUPY)), None)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    """What a command prints, or None where it isn't there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git(root: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout in `root`; None where it isn't one."""
    nothing = {"commit": None, "dirty": None}
    if not (root / ".git").exists():  # an installed package may lie inside some other checkout
        return nothing
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    status = _output("git", "-C", str(root), "--no-optional-locks", "status", "--porcelain")
    if commit is None or status is None:
        return nothing
    return {"commit": commit, "dirty": bool(status)}


def _cpu_model() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpu() -> list[dict[str, str]] | None:
    query = "--query-gpu=name,driver_version"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # what others have is no part of a result
    some = ("-i", visible) if visible else ()
    lines = _output("nvidia-smi", *some, query, "--format=csv,noheader")
    if not lines:
        return None
    pairs = (line.rpartition(",") for line in lines.splitlines())
    return [{"name": name.strip(), "driver": driver.strip()} for name, _, driver in pairs]
