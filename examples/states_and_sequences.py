import numpy as np

from pixelflow import Probe, Reservoir, ReservoirConfig, RidgeReadout
from pixelflow.core import rule


@rule("conduct", channels=("heat",), medium=("conductivity",))
def conduct(at, p):
    """Heat flows from cell to cell, as fast as each cell lets it."""
    here = at(0, 0, "heat")
    around = at(-1, 0, "heat") + at(1, 0, "heat") + at(0, -1, "heat") + at(0, 1, "heat")
    return {"heat": here + at.medium("conductivity") * (around - 4 * here)}


rng = np.random.default_rng(0)
config = ReservoirConfig(16, 16, channels=1, rule="conduct", boundary="zero")
plates = Reservoir(config, backend="cpu")
hot = np.ones((3, 16, 16, 1))
media = {"conductivity": rng.uniform(0.1, 0.25, (3, 1, 16, 16))}  # of each plate its own
warm = plates.evolve(hot, steps=10, medium=media)
cooler = plates.evolve(warm, steps=10, medium=media, first=10)  # goes on where `warm` ended
cold, steps = plates.evolve_until(hot, tol=1e-4, medium=media)  # until nothing changes by more
print("at rest after", steps.ravel(), "steps")

config = ReservoirConfig(
    8,
    8,
    steps=1,
    rule="coupled",
    rule_params={"k": 3, "gain": 0.9},
    input_encoding="inject",
    encoder_params={"scale": 0.5, "density": 0.5},
    probe=Probe(channels=(0, 1)),
)
u = rng.uniform(-1, 1, (2000, 1))  # a sequence of 2000 inputs of one column
features, state = Reservoir(config, backend="cpu").run_sequence(u, washout=100, return_state=True)
target = u[97:-3, 0]  # what came three inputs before
readout = RidgeReadout(alpha=1e-6).fit(features[:1500], target[:1500])
print(f"R^2 of recalling: {readout.score(features[1500:], target[1500:]):.2f}")
