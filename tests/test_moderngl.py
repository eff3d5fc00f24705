"""Backend moderngl: both its paths to the same bits, its limits, and life without OpenGL."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings
from reference import drawn, evolve, same_bits
from test_parity import (
    EXACT,
    PROBES,
    check_probe,
    check_random_rule,
    random_rules,
    reservoir,
    textures,
)

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends import get_backend
from pixelflow.backends.moderngl import atlas, context, dispatch, run
from pixelflow.backends.moderngl.resident import Resident
from pixelflow.core import clip, get_rule, rule, where
from pixelflow.core import plan as plan_module
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.plan import compile_plan

PATHS = ("fragment", "compute")


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Each way of running a plan, whichever the renderer would take."""
    monkeypatch.setattr(run, "PATHS", (request.param,))
    return request.param


def both(config, X, method="transform"):
    """What the reference and OpenGL make of inputs."""
    return [getattr(Reservoir(config, backend=b), method)(X) for b in ("cpu", "moderngl")]


def test_a_path_is_the_one_that_runs(path):
    made = {"fragment": atlas.Atlas, "compute": dispatch.Dispatch}[path]
    plan = compile_plan(ReservoirConfig(8, 8, 4, 1, "wave"), (64,))
    X = np.zeros((1, 64), np.float32)
    assert type(context.call(None, run.path, plan, X, True)) is made


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", EXACT)
def test_both_paths_give_the_specifications_bits(name, boundary, path):
    params = {"noise": 0.3} if name == "life_like" else {}
    for shape in ((1, 1), (1, 7), (5, 3), (16, 32), (33, 17)):
        states = textures(5, *shape, 4)
        made = reservoir(name, "moderngl", shape, boundary=boundary, rule_params=params)
        key = int(made.config.generator("noise", 0).integers(2**32))
        for before, after in zip(states, made.evolve(states), strict=True):
            own = {"boundary": boundary, "key": key, "weights": drawn(made.config)}
            assert same_bits(after, evolve(get_rule(name), before, 6, params, **own)), shape


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(4, 8), (1, 3)])
def test_members_media_and_noise(shape, boundary, path, registry):
    @rule("test_all", ("a", "b"), {"rate": 0.1}, medium=("speed",))
    def everything(at, p):
        far = at(-3, 0, "a") * at.medium("speed") + at(1, 2, "b") + at.step()
        return {"b": clip(far + p.rate * at.noise(), -2, 2), "a": at(0, 0, "b")}

    config = ReservoirConfig(
        *shape[::-1],
        3,
        4,
        "test_all",
        members=5,
        boundary=boundary,
        rule_params={"rate": {"uniform": [0, 1]}},
        medium={"speed": {"uniform": [-1, 1]}},
    )
    assert same_bits(*both(config, textures(3, 5, *shape, 3), "evolve"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 9])
def test_any_number_of_channels(channels, path, registry):
    names = tuple("abcdefghi"[:channels])

    @rule("test_wide", names)
    def wide(at, p):
        reads = {n: at(0, 1 + i % 2, n) - at(i % 3 - 1, 0, n) for i, n in enumerate(names)}
        around = [*names[1:], names[0]]
        return {n: 0.5 * reads[n] + at(0, 0, m) for n, m in zip(names, around, strict=True)}

    @rule("test_last", names)
    def last(at, p):
        return {names[-1]: at(0, 1, names[0]) - 0.5 * at(0, 0, names[-1])}

    for name in ("test_wide", "test_last"):
        for n in (1, 2, 3, 9):
            config = ReservoirConfig(5, 4, channels + 1, 3, name)
            assert same_bits(*both(config, textures(n, 4, 5, channels + 1), "evolve"))


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@random_rules
def test_random_rules(path, functions, boundary):
    check_random_rule("moderngl", functions, boundary)


@pytest.mark.parametrize("encoding", ["tile", "project"])
@pytest.mark.parametrize("probe", PROBES)
def test_probes(probe, encoding, path):
    check_probe("moderngl", probe, encoding)


