"""Record what the field's package computes: run in an environment with pixelflow-rc==0.3.0 only.

python tests/golden/record.py tests/golden/pixelflow_rc.npz
"""

import sys

import numpy as np

from pixelflow import Reservoir, ReservoirConfig

CASES = [
    ("wave", 16, 16, 6, 100),
    ("wave", 9, 13, 20, 50),
    ("diffusion_reaction", 16, 16, 8, 256),
    ("diffusion_reaction", 7, 12, 12, 30),
    ("life_like", 16, 16, 5, 256),
    ("life_like", 10, 9, 3, 81),
]

arrays = {}
for rule, height, width, steps, columns in CASES:
    X = np.random.default_rng(columns).random((3, columns), dtype=np.float32)
    config = ReservoirConfig(width, height, 4, steps, rule, input_encoding="tile")
    case = f"{rule}-{height}x{width}-{steps}"
    arrays[f"{case}/X"] = X
    arrays[f"{case}/features"] = Reservoir(config, backend="cpu").transform(X)
np.savez_compressed(sys.argv[1], **arrays)
