from pixelflow import Reservoir, ReservoirConfig, RidgeReadout
from pixelflow.tasks.synthetic import two_moons

X_train, y_train = two_moons(n=500, noise=0.2, seed=0)
X_test, y_test = two_moons(n=200, noise=0.2, seed=1)
cfg = ReservoirConfig(
    width=32,
    height=32,
    channels=4,
    steps=8,
    rule="diffusion_reaction",
    input_encoding="project",
    seed=0,
)
res = Reservoir(cfg, backend="cpu")
readout = RidgeReadout(alpha=1.0).fit(res.transform(X_train), y_train)
print(f"accuracy: {readout.score(res.transform(X_test), y_test):.3f}")
