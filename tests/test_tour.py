"""The tour runs: pictures move, and what it reads out is far better than chance."""

import base64
import importlib
import io
import itertools
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pixelflow import ReservoirConfig, available_backends, plotting

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
run_notebook = importlib.import_module("run_notebook")


def frames(html):
    """The pictures of an animation, decoded."""
    coded = [part.replace("\\\n", "") for part in re.findall(r'base64,([^"]+)"', html)]
    return [plt.imread(io.BytesIO(base64.b64decode(part))) for part in coded]


@pytest.fixture(scope="module")
def outputs():
    """Everything that the cells print, and the pages that they show."""
    small = {"rule": "diffusion_reaction", "steps": 6, "n_train": 600, "n_held_out": 400}
    nb = run_notebook.parameterise(ROOT / "notebooks" / "tour.ipynb", small)
    run_notebook.execute(nb, ROOT)
    found = [output for cell in nb.cells for output in cell.get("outputs", ())]
    printed = "".join(o.text for o in found if o.output_type == "stream" and o.name == "stdout")
    pages = [o.data["text/html"] for o in found if "text/html" in o.get("data", {})]
    return printed, pages


def test_pictures_move(outputs):
    _, pages = outputs
    assert len(pages) == 3
    for page in pages:
        assert "new Animation(" in page
    moving = frames(pages[0])
    assert len(moving) == 7
    below_title = [frame[len(frame) // 5 :] for frame in moving]
    assert all((a != b).any() for a, b in itertools.pairwise(below_title))


def test_the_readout_is_far_better_than_chance(outputs):
    printed, _ = outputs
    accuracies = dict(re.findall(r"(.+): accuracy (\S+)", printed))
    assert set(accuracies) == {
        "raw pixels",
        "diffusion_reaction, 4 steps",
        "slopes, 0 steps",
        "slopes, 4 steps",
    }
    assert min(map(float, accuracies.values())) > 0.6  # of ten digits
    assert float(accuracies["slopes, 4 steps"]) > float(accuracies["slopes, 0 steps"])


def test_ones_own_rule_has_the_same_bits_everywhere(outputs):
    printed, _ = outputs
    assert printed.count("same bits: True") == len(available_backends())


def test_an_animation_has_one_scale_for_all_frames():
    """A texture that is the same everywhere, and lightens with time by the rule."""
    rising = ReservoirConfig(width=8, height=8, input_encoding="tile", rule_params={"feed": 0.3})
    still = ReservoirConfig(width=8, height=8, input_encoding="tile", rule="wave")
    x = np.full(64, 0.25, np.float32)
    u = 1 - 0.75 * 0.7 ** np.arange(4)  # u' = u + feed (1 - u)
    grey = plt.get_cmap("Greys")
    before = plt.get_fignums()
    pictures = frames(plotting.animation({"rising": rising, "still": still}, x, 3).to_jshtml())
    assert len(pictures) == 4
    for value, picture in zip(u, pictures, strict=True):
        height, width = picture.shape[:2]
        left, right = picture[height // 2, [width // 4, 3 * width // 4], :3]
        np.testing.assert_allclose(left, grey(value / u[-1])[:3], atol=0.01)
        np.testing.assert_allclose(right, grey(1.0)[:3], atol=0.01)
    assert plt.get_fignums() == before
