"""Every public constructor and method, called with odd and hostile arguments.

Each call ends in a result or in an error that names an argument, without NumPy's warnings, soon and
in little memory. `PIXELFLOW_FUZZ_SEED` draws other calls.
"""

import itertools
import json
import os
import resource
import signal
import warnings
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from pixelflow import (
    LogisticReadout,
    Probe,
    Reservoir,
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
    stats,
)
from pixelflow.backends import get_backend
from pixelflow.core import get_rule, register_rule, rule
from pixelflow.tasks import eikonal, synthetic

SEED = int(os.environ.get("PIXELFLOW_FUZZ_SEED", "0"))
CALLS = 60  # of each door, in some of which two arguments are odd
SECONDS = 20  # a call that takes so long hangs
BYTES = 2 * 2**30  # of memory that all calls may need beside what is there
ALLOWED = (ValueError, TypeError, ImportError, RuntimeError, OSError)
NUMPYS_OWN = ".*(encountered|of empty|Degrees of freedom|empty slice|elementwise)"  # warnings

CONFIG = ReservoirConfig(width=6, height=5, steps=2, rule="wave", input_encoding="image")
LEARNS = CONFIG.with_params(input_encoding="whiten", encoder_params={"k": 3, "samples": 50})
RNG = np.random.default_rng(0)
X = RNG.random((30, 4, 4), dtype=np.float32)
F = RNG.normal(size=(30, 7))
LABELS = np.arange(30) % 3
VALUES = RNG.normal(size=30)


class Unprintable:
    """An object whose repr fails."""

    def __repr__(self):
        raise RuntimeError("no repr")


def odd_values(rng):
    """Values that no argument expects, and some that are at a limit."""
    scalars = [None, True, -1, 0, 1, 3, 2.5, -0.0, 1e-320, 1e38, 1e300, np.nan, np.inf, -np.inf]
    scalars += [2**31, 2**63, -(2**63), 10**30, 10**400, -(10**400), 1j, Fraction(1, 3)]
    scalars += ["", "wave", "\0", "x" * 10_000, b"bytes", object(), Unprintable(), len, int, ...]
    scalars += [np.float32(0.5), np.int64(2), np.uint8(200), np.bool_(True), np.datetime64("NaT")]
    scalars += [np.str_("wave"), pd.NA, pd.Timestamp("2020-01-01")]
    holders = [[], (), {}, set(), [[]], [None], [1, "a"], {"a": 1}, {1: 2}, {"uniform": [0, 1]}]
    holders += [{"uniform": [1, 0]}, {"uniform": [0, np.nan]}, {"quantile": 2}, [1, [2, 3]]]
    holders += [[10**400], ["a", np.nan], range(10**9), itertools.count(), iter([1, 2]), [[1, 2]]]
    shape = tuple(int(n) for n in rng.integers(0, 6, rng.integers(0, 5)))
    arrays = [np.zeros(shape), np.full(shape, np.nan), np.ones(shape, complex), np.array(None)]
    arrays += [np.array([1, None, 2], object), np.array(["a", "b"]), np.empty((0, 4, 4))]
    arrays += [np.ma.masked_array([1.0, 2.0], [True, False]), np.full((30, 4, 4), 1e38)]
    arrays += [np.full((30, 7), 1e200), np.full(30, -1.0), np.arange(30) * 1e306, np.zeros(30)]
    arrays += [pd.Series([1, None, 3], dtype="Int64"), pd.DataFrame({"a": [1.0], "b": ["x"]})]
    arrays += [np.ones((30, 7), np.float16), np.ones((30, 7), bool), np.arange(30)[::-1]]
    values = [*scalars, *holders, *arrays]
    return values[rng.integers(len(values))]


def used_config(**fields):
    config = ReservoirConfig(**{"width": 6, "height": 5, "steps": 2, "rule": "wave", **fields})
    assert ReservoirConfig.from_json(config.to_json()) == config
    hash(config)
    if Reservoir(config, backend="cpu").feature_dim * config.height * config.width < 10**5:
        Reservoir(config, backend="cpu").fit_transform(X)


def used_rule(function=..., **arguments):
    if function is ...:
        function = get_rule("test_swap").function
    rule(**{"name": "test_door", "channels": ("a", "b"), **arguments})(function)


def readout_of(kind, method, **arguments):
    names = {"RidgeReadout": ("alpha", "task", "standardize", "selection", "class_weight"),
             "LogisticReadout": ("C", "max_iter")}[kind.__name__]  # fmt: skip
    made = kind(**{name: arguments.pop(name) for name in names if name in arguments})
    if method in ("predict", "score"):
        made.fit(F, LABELS)
    getattr(made, method)(**arguments)
    if method != "predict":
        made.predict(F)