@pytest.mark.parametrize("pool_op", ["mean", "max"])
@pytest.mark.parametrize(("shape", "grid"), [((300, 300), 1), ((300, 517), 2), ((1, 9000), 1)])
def test_large_cells_are_pooled_whole(shape, grid, pool_op, path):
    """Software ends a long loop of a shader, and all loops after it, without a word."""
    X = np.full((2, *shape), 0.5, np.float32)
    X[:, :, shape[1] // 2 :] = 1
    probe = Probe(snapshots=(0, 2), pool=grid, pool_op=pool_op, rectify=True)
    config = ReservoirConfig(*shape[::-1], 4, 2, "wave", input_encoding="image", probe=probe)
    expected, got = both(config, X)
    assert expected[0, 0] >= 0.5  # of the encoded texture
    assert np.abs(got - expected).max() <= 1e-5


@pytest.mark.parametrize("shape", [(64, 64), (128, 128), (1, 8192), (512, 8)])
def test_the_mean_of_many_equal_values_is_their_value(shape, path):
    values = np.append(np.float32(0.3), np.random.default_rng(0).random(20, np.float32))
    X = np.ones((1, *shape), np.float32) * values[:, None, None]
    probe = Probe(snapshots=(0,), channels=(0,), pool=1)
    config = ReservoirConfig(*shape[::-1], 2, 0, "wave", input_encoding="image", probe=probe)
    got = Reservoir(config, backend="moderngl").transform(X)[:, 0]
    assert np.abs(got / values - 1).max() <= 3e-6


def test_many_snapshots_are_all_pooled(path):
    X = np.random.default_rng(0).random((2, 24, 24), np.float32)
    probe = Probe(snapshots=tuple(range(3000)), channels=(0,), pool=2)
    config = ReservoirConfig(24, 24, 2, 3000, "wave", input_encoding="image", probe=probe)
    expected, got = both(config, X)
    assert np.abs(got - expected).max() <= 1e-5 and np.abs(expected[:, -4:]).min() > 1e-5


def test_a_texture_too_long_for_softwares_loops_is_refused(monkeypatch):
    monkeypatch.setattr(context.Device, "software", True)
    monkeypatch.setattr(run, "PATHS", ("fragment",))
    monkeypatch.setattr(atlas, "SOFTWARE_PASSES", 2000)
    X, pooled = np.ones((1, 1, 500), np.float32), Probe(pool=1)
    config = ReservoirConfig(500, 1, 2, 1, "wave", input_encoding="image", probe=pooled)
    with pytest.raises(RuntimeError, match=r"can't pool 1 x 500 .* backend 'numba'"):
        Reservoir(config, backend="moderngl").transform(X)
    whole = Reservoir(config.with_params(probe=Probe()), backend="moderngl")
    assert whole.transform(X).shape == (1, 1000)


def test_not_a_number_is_pooled_like_numpy_does(path):
    states = np.full((1, 4, 4, 2), 1e38, np.float32)
    rule("test_blow", ("a",))(lambda at, p: {"a": at(0, 0, "a") * 10 - at(0, 1, "a") * 10})
    probe = Probe(channels=(0,), pool=2, pool_op="max")
    config = ReservoirConfig(4, 4, 2, 2, "test_blow", input_encoding="image", probe=probe)
    expected, got = both(config, states[..., 0])
    assert np.isnan(expected).all() and np.isnan(got).all()


def test_bytes_are_scaled_to_the_same_bits(path):
    X = np.random.default_rng(0).integers(0, 256, (7, 9, 9), np.uint8)
    config = ReservoirConfig(10, 10, 4, 2, "wave", input_encoding="image", members=2)
    assert same_bits(*both(config, X))
    assert same_bits(*both(config.with_params(input_encoding="project"), X))


@pytest.mark.parametrize("members", [1, 3, 40])
def test_a_batch_that_does_not_fit_is_run_in_parts(members, path, monkeypatch):
    monkeypatch.setattr(context.Device, "largest", 32)
    monkeypatch.setattr(dispatch, "CHUNK_BYTES", 2**14)
    monkeypatch.setattr(atlas, "CACHED_BYTES", 2**16)
    monkeypatch.setattr(dispatch, "MOST_GROUPS", 13)
    config = ReservoirConfig(
        5,
        9,
        4,
        3,
        "wave",
        members=members,
        input_encoding="image",
        rule_params={"c": {"uniform": [0.1, 0.6]}},
        probe=Probe(snapshots=(1, 3)),
    )
    assert same_bits(*both(config, np.random.default_rng(0).random((50, 49), np.float32)))
    config = config.with_params(probe=Probe(), input_encoding="project")
    expected, got = both(config, np.random.default_rng(0).random((9, 49), np.float32))
    assert np.abs(got - expected).max() <= 1e-5  # a product of other sizes is rounded otherwise
    states = textures(4, members, 9, 5, 4)
    assert same_bits(*both(config, states, "evolve"))


def test_what_no_part_fits_says_so(monkeypatch):
    monkeypatch.setattr(context.Device, "largest", 32)
    with pytest.raises(RuntimeError, match=r"2 x 2000 is larger than .* 32 x 32"):
        reservoir("wave", "moderngl", (2, 2000)).transform(np.ones((1, 4)))


def test_a_table_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(run, "PATHS", ("fragment",))
    monkeypatch.setattr(context.Device, "largest", 64)
    monkeypatch.setattr(atlas, "ROW_BITS", 4)
    X = np.ones((1, 4))
    assert reservoir("wave", "moderngl", (16, 16)).transform(X).shape == (1, 1024)
    with pytest.raises(RuntimeError, match=r"16 x 17 x 4 .* 1088 numbers, .* 1024: .*'numba'"):
        reservoir("wave", "moderngl", (16, 17)).transform(X)


def test_a_large_texture():
    states = textures(1, 300, 517, 2)
    config = ReservoirConfig(517, 300, 2, 3, "wave", boundary="reflect")
    assert same_bits(*both(config, states, "evolve"))


@pytest.mark.parametrize("version", [330, 400])
def test_older_versions_draw(version, monkeypatch):
    monkeypatch.setattr(context.Device, "version", version)
    config = ReservoirConfig(
        9, 6, 4, 3, "life_like", {"noise": 0.3}, probe=Probe(snapshots=(0, 3), rectify=True)
    )
    X = np.random.default_rng(0).random((5, 30), np.float32)
    for each in (config, config.with_params(probe=Probe(), members=3)):
        expected, got = both(each, X)
        if version == 330:  # without `precise`
            assert np.abs(got - expected).max() <= 1e-6
        else:
            assert same_bits(got, expected)


def test_fast_code_stays_near(path):
    states = np.abs(textures(2, 16, 16, 4))
    exact, fast = (
        Reservoir(ReservoirConfig(16, 16, 4, 6), backend="moderngl", exact=exact).evolve(states)
        for exact in (True, False)
    )
    assert np.abs(exact - fast).max() < 1e-5


def test_threads_and_processes(path):
    X = np.random.default_rng(0).random((40, 20))
    made = [reservoir("wave", "moderngl", (4, 5 + i)) for i in range(4)]
    expected = [reservoir("wave", "cpu", (4, 5 + i)).transform(X) for i in range(4)]
    for how in ({"prefer": "threads"}, {"backend": "loky"}):
        with joblib.Parallel(n_jobs=4, **how) as parallel:
            got = parallel(joblib.delayed(r.transform)(X) for r in made * 2)
        assert all(map(same_bits, got, expected * 2))


def test_a_forked_process_says_that_it_cannot():
    made, X = reservoir("wave", "moderngl", (6, 6)), np.ones((2, 36))
    expected = made.transform(X)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        with pytest.raises(RuntimeError, match=r"'moderngl' .* forked .*spawn"):
            pool.apply_async(made.transform, [X]).get(timeout=120)
    assert same_bits(made.transform(X), expected)


def test_many_reservoirs_leave_nothing_behind(path):
    def resident_after(count):
        for i in range(count):
            made = reservoir("wave", "moderngl", (64, 64), members=8 + i % 3)
            made.transform(np.ones((4, 4)))
        return psutil.Process().memory_info().rss

    before = resident_after(20)
    assert resident_after(200) < before + 30e6  # of 200 times a few MB
    assert len(context._devices) == 1


def test_device_time_is_of_all_the_work(path, monkeypatch):
    monkeypatch.setattr(context.Device, "largest", 64)
    plan = compile_plan(ReservoirConfig(16, 16, 4, 2, "wave", members=3), (9,))
    held = Resident(plan, np.ones((40, 9), np.float32), True, None)
    few, many = held.times(3), held.times(5)
    held.release()
    assert (len(few), len(many)) == (3, 5) and 0 < min(few + many) and max(few + many) < 10


def test_what_is_timed_gives_the_features(path, monkeypatch):
    monkeypatch.setattr(context.Device, "largest", 32)
    monkeypatch.setattr(dispatch, "CHUNK_BYTES", 2**14)
    monkeypatch.setattr(dispatch, "MOST_GROUPS", 13)
    X = np.random.default_rng(0).random((40, 9), np.float32)
    for members in (1, 3, 40):
        config = ReservoirConfig(5, 9, 4, 3, "wave", members=members, probe=Probe(snapshots=(1, 3)))
        held = Resident(compile_plan(config, (9,)), X, True, None)
        for _ in range(2):
            assert same_bits(held.features(), Reservoir(config, backend="cpu").transform(X))
            held.times(1)
        held.release()
        with pytest.raises(RuntimeError, match="released"):
            held.features()


def test_programs_are_kept_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(context, "MOST_PROGRAMS", 4)
    for i in (0, 1, 2, 0):
        made = reservoir("wave", "moderngl", (4, 4 + i))
        assert same_bits(made.transform(np.ones((1, 4))), both(made.config, np.ones((1, 4)))[0])
    assert context.call(None, lambda device: len(device._programs)) <= 4


def test_a_program_is_released_by_its_last_user(path, monkeypatch):
    def alive(device):
        """How many programs OpenGL has, by the numbers that it gives them."""
        load = device.context.mglo._context.load
        is_program = ctypes.CFUNCTYPE(ctypes.c_ubyte, ctypes.c_uint)(load("glIsProgram"))
        return sum(is_program(number) for number in range(1, 10_000))

    def after_others():
        for width in (50, 51):
            reservoir("wave", "moderngl", (3, width)).transform(np.ones((1, 4)))
        return context.call(None, alive)

    monkeypatch.setattr(context, "MOST_PROGRAMS", 1)
    monkeypatch.setattr(context, "MOST_READY", 1)
    config, X = ReservoirConfig(9, 7, 4, 3, "wave"), np.random.default_rng(0).random((3, 9))
    X, few = X.astype(np.float32), after_others()
    held = Resident(compile_plan(config, (9,)), X, True, None)
    assert after_others() > few  # for those of `held` are no longer kept, but used
    assert same_bits(held.features(), Reservoir(config, backend="cpu").transform(X))
    held.release()
    del held
    assert after_others() == few


def test_shared_memory_is_what_the_driver_says_or_what_all_have():
    asked = context.call(None, lambda device: context._shared_memory(device.context))
    assert asked == context.call(None, lambda device: device.limits[context.SHARED_MEMORY]) >= 2**15
    unknown = SimpleNamespace(mglo=None, version_code=460)
    assert context._shared_memory(unknown) == 2**15


def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match=r"no GPU 7: OpenGL finds \d"):
        get_backend("moderngl", 7)
    assert get_backend("moderngl", 0).describe(0) == get_backend("moderngl").describe()


