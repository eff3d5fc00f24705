"""Backend cuda beside cpu over a sweep of shapes, on this card and as smaller cards would run them.

On a GPU, `PIXELFLOW_TEST_SHAPES` says how many shapes; without one a few small ones run on the CPU.
"""

import os
import warnings

import numpy as np
import pytest
from conftest import finds_a_gpu
from reference import same_bits
from sklearn.exceptions import ConvergenceWarning
from test_cuda import config_of
from test_parity import textures

from pixelflow import Probe, Reservoir
from pixelflow.backends.cuda import launch
from pixelflow.core import get_rule, plan
from pixelflow.core.boundaries import BOUNDARIES

ON_A_GPU = finds_a_gpu()
SHAPES = int(os.environ.get("PIXELFLOW_TEST_SHAPES", 40 if ON_A_GPU else 24))
SIDES = (17, 512) if ON_A_GPU else (17, 72)
LIMITS = (None, 99 * 1024, 48 * 1024)  # bytes of shared memory a block: this card's, and others'
RULES = ("wave", "diffusion_reaction", "life_like", "coupled", "test_media", "test_noise")
RULES += ("test_far", "test_apart", "test_windows")
PROBES = (
    Probe(),
    Probe(snapshots=(0, 3), channels=(1, 0), rectify=True, threshold=0.25),
    Probe(rectify=True, pool=4, pool_op="max"),
    Probe(snapshots=(1, 5), pool=7, pool_op="max"),
)


def drawn(number):
    """A config of a shape of that number, the first of which are squares near what layouts hold."""
    rng = np.random.default_rng([17, number])
    few = [(n, n) for n in (127, 128, 129, 160, 161, 96, 104, 512, 511)]
    sides = tuple(int(n) for n in np.exp(rng.uniform(*np.log(SIDES), 2)).round())
    shape = few[number] if ON_A_GPU and number < len(few) else sides
    options = {
        "channels": int(rng.choice([4, 4, 5])),
        "steps": int(rng.integers(5, 14)),
        "boundary": str(rng.choice(BOUNDARIES)),
        "members": int(rng.choice([1, 2])),
        "probe": PROBES[rng.integers(len(PROBES))],
        "input_encoding": str(rng.choice(["tile", "image"])),
        "seed": number,
    }
    return config_of(str(rng.choice(RULES)), shape, **options)


def media_of(config, n, seed):
    """Media of a config's rule, one a sample and member."""
    shape = (n, config.members, config.height, config.width)
    draw = np.random.default_rng(seed).uniform
    return {name: draw(-1, 1, shape) for name in get_rule(config.rule).medium}


@pytest.mark.parametrize("number", range(SHAPES))
def test_any_shape_gives_the_references_bits(number, cuda, monkeypatch):
    """Of textures and of features, also with the shared memory that smaller cards have."""
    config = drawn(number)
    states = textures(2, *[config.members] * (config.members > 1), config.height, config.width,
                      config.channels, seed=number)  # fmt: skip
    X = np.random.default_rng(number).random((3, 36), dtype=np.float32)
    reference = Reservoir(config, backend="cpu").fit(X)
    evolved, features = reference.evolve(states), reference.transform(X)
    device_limit = launch.shared_limit
    for limit in LIMITS if ON_A_GPU else LIMITS[number % 3 :][:1]:
        with monkeypatch.context() as patch:
            patch.setattr(launch, "shared_limit", lambda d, n=limit: n or device_limit(d))
            plan._PLANS.clear()  # their layouts were chosen for another card
            here = Reservoir(config, backend="cuda").fit(X)
            assert same_bits(here.evolve(states), evolved), limit
            assert same_bits(here.transform(X), features), limit


@pytest.mark.parametrize("number", range(0, SHAPES, 3))
def test_any_shape_goes_on_with_media_of_its_own_until_it_rests(number, cuda, monkeypatch):
    """From a later step; then to a check after the last, within which some textures rest."""
    config = drawn(number)
    states = textures(3, *[config.members] * (config.members > 1), config.height, config.width,
                      config.channels, seed=number)  # fmt: skip
    states[1] *= 1e-6
    states[np.abs(states) < np.finfo(np.float32).tiny] = 0  # which a GPU takes for 0
    states[2] = 0
    medium, steps = media_of(config, 3, number), config.steps + 1
    here, reference = (Reservoir(config, backend=name) for name in ("cuda", "cpu"))
    device_limit, limit = launch.shared_limit, LIMITS[number // 3 % 3]
    monkeypatch.setattr(launch, "shared_limit", lambda d: limit or device_limit(d))
    plan._PLANS.clear()
    evolved = [r.evolve(states, steps, medium, first=number + 3) for r in (here, reference)]
    assert same_bits(*evolved)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [r.evolve_until(states, 1e-4, 3, 7, medium) for r in (here, reference)]
    assert same_bits(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])
