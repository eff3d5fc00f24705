import numpy as np

from pixelflow import Reservoir, ReservoirConfig, available_backends
from pixelflow.core import clip, rule


@rule("heat", channels=("heat",), params={"rate": 0.2})
def heat(at, p):
    """Heat flows from each cell to its four neighbours."""
    here = at(0, 0, "heat")
    around = at(-1, 0, "heat") + at(1, 0, "heat") + at(0, -1, "heat") + at(0, 1, "heat")
    return {"heat": clip(here + p.rate * (around - 4 * here), 0, 1)}


images = np.random.default_rng(0).random((100, 28, 28), dtype=np.float32)
config = ReservoirConfig(width=32, height=32, steps=8, rule="heat", input_encoding="image")
for backend in available_backends():
    features = Reservoir(config, backend=backend).transform(images)
    print(backend, features.shape, features.sum())
