import numpy as np
from sklearn.datasets import load_digits

from pixelflow import Probe, ReservoirClassifier, ReservoirConfig

images, labels = load_digits(return_X_y=True)  # 8 x 8 pixels, 0 to 16
images = (images / 16).astype(np.float32)
train, test = slice(0, 1200), slice(1200, None)
config = ReservoirConfig(
    width=8,
    height=8,
    steps=4,
    rule="wave",
    rule_params={"c": {"uniform": [0.3, 0.7]}},
    input_encoding="project",
    members=4,
    probe=Probe(snapshots=(1, 4), channels=(0, 1), rectify=True, threshold=0.5),
)
model = ReservoirClassifier(config).fit(images[train], labels[train])
model.save("digits.npz")
model = ReservoirClassifier.load("digits.npz")
print(f"accuracy: {model.score(images[test], labels[test]):.3f}")
