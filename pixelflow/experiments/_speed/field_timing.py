"""Script that times the field's package, pixelflow-rc, in the interpreter where it is installed.

`python -I field_timing.py` reads one line of JSON that says what to run, and answers with a line:
the hardware that it runs on, or why it can't run. Each further line requests one more run, and is
answered with its time. The script ends when its input ends. `-I` keeps our package, which has the
same name, out of the search path.
"""

import functools
import importlib
import importlib.util
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("numpy", "scipy", "scikit-learn", "cupy-cuda12x", "moderngl")


def load_timing_module():
    """Load `pixelflow/timing.py` of our package by its path; it does not import the package."""
    path = Path(__file__).resolve().parents[2] / "timing.py"
    spec = importlib.util.spec_from_file_location("asker_timing", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def versions():
    """The versions in this environment, by the distribution's name."""
    found = {"pixelflow-rc": version("pixelflow-rc"), "python": platform.python_version()}
    for name in NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def import_package():
    """Import Reservoir and ReservoirConfig of pixelflow-rc; refuse another package of that name."""
    pixelflow = importlib.import_module("pixelflow")
    expected = Path(str(distribution("pixelflow-rc").locate_file("pixelflow"))).resolve()
    found = Path(str(pixelflow.__file__)).resolve().parent
    if found != expected:
        raise ImportError(f"pixelflow is {found}, not {expected},")
    return pixelflow.Reservoir, pixelflow.ReservoirConfig


def prepare(backend):
    """The hardware that a backend runs on, and a function that waits for its device."""
    if backend == "cpu":
        return f"NumPy {np.__version__} on 1 thread", None
    if backend == "cuda":
        cupy = importlib.import_module("cupy")
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        return f"{name}, CuPy {cupy.__version__}", cupy.cuda.Device().synchronize
    moderngl: Any = importlib.import_module("moderngl")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        # The package requests X11, which a machine without a screen lacks.
        create = moderngl.create_standalone_context
        moderngl.create_standalone_context = functools.partial(create, backend="egl")
    context = moderngl.create_standalone_context()
    name = context.info["GL_RENDERER"]
    context.release()
    return f"{name}, moderngl {moderngl.__version__}", None  # reading the texture back waits


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # else the output of a library would be read as an answer

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    request = json.loads(sys.stdin.readline())
    try:
        found = versions()
        renderer, synchronise = prepare(request["backend"])
        Reservoir, ReservoirConfig = import_package()
        reservoir = Reservoir(ReservoirConfig(**request["config"]), backend=request["backend"])
        X = np.load(request["inputs"])
        np.save(request["features"], reservoir.transform(X[: request["few"]]))
        if request["whole"]:
            reservoir.transform(X)
    except ImportError as error:
        answer(error=f"{error} in its environment")
        return
    except Exception as error:  # any error is an answer
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(renderer=renderer, versions=found)
    seconds = load_timing_module().seconds
    for _ in sys.stdin:
        answer(seconds=seconds(lambda: reservoir.transform(X), synchronise))


if __name__ == "__main__":
    main()
