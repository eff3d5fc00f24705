"""Every layout of backend cuda's kernels on a GPU, for NVIDIA's compute-sanitizer to watch.

compute-sanitizer --tool memcheck python tests/sanitized.py; and with --tool racecheck. Kinds of
layouts may be named, to run these alone.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from conftest import noisy  # noqa: F401  (its rule)

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends.cuda import layouts
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.plan import compile_plan

CASES = {  # rule, height, width; in registers also patches that reach over an edge
    "registers": [("wave", 32, 32), ("diffusion_reaction", 64, 64), ("life_like", 64, 64),
                  ("wave", 17, 19), ("wave", 23, 31), ("wave", 37, 41), ("test_noise", 64, 61),
                  ("wave", 97, 101), ("wave", 104, 104), ("wave", 127, 127), ("wave", 128, 128),
                  ("wave", 129, 130), ("diffusion_reaction", 83, 83), ("wave", 83, 91),
                  ("diffusion_reaction", 120, 127), ("diffusion_reaction", 160, 160)],
    "shared": [("energy", 32, 32), ("energy", 19, 23), ("energy", 61, 79), ("life_like", 17, 33)],
    "convolved": [("coupled", 32, 32), ("coupled", 17, 33)],
    "convolved_tiles": [("coupled", 150, 131), ("coupled", 80, 97)],
    "tiles": [("wave", 160, 260), ("diffusion_reaction", 200, 256), ("wave", 161, 163),
              ("diffusion_reaction", 128, 256), ("wave", 193, 257), ("wave", 61, 1025)],
    "cells": [("energy", 97, 130), ("energy", 79, 81)],
}  # fmt: skip
LOCAL = {"input_encoding": "random", "encoder_params": {"contrast": 0.1, "squash": "root"}}
READ = (  # probes, and how the textures come: by a gather, or as products that kernels squash
    (Probe(), {}),
    (Probe(), LOCAL),
    (Probe(snapshots=(0, 3), rectify=True, pool=4), {}),
    (Probe(channels=(1,), pool=3), LOCAL),
)


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((5, 49), dtype=np.float32)
    for kind, cases in CASES.items():
        if sys.argv[1:] and kind not in sys.argv[1:]:
            continue
        for name, height, width in cases:
            for boundary, (probe, encoder) in itertools.product(BOUNDARIES, READ):
                options = {"boundary": boundary, "probe": probe, "members": 2}
                config = ReservoirConfig(width, height, 4, 11, name, **options, **encoder)
                chosen = layouts.layout(compile_plan(config, (49,)), 227 * 1024).kind
                if chosen != kind:
                    raise RuntimeError(f"{name} {height} x {width} took {chosen}, not {kind}")
                reservoir = Reservoir(config, backend="cuda")
                reservoir.transform(X)
                if not encoder:
                    states = rng.random((3, 2, height, width, 4), dtype=np.float32)
                    reservoir.evolve(states)
                    reservoir.evolve_until(states, tol=1e30, every=2)
                    driven = config.with_params(input_encoding="inject", steps=3)
                    Reservoir(driven, backend="cuda").run_sequence(rng.random((3, 4, 2)))
            print(kind, name, height, width, flush=True)


if __name__ == "__main__":
    main()
