"""Result files: writing and reading their JSON, and the provenance of their numbers."""

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
from pixelflow.files import open_regular, written_whole

__all__ = ["provenance", "read", "save", "wrap"]

SCHEMA = 1
KEYS = ("schema", "experiment", "config", "metrics", "provenance")
PACKAGE = Path(__file__).resolve().parent
DISTRIBUTIONS = ("numpy", "scipy", "scikit-learn", "numba", "pixelflow")
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")  # the names of CuPy's distributions


def wrap(
    experiment: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    wall_s: float | None = None,
    data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make a result: metrics with the config and the provenance.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    config : mapping
        The experiment's section of the config, and "seed".
    metrics : mapping
        The measurements. NumPy scalars and arrays become numbers and lists.
    wall_s : float, optional
        Wall time of the experiment, seconds.
    data : mapping of str to str, optional
        Checksum of every data file that was read.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    TypeError
        If JSON can't represent a value.
    """
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "config": to_json_values(config, "config"),
        "metrics": to_json_values(metrics, "metrics"),
        "provenance": provenance(config, wall_s=wall_s, data=data),
    }


def save(path: str | os.PathLike[str], result: Mapping[str, Any]) -> None:
    """Write a result; a concurrent reader sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        If the file can't be written; the message names it and says what to do.
    """
    text = json.dumps(to_json_values(result, "result"), indent=2, allow_nan=False) + "\n"
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a result.

    Raises
    ------
    ValueError
        If the file is not a complete result of this schema, or holds a number that is not finite.
    OSError
        If the file can't be read.
    """
    with open_regular(path) as file:
        content = file.read()
    path = Path(file.name)
    try:
        result = to_json_values(json.loads(content.decode("utf-8")), "result")
    except ValueError as error:
        raise _invalid_file(path, f"it is not complete, valid JSON ({error})") from error
    except RecursionError as error:
        raise _invalid_file(path, "its JSON is nested too deeply") from error
    if not isinstance(result, dict):
        raise _invalid_file(path, f"expected a JSON object, got a {type(result).__name__}")
    missing = [key for key in KEYS if key not in result]
    if missing:
        raise _invalid_file(path, f"it lacks {', '.join(missing)}")
    if result["schema"] != SCHEMA:
        raise _invalid_file(path, f"its schema must be {SCHEMA}, got {brief(result['schema'])}")
    wrong = [
        key for key in ("config", "metrics", "provenance") if not isinstance(result[key], dict)
    ]
    if wrong or not isinstance(result["experiment"], str):
        raise _invalid_file(path, f"wrong type of {', '.join(wrong or ['experiment'])}")
    return result


def provenance(
    config: Mapping[str, Any],
    *,
    wall_s: float | None = None,
    data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Where a number came from: code, data, seeds, versions, machine and time."""
    from threadpoolctl import threadpool_info

    blas = ("user_api", "internal_api", "version", "threading_layer", "architecture", "num_threads")
    return {
        "git": _git(PACKAGE.parent),
        "sources_sha256": _sources_sha256(),
        "seeds": _seeds(config),
        "data": to_json_values(data or {}, "data"),
        "python": platform.python_version(),
        "versions": _versions(),
        "platform": platform.platform(),
        "cpu": {"model": _cpu_model(), "cores": _cores()},
        "blas": [{key: pool.get(key) for key in blas} for pool in threadpool_info()],
        "gpu": _gpu(),
        "wall_s": to_json_values(wall_s, "wall_s"),
        "date_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _invalid_file(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} is not a result file: {reason}; delete it and run again")


def to_json_values(value: Any, name: str) -> Any:
    """Convert a value to what JSON can represent; `name` is its name in errors.

    Raises
    ------
    ValueError
        If a number is not finite, or the value is nested too deeply.
    TypeError
        If JSON can't represent a value.
    """
    try:
        return _convert(value, name)
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deeply, or contains itself") from error


def _convert(value: Any, name: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        return value
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"{name} must have keys that are strings, got {brief(wrong[0])}")
        return {key: _convert(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_convert(item, f"{name}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{name} must be a JSON value (number, string, boolean, None, list or mapping), "
        f"got a {type(value).__name__}"
    )


def _seeds(config: Mapping[str, Any]) -> list[int]:
    """The values of all keys `seed` and `seeds` in the config."""
    found: list[int] = []
    for key, value in config.items():
        if key in ("seed", "seeds"):
            found += value if isinstance(value, list | tuple) else [value]
        elif isinstance(value, Mapping):
            found += _seeds(value)
    return found


def _sources_sha256() -> str:
    """SHA-256 of the names and bytes of the package's source files, Python and CUDA."""
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
    """Standard output of a command, or None if the command is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git(root: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout in `root`; None if `root` is not a checkout."""
    unknown = {"commit": None, "dirty": None}
    if not (root / ".git").exists():  # an installed package may lie inside another checkout
        return unknown
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    status = _output("git", "-C", str(root), "--no-optional-locks", "status", "--porcelain")
    if commit is None or status is None:
        return unknown
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
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpu() -> list[dict[str, str]] | None:
    query = "--query-gpu=name,driver_version"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # this process can't use the other GPUs
    selection = ("-i", visible) if visible else ()
    lines = _output("nvidia-smi", *selection, query, "--format=csv,noheader")
    if not lines:
        return None
    pairs = (line.rpartition(",") for line in lines.splitlines())
    return [{"name": name.strip(), "driver": driver.strip()} for name, _, driver in pairs]
