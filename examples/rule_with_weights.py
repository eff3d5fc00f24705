import numpy as np
from sklearn.datasets import load_digits

from pixelflow import Probe, ReservoirClassifier, ReservoirConfig
from pixelflow.core import clip, rule


@rule(
    "echo",
    channels=("left", "right"),
    params={"leak": 0.5},
    sizes={"k": 3},
    weights={"coupling": (2, "k", "k", 2)},
)
def echo(at, p):
    """Each channel follows a random sum of the k x k cells around, of both channels, clipped."""
    following = {}
    for i, channel in enumerate(("left", "right")):
        drive = clip(at.convolve(p.coupling[i]), -1, 1)
        following[channel] = (1 - p.leak) * at(0, 0, channel) + p.leak * drive
    return following


images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
train, test = slice(0, 1200), slice(1200, None)
config = ReservoirConfig(
    width=8,
    height=8,
    channels=2,
    steps=2,
    rule="echo",
    rule_params={"k": 3, "leak": {"uniform": [0.3, 1.0]}},
    input_encoding="random",
    encoder_params={"k": 3, "scale": 2.0},
    members=16,
    probe=Probe(snapshots=(1, 2), rectify=True, pool=4),
)
model = ReservoirClassifier(config, augment={"shifts": 2, "max_shift": 1, "seed": 0})
model.fit(images[train], labels[train])
print(f"accuracy: {model.score(images[test], labels[test]):.3f}")