def chunked(chunks, **arguments):
    RidgeReadout().fit_chunks(lambda: [chunks], **arguments)


FITTED = {  # doors of estimators use copies of these
    "classifier": ReservoirClassifier(CONFIG, backend="cpu").fit(X, LABELS),
    "regressor": ReservoirRegressor(CONFIG, backend="cpu").fit(X, VALUES),
    "reservoir": Reservoir(CONFIG, backend="cpu").fit(X),
}


def method_of(estimator, name, **arguments):
    found = clone(FITTED[estimator]) if "fit" in name else FITTED[estimator]
    result = getattr(found, name)(**arguments)
    if name == "iter_features":
        list(result)


def made(cls, **arguments):
    model = cls(**{"config": CONFIG, "backend": "cpu", **arguments})
    model.fit(X, LABELS if cls is ReservoirClassifier else VALUES)
    model.predict(X[:3])


def searched(estimator, **params):
    clone(FITTED[estimator]).set_params(**params)


MASK = np.zeros((5, 6, 4, 2))
MASK[:, :, :2] = 0.5
DRIVEN = ReservoirConfig(
    6, 5, 4, 2, "test_media", input_encoding="inject", encoder_params={"mask": MASK},
    medium={"speed": {"uniform": [0, 1]}, "source": {"uniform": [0, 1]}},
)  # fmt: skip


