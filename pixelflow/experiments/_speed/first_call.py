"""Duration of the first call, which compiles: with empty caches, and in the next process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pixelflow

ROOT = str(Path(pixelflow.__file__).resolve().parents[1])
LIMIT_S = 120
# All cache folders of compiled code: ours, CuPy's and the drivers'.
CACHES = (
    *("XDG_CACHE_HOME", "CUPY_CACHE_DIR", "CUDA_CACHE_PATH"),
    *("MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"),
)
CALL = """
import json, sys, time
import numpy as np
from pixelflow.core import ReservoirConfig
from pixelflow.reservoir import Reservoir
fields, backend, n = json.loads(sys.argv[1])
reservoir = Reservoir(ReservoirConfig(**fields), backend=backend)
X = np.zeros((n, 64), np.float32)
start = time.perf_counter()
reservoir.transform(X)
print(time.perf_counter() - start)
"""


def first_calls(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Seconds of a process's first `transform`, by backend; None and the reason if it can't run.

    Imports and the search for a device are not timed, because a program needs them once, but
    compiles for each rule.
    """
    fields = {"width": config["side"], "height": config["side"], "rule": config["rule"]}
    found = []
    for backend in config["backends"]:
        arguments = json.dumps([{**fields, "steps": config["steps"]}, backend, config["n"]])
        with tempfile.TemporaryDirectory(prefix="pixelflow-") as folder:
            environment = _environment(Path(folder))
            empty, why = _first_call(arguments, environment)
            cached, why = _first_call(arguments, environment) if empty else (None, why)
        entry = {"backend": backend, "empty_s": empty, "cached_s": cached}
        found.append({**entry, "why": why or None})
    return found


def _environment(folder: Path) -> dict[str, str]:
    """The environment variables of this process, with all caches in one folder."""
    kept = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    for name in CACHES:
        (folder / name).mkdir()
    path = os.pathsep.join(filter(None, [ROOT, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, **{name: str(folder / name) for name in CACHES}}


def _first_call(arguments: str, environment: Mapping[str, str]) -> tuple[float | None, str]:
    """Seconds and "", or None and the reason."""
    command = [sys.executable, "-c", CALL, arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return None, f"not measured: no answer in {LIMIT_S} s"
    if done.returncode:
        last = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
        return None, f"not measured: {last}"
    return float(done.stdout.splitlines()[-1]), ""
