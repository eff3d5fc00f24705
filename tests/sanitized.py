"""Every layout of backend cuda's kernels on a GPU, for NVIDIA's compute-sanitizer to watch.

compute-sanitizer --tool memcheck python tests/sanitized.py; and with --tool racecheck.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from conftest import media, noisy  # noqa: F401  (their rules)

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends.cuda import layouts
from pixelflow.core.plan import compile_plan

CASES = {  # rule, height, width
    "registers": [("wave", 32, 32), ("diffusion_reaction", 64, 64), ("life_like", 17, 33)],
    "shared": [("test_media", 31, 37), ("energy", 32, 32), ("energy", 19, 23)],
    "convolved": [("coupled", 32, 32), ("coupled", 17, 33)],
    "convolved_tiles": [("coupled", 150, 131)],
    "tiles": [("wave", 160, 260), ("diffusion_reaction", 200, 256), ("wave", 150, 131)],
    "cells": [("wave", 61, 1025), ("test_noise", 61, 1023)],
}
PROBES = (Probe(), Probe(snapshots=(0, 3), rectify=True, pool=4), Probe(channels=(1,), pool=3))


ENCODERS = (  # a gather and a local map, whose products the kernels squash
    {},
    {"input_encoding": "random", "encoder_params": {"contrast": 0.1, "squash": "root"}},
)


def main() -> None:
    X = np.random.default_rng(0).random((5, 49), dtype=np.float32)
    for kind, cases in CASES.items():
        for name, height, width in cases:
            boundaries = ("periodic", "reflect", "zero")
            for boundary, probe, encoder in itertools.product(boundaries, PROBES, ENCODERS):
                medium = {"speed": 0.5, "source": 1.0} if name == "test_media" else {}
                medium = {k: np.full((height, width), v) for k, v in medium.items()}
                options = {"boundary": boundary, "probe": probe, "medium": medium, "members": 2}
                config = ReservoirConfig(width, height, 4, 11, name, **options, **encoder)
                chosen = layouts.layout(compile_plan(config, (49,)), 227 * 1024).kind
                if chosen != kind:
                    raise RuntimeError(f"{name} {height} x {width} took {chosen}, not {kind}")
                Reservoir(config, backend="cuda").transform(X)
            print(kind, name, height, width, flush=True)


if __name__ == "__main__":
    main()
