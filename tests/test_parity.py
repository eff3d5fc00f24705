"""Every backend against the specification, and against the field's package: the same bits."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import drawn, encoded, evolve, noise_key, same_bits

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends.numba import modules
from pixelflow.backends.numba.source import source
from pixelflow.core import clip, get_rule, maximum, minimum, rule, where
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.plan import compile_states

# Backend cuda runs on a CPU where there is no GPU: see cuda_on_cpu.
BACKENDS = tuple(os.environ.get("PIXELFLOW_TEST_BACKENDS", "cpu,numba,moderngl,cuda").split(","))
OTHERS = tuple(name for name in BACKENDS if name != "cpu")  # what is compared with cpu
SHAPES = ((8, 8), (1, 7), (7, 1), (1, 1), (5, 3), (3, 6), (33, 17))
EXACT = (
    "coupled",
    "diffusion_reaction",
    "life_like",
    "wave",
    "test_beside",
    "test_decay",
    "test_noise",
    "test_swap",
    "test_windows",
)
PROBES = (
    Probe(snapshots=(0, 2, 3)),
    Probe(channels=(2, 0), rectify=True, threshold=0.25),
    Probe(snapshots=(1, 3), rectify=True, pool=3),
    Probe(snapshots=(0, 3), channels=(1,), pool=2, pool_op="max"),
    Probe(snapshots=(3,), pool=12),
    Probe(rectify=True, threshold=0.1, pool=1, pool_op="max"),
)
GOLDEN = np.load(Path(__file__).parent / "golden" / "pixelflow_rc.npz")


def textures(n, *shape, seed=0):
    """Random states with zeros of both signs and values near the subnormal range among them."""
    rng = np.random.default_rng(seed)
    states = rng.uniform(-1, 1, (n, *shape)).astype(np.float32)
    few = rng.random(states.shape)
    states[few < 0.1] = 0.0
    states[(few >= 0.1) & (few < 0.2)] = -0.0
    states[(few >= 0.2) & (few < 0.3)] *= np.float32(1e-28)
    return states


def reservoir(rule_name, backend, shape, channels=4, steps=6, **options):
    height, width = shape
    config = ReservoirConfig(
        width,
        height,
        channels,
        steps,
        rule_name,
        boundary=options.pop("boundary", "periodic"),
        **options,
    )
    return Reservoir(config, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", EXACT)
def test_states_are_the_specifications_bits(name, boundary, backend):
    params = {"noise": 0.3} if name == "life_like" else {}
    for shape in SHAPES:
        made = reservoir(name, backend, shape, boundary=boundary, rule_params=params)
        states = textures(3, *shape, 4)
        got = made.evolve(states)
        options = {"key": noise_key(made.config), "weights": drawn(made.config)}
        for before, after in zip(states, got, strict=True):
            expected = evolve(get_rule(name), before, 6, params, boundary=boundary, **options)
            assert same_bits(after, expected), shape


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(5, 6), (1, 4), (1, 1)])
def test_members_media_and_steps_are_the_specifications_bits(shape, boundary, backend):
    """The rule reads two cells away, further than the small textures reach."""
    rng = np.random.default_rng(1)
    members = 3
    speed = rng.random((members, *shape)).astype(np.float32)
    made = reservoir(
        "test_media",
        backend,
        shape,
        channels=3,
        steps=4,
        boundary=boundary,
        members=members,
        medium={"speed": speed, "source": {"uniform": [-1, 1]}},
        rule_params={"rate": [0.1, 0.2, 0.3]},
    )
    states = textures(2, members, *shape, 3)
    got = made.evolve(states)
    source = made.config.values("medium:source", {"uniform": [-1, 1]}, shape)
    for m in range(members):
        media = (speed[m], source[m])
        for before, after in zip(states[:, m], got[:, m], strict=True):
            params = {"rate": (0.1, 0.2, 0.3)[m]}
            expected = evolve(get_rule("test_media"), before, 4, params, media, boundary)
            assert same_bits(after, expected)


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("k", [1, 3])
def test_coupled_members_of_every_size_are_the_specifications_bits(k, boundary, backend):
    """Leaky, each member with its gain and weights, beside a channel that the rule leaves alone."""
    params = {"k": k, "leak": 0.7, "bias": 0.3, "gain": [0.8, 1.5]}
    for shape in ((6, 5), (1, 4), (2, 18)):
        options = {"members": 2, "rule_params": params, "seed": 3, "boundary": boundary}
        made = reservoir("coupled", backend, shape, channels=5, steps=3, **options)
        states = textures(2, 2, *shape, 5)
        got = made.evolve(states)
        for m, gain in enumerate(params["gain"]):
            own = {**params, "gain": gain}
            for before, after in zip(states[:, m], got[:, m], strict=True):
                weights = drawn(made.config, m)
                options = {"boundary": boundary, "weights": weights}
                assert same_bits(after, evolve(get_rule("coupled"), before, 3, own, **options))


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("name", "params"), [("test_smooth", {}), ("energy", {"reach": 2})])
def test_inexact_rules_are_within_their_tolerance(name, params, boundary, backend):
    for shape in ((9, 11), (1, 5)):
        states = textures(3, *shape, 4)
        options = {"boundary": boundary, "rule_params": params}
        got = reservoir(name, backend, shape, **options).evolve(states)
        for before, after in zip(states, got, strict=True):
            expected = evolve(get_rule(name), before, 6, params, boundary=boundary)
            scale = np.abs(expected).max()
            assert np.abs(after - expected).max() <= get_rule(name).tolerance * scale


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("name", ["diffusion_reaction", "wave", "life_like"])
def test_members_do_not_change_each_other(name, backend):
    """Member m of 3 is member m of 2, and differs from the others."""
    param = {"life_like": "threshold", "wave": "c", "diffusion_reaction": "feed"}[name]
    X = np.random.default_rng(0).random((4, 36), dtype=np.float32)
    few, many = (
        reservoir(name, backend, (6, 6), members=m, rule_params={param: {"uniform": [0.1, 0.6]}})
        .transform(X)
        .reshape(4, m, -1)
        for m in (2, 3)
    )
    assert same_bits(few, many[:, :2])
    assert not np.array_equal(many[:, 0], many[:, 2])


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("case", sorted({name.split("/")[0] for name in GOLDEN}))
def test_features_equal_the_fields_package(case, backend):
    """Recorded by tests/golden/record.py from PyPI's pixelflow-rc 0.3.0."""
    name, height, width, steps = re.fullmatch(r"(\w+)-(\d+)x(\d+)-(\d+)", case).groups()
    made = reservoir(name, backend, (int(height), int(width)), steps=int(steps))
    got = made.transform(GOLDEN[f"{case}/X"])
    assert np.abs(got - GOLDEN[f"{case}/features"]).max() <= 1e-6


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("encoding", ["tile", "image", "project", "phase"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_features_of_every_encoder_are_the_same_on_every_backend(encoding, boundary, backend):
    """To the bit, but for sums and sines that a GPU's library computes; cpu as specified."""
    X = np.random.default_rng(0).random((150, 49), dtype=np.float32)
    options = {"boundary": boundary, "input_encoding": encoding}
    made = reservoir("wave", "cpu", (9, 5), **options)
    if backend == "cpu":
        states = [encoded(made.config, x).astype(np.float32) for x in X]
        rule = get_rule("wave")
        expected = np.stack([evolve(rule, s, 6, boundary=boundary).ravel() for s in states])
    else:
        expected = made.transform(X)
    got = reservoir("wave", backend, (9, 5), **options).transform(X)
    exact = encoding in ("tile", "image") or backend not in ("cpu", "cuda")
    check_features(got, expected, exact)


def check_features(got, expected, exact):
    """The same bits, or differences of rounding: a GPU's library sums in an order of its own."""
    if exact:
        assert same_bits(got, expected)
    else:
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def check_probe(backend, probe, encoding):
    """The same bits as the reference, but for the order in which a mean is summed."""
    params = {"c": {"uniform": [0.1, 0.6]}}
    options = {"members": 2, "input_encoding": encoding, "rule_params": params}
    X = np.random.default_rng(0).standard_normal((5, 30), dtype=np.float32)
    expected, got = (
        reservoir("wave", name, (6, 9), steps=3, probe=probe, **options).transform(X)
        for name in ("cpu", backend)
    )
    summed = probe.pool and probe.pool_op == "mean"
    check_features(got, expected, exact=not summed and (backend, encoding) != ("cuda", "project"))


@pytest.mark.parametrize("backend", OTHERS, indirect=True)
@pytest.mark.parametrize("encoding", ["tile", "project"])
@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_reads_the_same_on_every_backend(probe, encoding, backend):
    check_probe(backend, probe, encoding)


@pytest.mark.parametrize("backend", OTHERS, indirect=True)
def test_exact_false_stays_near(backend):
    """Near the specification; backend cpu takes it for exact=True."""
    states = np.abs(textures(2, 16, 16, 4))
    fast = Reservoir(ReservoirConfig(16, 16, 4, 6), backend=backend, exact=False).evolve(states)
    expected = [evolve(get_rule("diffusion_reaction"), state, 6) for state in states]
    assert np.abs(fast - np.stack(expected)).max() < 1e-5


@pytest.mark.parametrize("rule_name", ["diffusion_reaction", "coupled"])
@pytest.mark.parametrize(("exact", "fused"), [(True, False), (False, True)])
def test_exact_code_has_no_fused_multiply_add(exact, fused, rule_name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # code from Numba's cache can't be seen
    modules.imported.cache_clear()
    made = Reservoir(ReservoirConfig(16, 16, 4, 6, rule_name), backend="numba", exact=exact)
    made.transform(np.zeros((1, 256), np.float32))
    text = source(compile_states(made.config).program, 4, exact)
    code = "\n".join(modules.compiled(text).step.inspect_asm().values())
    modules.imported.cache_clear()
    assert re.search(r"v?f?mul", code)
    assert bool(re.search(r"vfn?m(add|sub)|fml[as]", code)) is fused


def test_numba_keeps_a_convolutions_sums_in_vector_registers(tmp_path, monkeypatch):
    """Its 400 weights are not written out: that took a thousand instructions, and seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    modules.imported.cache_clear()
    made = Reservoir(ReservoirConfig(16, 16, 4, 6, "coupled"), backend="numba")
    made.transform(np.zeros((1, 256), np.float32))
    text = source(compile_states(made.config).program, 4, True)
    code = "\n".join(modules.compiled(text).step.inspect_asm().values())
    modules.imported.cache_clear()
    vectors = re.findall(r"vmulps|mulps|fmul\tv\d+\.4s|fmul\s+v\d+\.4s", code)
    assert 16 <= len(vectors) <= 200


numbers = st.sampled_from([-1.5, -0.0, 0.0, 0.25, 1.0, 3.0])


@st.composite
def expressions(draw, depth=4):
    """A function of (at, p), built at random from the exact part of the rule language."""
    kind = draw(
        st.sampled_from(["read", "number", "param"] if depth == 0 else list("rnte+-*<mMcwax"))
    )
    if kind in ("read", "r"):
        dy, dx = draw(st.tuples(st.integers(-2, 2), st.integers(-2, 2)))
        channel = draw(st.sampled_from("abc"))
        return lambda at, p: at(dy, dx, channel)
    if kind in ("number", "n"):
        value = draw(numbers)
        return lambda at, p: at(0, 0, "a") * 0 + value
    if kind == "t":
        return lambda at, p: minimum(at.step(), 2) - p.k
    if kind == "e":
        return lambda at, p: clip(at.noise(), -1, 1)
    if kind == "param":
        return lambda at, p: at(0, 0, "b") + p.k
    f, g, h = (draw(expressions(depth=depth - 1)) for _ in range(3))
    low = draw(numbers)
    return {
        "+": lambda at, p: f(at, p) + g(at, p),
        "-": lambda at, p: f(at, p) - g(at, p),
        "*": lambda at, p: p.one * f(at, p) * g(at, p),
        "<": lambda at, p: where(f(at, p) < g(at, p), h(at, p), p.k),
        "m": lambda at, p: minimum(f(at, p), g(at, p)),
        "M": lambda at, p: maximum(f(at, p), low),
        "c": lambda at, p: clip(f(at, p), low, low + 1),
        "w": lambda at, p: where((f(at, p) >= 0) | ~(g(at, p) == 0), 1, h(at, p)),
        "a": lambda at, p: abs(f(at, p)) - g(at, p),
        "x": lambda at, p: f(at, p) * at.noise() + at.step(),
    }[kind]


def check_random_rule(backend, functions, boundary):
    names = dict(zip("abc", functions, strict=False))
    made = rule("test_random", channels=("a", "b", "c"), params={"k": 0.5, "one": 1.0})(
        lambda at, p: {name: f(at, p) for name, f in names.items()}
    )
    states = textures(3, 4, 5, 4)
    random_rule = reservoir("test_random", backend, (4, 5), steps=3, boundary=boundary)
    got = random_rule.evolve(states)
    key = noise_key(random_rule.config)
    for before, after in zip(states, got, strict=True):
        assert same_bits(after, evolve(made, before, 3, boundary=boundary, key=key))


random_rules = given(st.lists(expressions(), min_size=1, max_size=3), st.sampled_from(BOUNDARIES))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@random_rules
def test_random_rules_on_the_cpu(functions, boundary):
    check_random_rule("cpu", functions, boundary)


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@random_rules
def test_random_rules_on_numba(functions, boundary):
    check_random_rule("numba", functions, boundary)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@random_rules
def test_random_rules_on_cuda(cuda, functions, boundary):
    check_random_rule("cuda", functions, boundary)
