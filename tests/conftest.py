"""Rules of the tests' own, which use every part of the rule language; backends; small images."""

import os
import sys

import numpy as np
import pytest
from fake_field import environment, field  # noqa: F401
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from pixelflow.backends.cuda import device
from pixelflow.backends.registry import _fastest, _probe
from pixelflow.core import clip, exp, log, maximum, minimum, plan, rule, sqrt, tanh, where
from pixelflow.core.rules import _REGISTRY
from pixelflow.experiments._scores import Split

# Files of 20 seconds and more, the longest first.
LONGEST = ("workflow", "parity", "cuda", "moderngl", "states", "speed", "run_notebook", "banks")
LONGEST += ("documentation", "sequences")


def pytest_collection_modifyitems(items):
    """Where processes share the files, they begin with the longest, to end at the same time."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = {f"test_{name}": i for i, name in enumerate(LONGEST)}
        items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@rule("test_media", channels=("a", "b"), params={"rate": 0.1}, medium=("speed", "source"))
def media(at, p):
    speed, source = at.medium("speed"), at.medium("source")
    moved = at(0, -2, "a") * speed + at(2, 1, "b") * (1 - speed)
    late = where(at.step() >= 2, source, -source)
    return {"a": clip(moved + p.rate * late, -2, 2), "b": at(0, 0, "a")}


@rule("test_noise", channels=("a", "b", "c"), params={"level": 0.25})
def noisy(at, p):
    first, second = at.noise(), at.noise()
    kept = where((first > 0) & ~(second > 1) | (at(0, 0, "c") != 0), at(0, 0, "a"), -at(1, 0, "b"))
    return {"a": kept + p.level * first, "b": abs(second) * p.level}


@rule("test_swap", channels=("a", "b"))
def swap(at, p):
    return {"a": at(0, 0, "b"), "b": at(0, 0, "a")}


@rule("test_beside", channels=("a", "b"))
def beside(at, p):
    """Reads on one side only, and what it doesn't write."""
    return {"a": at(0, 1, "a") - at(-2, -1, "b")}


@rule("test_decay", channels=("a", "b"), params={"rate": 0.01})
def decay(at, p):
    a, b = at(0, 0, "a"), at(0, 0, "b")
    grown = minimum(maximum(b, at(0, 1, "a")), at(1, 0, "b"))
    return {"a": a * p.rate * p.rate * p.rate, "b": where(a <= b, grown * -1e-6, grown * 1e-7)}


@rule(
    "test_windows",
    channels=("a", "b", "c", "d"),
    sizes={"k": 5},
    weights={"near": (5, 3, 3, 2), "far": ("k", "k", 1), "here": (4,)},
)
def windows(at, p):
    """Convolutions of two sizes, more of one than fit registers at once, and single weights."""
    near = [at.convolve(p.near[i]) for i in range(5)]
    far = at.convolve(p.far) * p.here[1]
    return {"a": near[0] - near[1], "b": clip(near[2] + far, -1, 1), "d": near[3] * near[4]}


@rule("test_smooth", channels=("a",), params={"scale": 0.5}, tolerance=1e-5)
def smooth(at, p):
    near = (at(0, 1, "a") + at(0, -1, "a")) / (1 + exp(-at(1, 0, "a")))
    return {"a": tanh(p.scale * near) + sqrt(abs(at(-1, 0, "a"))) * log(1.5 + at(0, 0, "a") * 0)}


@pytest.fixture
def registry():
    """The rule registry, as it was again after the test."""
    before = dict(_REGISTRY)
    yield _REGISTRY
    _REGISTRY.clear()
    _REGISTRY.update(before)


@pytest.fixture
def backend(request):
    """A backend by its name, able to run."""
    if request.param == "cuda":
        request.getfixturevalue("cuda")
    return request.param


@pytest.fixture
def forgetful():
    """Backend cuda, which remembers neither CuPy nor a GPU before and after the test."""

    def forget():
        for cached in (device._description, device.compiled, _probe, _fastest):
            cached.cache_clear()
        device._USED_BY.clear()
        plan._PLANS.clear()

    forget()
    yield
    forget()


@pytest.fixture
def cuda(forgetful, monkeypatch):
    """CuPy; without a GPU the tests' own, which runs the kernels on the CPU."""
    if not finds_a_gpu():
        from cuda_on_cpu import cupy

        monkeypatch.setitem(sys.modules, "cupy", cupy)
    return sys.modules["cupy"]


@pytest.fixture(scope="module")
def one_thread():
    """Threads wait for each other longer than they work, on matrices so small."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def digits(request):
    """Scikit-learn's 8 x 8 digits, as many as the module says; three pixels are never inked."""
    n, end = request.module.N_TRAIN, request.module.N_TRAIN + request.module.N_TEST
    found = load_digits()
    X, y = (found.data / 16).astype(np.float32), found.target
    return Split(X[:n], y[:n], X[n:end], y[n:end])


def finds_a_gpu():
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except (ImportError, RuntimeError):
        return False