def test_no_number_is_always_the_first_gpu_that_could_be_had(monkeypatch):
    refused = {0}

    def made(number):
        if number in refused:
            raise RuntimeError("no rights")
        return f"GPU {number}"

    monkeypatch.setattr(context, "Device", made)
    monkeypatch.setattr(context, "_devices", {})
    monkeypatch.setattr(context, "_first", None)
    assert context._on(2) == "GPU 2"
    assert context._on(None) == "GPU 1"
    with pytest.raises(RuntimeError, match="no rights"):
        context._on(0)
    refused.clear()
    assert context._on(0) == "GPU 0"
    assert context._on(None) == "GPU 1"  # as before, whatever else was opened


def test_a_silent_failure_of_opengl_is_raised(path, monkeypatch):
    monkeypatch.setattr(context.Device, "largest", 2**30)
    with pytest.raises(Exception, match=r"OpenGL on .* failed|not complete|out of memory"):
        reservoir("wave", "moderngl", (1, 2**20)).transform(np.ones((1, 4)))
    assert both(ReservoirConfig(4, 4, 2, 1, "wave"), np.ones((1, 4)))[1].shape == (1, 32)


@pytest.mark.parametrize("package", ["moderngl", "glcontext"])
def test_a_missing_package_is_named(package):
    script = f"""
import sys
sys.modules[{package!r}] = None
from pixelflow import Reservoir, ReservoirConfig
Reservoir(ReservoirConfig(), backend="moderngl")
"""
    assert failing(script) == (
        f"ImportError: backend 'moderngl' needs {package}: pip install moderngl glcontext"
    )