def driven(name, *arguments, encoder_params=None, **options):
    """A call of a reservoir whose rule has media, with an encoder for sequences."""
    config = DRIVEN
    if encoder_params is not None:
        config = DRIVEN.with_params(encoder_params=encoder_params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return getattr(Reservoir(config, backend="cpu"), name)(*arguments, **options)


EVOLVED = RNG.random((2, 5, 6, 4), dtype=np.float32)
DOORS = {  # a function and its usual arguments; an odd one may take the place of each
    "ReservoirConfig": (used_config, dict(
        width=6, height=5, channels=4, steps=2, rule="wave", rule_params={"c": 0.4},
        input_encoding="image", seed=0, dtype="float32", boundary="zero", members=2, medium={},
        encoder_params={}, probe=Probe())),
    "ReservoirConfig random": (used_config, dict(
        rule="coupled", rule_params={"k": 3}, input_encoding="random",
        encoder_params={"k": 3, "contrast": 0.1, "squash": "root"}, members=2)),
    "rule_params": (lambda **params: used_config(rule_params=params), dict(
        c=0.5, damping=0.9, dt=1.0)),
    "encoder_params": (lambda **params: used_config(
        input_encoding="random", encoder_params=params), dict(
        k=3, bias=0.1, contrast=0.1, scale=1.0, threshold=0.0, squash="clip")),
    "shifts": (lambda **params: used_config(input_encoding="shifts", encoder_params=params), dict(
        reach=2, scale=((0.5, 1.0),), offset=(0.1,))),
    "from_json": (ReservoirConfig.from_json, dict(text=CONFIG.to_json())),
    "from_dict": (ReservoirConfig.from_dict, dict(data=CONFIG.to_dict())),
    "Probe": (Probe, dict(
        snapshots=(1, 2), channels=(0,), rectify=True, threshold=0.1, pool=2, pool_op="max")),
    "rule": (used_rule, dict(
        name="test_door", channels=("a", "b"), params={"rate": 0.1}, medium=(), tolerance=0.0,
        sizes={"k": 3}, weights={"w": ("k", "k", 1)})),
    "a rule's function": (used_rule, dict(function=lambda at, p: {"a": at(0, 0, "a")})),
    "get_rule": (get_rule, dict(name="wave")),
    "register_rule": (register_rule, dict(rule=get_rule("wave"))),
    "get_backend": (get_backend, dict(name="cpu", device=None)),
    "Reservoir": (lambda **a: Reservoir(**{"backend": "cpu", **a}).fit_transform(X), dict(
        config=CONFIG, backend="cpu", exact=True, device=None)),
    "Reservoir.fit": (lambda **a: method_of("reservoir", "fit", **a), dict(X=X)),
    "Reservoir.transform": (lambda **a: method_of("reservoir", "transform", **a), dict(
        X=X, out=np.empty((30, 120), np.float32))),
    "Reservoir.evolve": (lambda **a: method_of("reservoir", "evolve", **a), dict(
        states=EVOLVED, steps=2, medium={})),
    "Reservoir.evolve with media": (lambda **a: driven("evolve", **a), dict(
        states=EVOLVED, steps=2, medium={"speed": np.ones((2, 1, 5, 6))}, first=3)),
    "media": (lambda **a: driven("evolve", states=EVOLVED, medium=a), dict(
        speed=np.ones((2, 1, 5, 6)), source=np.ones((5, 6)))),
    "Reservoir.evolve_until": (lambda **a: driven("evolve_until", **a), dict(
        states=EVOLVED, tol=0.1, every=2, max_steps=5, medium={"speed": np.ones((5, 6))})),
    "Reservoir.run_sequence": (lambda **a: driven("run_sequence", **a), dict(
        u=np.ones((2, 4, 2)), washout=1, state=(EVOLVED, 3), return_state=True)),
    "a sequence's state": (
        lambda textures, steps: driven("run_sequence", u=np.ones((2, 4, 2)),
                                       state=(textures, steps)), dict(
        textures=EVOLVED, steps=3)),
    "inject": (lambda **a: driven("run_sequence", np.ones((4, 2)), encoder_params=a), dict(
        scale=0.3, density=0.5, mask=MASK)),
    "float64": (lambda **a: used_config(**a), dict(dtype="float64", boundary="zero")),
    "Reservoir.step": (lambda **a: method_of("reservoir", "step", **a), dict(state=EVOLVED[0])),
    "iter_features": (lambda **a: method_of("reservoir", "iter_features", **a), dict(
        X=X, batch_size=7)),
    "learned": (lambda **a: Reservoir(LEARNS, backend="cpu").fit(**a), dict(X=X)),
    "set_params": (lambda **a: searched("classifier", **a), dict(
        config=CONFIG, readout=None, backend="cpu", exact=True, device=None, batch_size=None,
        augment=None, config__steps=1, config__probe__pool=2)),
    "RidgeReadout.fit": (lambda **a: readout_of(RidgeReadout, "fit", **a), dict(
        X=F, y=LABELS, sample_weight=np.ones(30), alpha=[0.1, 1.0], task="auto", standardize=True,
        selection="loo", class_weight={0: 1.0})),
    "RidgeReadout regresses": (lambda **a: readout_of(RidgeReadout, "fit", **a), dict(
        X=F, y=VALUES, sample_weight=np.ones(30), alpha=1.0)),
    "RidgeReadout.partial_fit": (lambda **a: readout_of(RidgeReadout, "partial_fit", **a), dict(
        X=F, y=LABELS, classes=[0, 1, 2], sample_weight=np.ones(30), alpha=1.0)),
    "RidgeReadout.fit_chunks": (chunked, dict(
        chunks=(F, LABELS, None), classes=[0, 1, 2], y=LABELS)),
    "RidgeReadout.predict": (lambda **a: readout_of(RidgeReadout, "predict", **a), dict(X=F)),
    "RidgeReadout.score": (lambda **a: readout_of(RidgeReadout, "score", **a), dict(
        X=F, y=LABELS, sample_weight=np.ones(30))),
    "RidgeReadout.restore": (RidgeReadout.restore, dict(
        params={"alpha": 1.0}, fitted={
            "coef_": np.ones((1, 7)), "intercept_": np.ones(1), "alpha_": 1.0})),
    "LogisticReadout.fit": (lambda **a: readout_of(LogisticReadout, "fit", **a), dict(
        X=F, y=LABELS, sample_weight=np.ones(30), C=1.0, max_iter=200)),
    "LogisticReadout.score": (lambda **a: readout_of(LogisticReadout, "score", **a), dict(
        X=F, y=LABELS, sample_weight=np.ones(30))),
    "ReservoirClassifier": (lambda **a: made(ReservoirClassifier, **a), dict(
        config=CONFIG, readout=None, backend="cpu", exact=True, device=None, batch_size=8,
        augment={"flip": True})),
    "augment": (lambda **a: made(ReservoirClassifier, augment=a), dict(
        shifts=2, max_shift=1, degrees=5.0, scale=0.1, flip=True, seed=0, average=True)),
    "ReservoirRegressor": (lambda **a: made(ReservoirRegressor, **a), dict(
        config=CONFIG, readout=None, batch_size=8, augment=None)),
    **{f"{name}.{method}": (
        lambda name=name, method=method, **a: method_of(name, method, **a),
        dict(X=X, y=LABELS if name == "classifier" else VALUES, sample_weight=np.ones(30)))
        for name in ("classifier", "regressor") for method in ("fit", "partial_fit", "score")},
    "classifier.predict": (lambda **a: method_of("classifier", "predict", **a), dict(X=X)),
    "regressor.predict": (lambda **a: method_of("regressor", "predict", **a), dict(X=X)),
    "classifier.load": (ReservoirClassifier.load, dict(path="no such file", backend="cpu")),
    "solve_reference": (eikonal.solve_reference, dict(grid=np.ones((4, 5)), source=(1, 2))),
    "constant_speed": (eikonal.constant_speed, dict(shape=(4, 5), source=(1, 2), speed=2.0)),
    "radial_speed": (eikonal.radial_speed, dict(shape=(4, 5), source=(1, 2), drop=0.5)),
    "linear_speed": (eikonal.linear_speed, dict(
        shape=(4, 5), source=(1, 2), gradient=(0.1, 0.1), speed=2.0)),
    "two_moons": (synthetic.two_moons, dict(n=20, noise=0.1, seed=0)),
    "checkerboard": (synthetic.checkerboard, dict(n_per_side=2, seed=0)),
    "over_seeds": (stats.over_seeds, dict(values=[0.9, 0.8])),
    "proportion": (stats.proportion, dict(successes=3, n=10)),
    "paired": (stats.paired, dict(right=LABELS == 0, other=LABELS == 1)),
    "holm": (stats.holm, dict(p_values=[0.1, 0.2])),
}  # fmt: skip
# All of whose arguments have defaults, so that some may be left out.
OPTIONAL = ("ReservoirConfig", "Probe", "rule_params", "encoder_params", "augment", "two_moons")
OTHER_NAMES = {  # by which errors may call an argument
    "X": ("input", "array", "sample", "feature", "image", "encoder", "column", "out"),
    "y": ("label", "class", "target", "sample", "inconsistent"),
    "states": ("state", "input"),
    "textures": ("state",),
    "speed": ("medium",),
    "source": ("medium",),
    "config": ("reservoirs",),
    "channels": ("channel",),
    "classes": ("label",),
    "n": ("successes",),
    "drop": ("speed",),
    "weights": ("names",),
    "sizes": ("names", "size"),
    "name": ("rule", "backend"),
    "backend": ("errno",),
    "text": ("config", "json", "Expecting", "column"),
    "data": ("config",),
    "chunks": ("chunk",),
    "function": ("rule",),
    "fitted": ("coef_", "intercept_", "readout"),
    "params": ("alpha", "parameter", "rule"),
    "path": ("file", "Errno", "model"),
    "grid": ("speed",),
    "right": ("test",),
    "other": ("test",),
    "values": ("interval",),
}


def test_usual_arguments_are_accepted():
    """Else the doors below would refuse what is beside an odd argument."""
    for name, (door, usual) in DOORS.items():
        if name != "classifier.load":
            door(**usual)


@contextmanager
def limits():
    """Little memory beside what is there, and an end to what hangs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()

    def late(*_):
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "name",
    DOORS,
)
def test_odd_arguments_give_a_result_or_an_error_that_names_them(name, registry):
    rng = np.random.default_rng([SEED, *name.encode()])
    door, usual = DOORS[name]
    with limits():
        for call in range(CALLS):
            n_odd = 1 if call % 4 else min(2, len(usual))
            odd = {str(key): odd_values(rng) for key in rng.choice(list(usual), n_odd, False)}
            arguments = {**usual, **odd}
            if name in OPTIONAL and not call % 5:
                kept = [key for key in usual if key in odd or rng.random() < 0.5]
                arguments = {key: arguments[key] for key in kept}
            signal.alarm(SECONDS)
            check(name, door, arguments, odd)
            signal.alarm(0)


def check(name, door, arguments, odd):
    """One call: its outcome is one of those allowed."""
    said = f"{name}({', '.join(f'{k}={shown(v)}' for k, v in odd.items())})"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", NUMPYS_OWN, RuntimeWarning)
        warnings.filterwarnings("error", NUMPYS_OWN, DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        try:
            door(**arguments)
        except ALLOWED as error:
            # what is left out may make others not go together
            names = odd if len(arguments) == len(DOORS[name][1]) else {**arguments, **odd}
            words = [word for key in names for word in (key, *OTHER_NAMES.get(key, ()))]
            words += [key.rpartition("__")[2] for key in names]
            told = str(error).lower()
            assert any(word.lower() in told for word in words), f"{said}: {error!r:.500}"
        except Warning as warning:
            raise AssertionError(f"{said}: leaks {warning!r}") from warning
        except BaseException as error:
            raise AssertionError(f"{said}: {error!r:.500}") from error


def shown(value):
    try:
        return f"{value!r:.80}"
    except Exception:
        return type(value).__name__


def test_json_of_any_depth_is_refused():
    for text in ("[" * 9000, '{"a":' * 9000, json.dumps({"width": 10**400})):
        with pytest.raises(ValueError):
            ReservoirConfig.from_json(text)