def test_missing_libraries_are_named():
    said = failing(
        """
from pixelflow import Reservoir, ReservoirConfig, available_backends
assert "moderngl" not in available_backends()
Reservoir(ReservoirConfig(), backend="moderngl")
""",
        GLCONTEXT_LINUX_LIBEGL="libabsent.so",
        GLCONTEXT_LINUX_LIBX11="libabsent.so",
    )
    assert "RuntimeError: backend 'moderngl' found no OpenGL 3.3" in said
    assert "libabsent.so" in said and "apt-get install libegl1 libgl1-mesa-dri # or" in said


def failing(script, **variables):
    """The last line of a script's error."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_convolutions_give_the_specifications_bits(k, boundary, path):
    """Also where the window is larger than the texture; each member has weights of its own."""
    params = {"k": k, "leak": 0.7, "gain": {"uniform": [1, 2]}}
    for shape, members in (((1, 1), 1), ((1, 3), 2), ((4, 1), 1), ((2, 5), 3), ((17, 12), 2)):
        config = ReservoirConfig(
            *shape[::-1], 5, 3, "coupled", params, boundary=boundary, members=members
        )
        states = textures(5, members, *shape, 5)
        got = Reservoir(config, backend="moderngl").evolve(states)
        for m in range(members):
            gain = config.values("param:gain", params["gain"])[m]
            for before, after in zip(states[:, m], got[:, m], strict=True):
                expected = evolve(
                    get_rule("coupled"),
                    before,
                    3,
                    {**params, "gain": gain},
                    boundary=boundary,
                    weights=drawn(config, m),
                )
                assert same_bits(after, expected), shape


@pytest.mark.parametrize("channels", [6, 7, 10])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_convolutions_of_many_windows_and_outputs(boundary, channels, path, registry):
    """Two of one window and six of another, beside cells, media, noise and parameters."""
    names = tuple("abcdefgh"[: channels - 1])  # the last channel isn't the rule's

    @rule(
        "test_windows",
        names,
        {"rate": 0.3},
        ("speed",),
        sizes={"k": 3},
        weights={"near": (6, "k", "k", 2), "far": (2, 7, 7, 5), "own": (1, 1, 1, 1), "at": (2,)},
    )
    def windows(at, p):
        near = [at.convolve(p.near[i]) * at.medium("speed") for i in range(6)]
        sums = [*near, *(at.convolve(p.far[i]) + p.at[i] for i in range(2))]
        following = dict(zip(names, sums, strict=False))
        following["a"] += p.rate * at.noise() - at.convolve(p.own[0]) + at(0, -2, "b")
        following[names[-1]] = following[names[-1]] + sums[6] - sums[7] * at.step()
        return {name: clip(value, -2, 2) for name, value in following.items()}

    config = ReservoirConfig(
        *(7, 5, channels, 3, "test_windows"),
        members=3,
        boundary=boundary,
        rule_params={"rate": [0.1, 0.2, 0.3]},
        medium={"speed": {"uniform": [-1, 1]}},
    )
    for n in (1, 2, 5):
        assert same_bits(*both(config, textures(n, 3, 5, 7, channels), "evolve"))


def test_a_sum_of_negative_zeros_is_one(path, registry):
    @rule("test_sign", ("a",), tolerance=1e-5, weights={"w": (1, 3, 3, 1)})
    def sign(at, p):
        return {"a": where(1 / at.convolve(p.w[0]) < 0, 1, 2)}

    config = ReservoirConfig(3, 3, 1, 1, "test_sign")
    state = np.copysign(np.float32(0), -drawn(config)["w"][0]).astype(np.float32)
    expected, got = both(config, state[None], "evolve")
    assert same_bits(got, expected) and got[0, 1, 1, 0] == 1


@pytest.mark.parametrize("members", [1, 4])
def test_weights_that_are_too_many_for_a_block_of_uniforms(members, monkeypatch):
    monkeypatch.setattr(run, "PATHS", ("fragment",))
    config = ReservoirConfig(9, 6, 4, 3, "coupled", {"k": 3, "leak": 0.5}, members=members)
    states = textures(6, members, 6, 9, 4)
    limits = context.call(None, lambda device: device.limits)
    for bytes_each, as_uniforms in ((members * 36 * 16, True), (members * 36 * 16 - 1, False)):
        monkeypatch.setitem(limits, atlas.UNIFORM_BYTES, bytes_each)
        made = context.call(None, atlas.Atlas, compile_plan(config, (9,)), np.ones((2, 9)), True)
        context.call(None, lambda _, held: held.close(), made)
        assert made.shaders.weights_as_uniforms is as_uniforms
        assert same_bits(*both(config, states, "evolve"))


@pytest.mark.parametrize("version", [330, 400])
def test_older_versions_draw_convolutions(version, monkeypatch):
    monkeypatch.setattr(context.Device, "version", version)
    config = ReservoirConfig(9, 6, 4, 3, "coupled", {"leak": 0.5, "k": 3}, members=2)
    expected, got = both(config, textures(5, 2, 6, 9, 4), "evolve")
    assert np.abs(got - expected).max() <= 1e-5
    assert version == 330 or same_bits(got, expected)  # which has no `precise`


def test_fast_convolutions_stay_near(path):
    config, states = ReservoirConfig(9, 6, 4, 4, "coupled"), textures(3, 6, 9, 4)
    got = Reservoir(config, backend="moderngl", exact=False).evolve(states)
    assert np.abs(got - Reservoir(config, backend="cpu").evolve(states)).max() < 1e-5


def test_windows_too_large_for_softwares_loops(monkeypatch):
    config, X = ReservoirConfig(6, 5, 4, 40, "coupled"), np.ones((2, 9), np.float32)
    plan = compile_plan(config, (9,))
    monkeypatch.setattr(context.Device, "software", True)
    monkeypatch.setattr(run, "PATHS", ("compute",))
    assert context.call(None, run.computes, plan, X)
    monkeypatch.setattr(dispatch, "SOFTWARE_PASSES", 40 * 30)  # what the convolutions take
    assert not context.call(None, run.computes, plan, X)
    monkeypatch.setattr(atlas, "SOFTWARE_PASSES", 30)
    assert same_bits(*both(config, X))
    monkeypatch.setattr(atlas, "SOFTWARE_PASSES", 29)
    plan_module._PLANS.clear()  # the device has made ready what runs the plan
    with pytest.raises(RuntimeError, match=r"windows as large as the rule's: .*'numba'"):
        Reservoir(config, backend="moderngl").transform(X)


@pytest.mark.parametrize("largest", [64, None])
@pytest.mark.parametrize("encoding", ["shifts", "random", "whiten", "patches"])
def test_512_members_with_latents_of_their_own(encoding, largest, path, monkeypatch):
    """In parts of some members or all at once, of few samples at a time, from bytes."""
    if largest:
        monkeypatch.setattr(context.Device, "largest", largest)
    monkeypatch.setattr(dispatch, "CHUNK_BYTES", 2**20)
    X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    config = ReservoirConfig(8, 8, 4, 1, "wave", members=512, input_encoding=encoding)
    made = [Reservoir(config, backend=b).fit(X) for b in ("cpu", "moderngl")]
    expected, got = (each.transform(X[:3]) for each in made)
    if encoding == "shifts":
        assert same_bits(got, expected)
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.abs(expected).max() > 0.1
