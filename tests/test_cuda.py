"""Backend cuda: every layout of its kernels, streams, short memory, and life without a GPU.

Without a GPU the kernels run on the CPU: see cuda_on_cpu.
"""

import multiprocessing
import sys
import threading
import weakref
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import same_bits
from test_parity import textures

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends import get_backend
from pixelflow.backends.cuda import convolved, device, launch, layouts, local, stream
from pixelflow.core import clip, rule
from pixelflow.core import plan as plan_module
from pixelflow.core.boundaries import BOUNDARIES
from pixelflow.core.encoders import Encoder
from pixelflow.core.plan import compile_plan, compile_states

SHARED = 227 * 1024  # bytes that a block may have on an H100


@rule("test_far", channels=("a", "b"), params={"rate": 0.25}, medium=("speed",))
def far(at, p):
    """Reads two cells up, one down, two to the left: unlike in every direction."""
    moved = at(-2, 0, "a") + p.rate * at(1, -2, "b") - at.medium("speed") * at(0, 0, "a")
    return {"a": moved * p.rate, "b": at(0, -1, "a")}


@rule("test_aside", channels=("a", "b"))
def aside(at, p):
    """Reads up and to the left alone, not even its own cell."""
    return {"a": at(-2, -2, "b")}


@rule("test_apart", channels=("a", "b", "c"), sizes={"reach": 3}, params={"rate": 0.25})
def apart(at, p):
    """Rows far apart, a channel that is read around and stays, and one that is only written."""
    r = p.reach
    kept = at(-2 * r, r, "b") - at(2 * r, 0, "b")
    return {"a": p.rate * (at(-r, 1, "a") + kept - at(r, -r, "a")), "c": at(0, 0, "a") * at.noise()}


@rule("test_ahead", channels=("a", "b"))
def ahead(at, p):
    """Reads down and to the right alone."""
    return {"a": at(1, 2, "b")}


def config_of(rule_name, shape, channels=4, steps=3, **options):
    height, width = shape
    medium = {"test_media": ("speed", "source"), "test_far": ("speed",)}.get(rule_name, ())
    options["medium"] = {name: {"uniform": [-1, 1]} for name in medium}
    return ReservoirConfig(width, height, channels, steps, rule_name, **options)


def layout(config, limit=SHARED, input_shape=None):
    if input_shape is None:  # textures in, textures out
        return layouts.layout(compile_states(config), limit)
    return layouts.layout(compile_plan(config, input_shape), limit)


@pytest.fixture
def only(monkeypatch):
    """Makes backend cuda take the fastest layout of a kind, whatever others a card would fit."""

    def choose(kind):
        def layout(plan, limit):
            found = [p for p in layouts.candidates(plan, SHARED) if p.kind == kind]
            return min(found, key=lambda p: layouts.cost(plan, p, SHARED))

        monkeypatch.setattr(launch, "layout", layout)
        plan_module._PLANS.clear()  # plans keep what was loaded of them

    yield choose
    plan_module._PLANS.clear()


def check(config, X, method="fit_transform"):
    """The same bits as the reference's, or within rounding where features are sums."""
    expected, got = (getattr(Reservoir(config, backend=b), method)(X) for b in ("cpu", "cuda"))
    if (config.probe.pool and config.probe.pool_op == "mean") or config.input_encoding == "project":
        assert np.allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    else:
        assert same_bits(got, expected)


CELLS = st.sampled_from([1, 2, 3, 5, 7, 8, 12, 16, 20, 28, 32])
PROBES = st.builds(
    lambda rectified, **options: Probe(**rectified, **options),
    st.sampled_from([{}, {"rectify": True}, {"rectify": True, "threshold": 0.25}]),
    snapshots=st.sampled_from([None, (0, 3), (1, 2, 3), (0,)]),
    channels=st.sampled_from([None, (0,), (1, 0)]),
    pool=st.sampled_from([None, None, 1, 2, 4, 5]),
    pool_op=st.sampled_from(["mean", "max"]),
)
CONFIGS = st.builds(
    config_of,
    st.sampled_from(["wave", "test_media", "test_far", "test_noise", "test_swap", "test_decay"]),
    st.tuples(CELLS, CELLS) | st.tuples(st.integers(1, 40), st.sampled_from([37, 41, 74])),
    channels=st.sampled_from([3, 4, 5, 8, 9]),
    boundary=st.sampled_from(BOUNDARIES),
    members=st.sampled_from([1, 1, 3]),
    input_encoding=st.sampled_from(["tile", "image", "project"]),
    probe=st.just(Probe()) | PROBES,
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(CONFIGS, st.integers(1, 7), st.booleans(), st.sampled_from([SHARED, 0]))
def test_random_plans_give_the_references_features(cuda, config, n, bytes_in, limit):
    rng = np.random.default_rng(n)
    X = rng.integers(0, 256, (n, 36)).astype(np.uint8) if bytes_in else rng.random((n, 36))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "shared_limit", lambda device: limit)
        check(config, X)
        plan_module._PLANS.clear()


WHOLE = [
    ("registers", (28, 28), {}),
    ("registers", (64, 64), {}),
    ("registers", (33, 17), {}),
    ("shared", (20, 37), {}),
    ("shared", (7, 74), {"probe": Probe(snapshots=(0, 3), rectify=True, pool=3)}),
]
LARGE = [
    ("tiles", (300, 260), {"steps": 17}),  # cores of tiles that don't divide the texture
    ("tiles", (512, 128), {"steps": 9}),  # as wide as a tile
    ("tiles", (40, 1024), {"steps": 9, "probe": Probe(snapshots=(1, 9), pool=4, pool_op="max")}),
    ("tiles", (181, 183), {"probe": Probe(snapshots=(0, 3), channels=(1,), rectify=True)}),
    ("cells", (61, 1025), {"probe": Probe(snapshots=(0, 3), channels=(1,), rectify=True)}),
]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("kind", "shape", "options"), WHOLE + LARGE)
def test_every_layout_gives_the_references_features(kind, shape, options, boundary, cuda, only):
    config = config_of("wave", shape, boundary=boundary, **options)
    only(kind)
    check(config, np.random.default_rng(0).random((2, 30)))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("rule_name", "members"), [("test_media", 2), ("test_far", 1)])
def test_tiles_go_stale_by_the_rules_reach(rule_name, members, boundary, cuda):
    config = config_of(rule_name, (280, 264), steps=6, boundary=boundary, members=members)
    assert layout(config).kind == "tiles"
    check(config, np.random.default_rng(0).random((1, 30)))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("rule_name", ["test_aside", "test_ahead"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("registers", (4, 8)), ("shared", (3, 37)), ("tiles", (280, 264)), ("cells", (61, 1025))],
)
def test_a_rule_may_read_on_one_side_only(kind, shape, rule_name, boundary, cuda, only):
    config = config_of(rule_name, shape, boundary=boundary)
    only(kind)
    check(config, textures(1, *shape, 4), "evolve")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("shape", "reach"),
    [((32, 32), 2), ((32, 32), 3), ((21, 40), 2), ((7, 37), 5), ((1, 37), 2), ((2, 41), 3)],
)
def test_strips_take_rows_as_far_apart_as_a_rule_reads(shape, reach, boundary, cuda):
    """Also where they reach beyond the last row, and a texture is smaller than the rule's reach."""
    probe = Probe(snapshots=(0, 1, 3), channels=(2, 1, 3, 0), rectify=True)
    options = {"boundary": boundary, "members": 2, "rule_params": {"reach": reach}}
    config = config_of("test_apart", shape, probe=probe, **options)
    found = layout(config)
    assert (found.kind, found.row_stride) == ("shared", min(reach, shape[0]))
    check(config, np.random.default_rng(0).random((2, 30)))
    check(config_of("test_apart", shape, 5, **options), textures(1, 2, *shape, 5), "evolve")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("reach", "pool", "steps"), [(2, 4, 3), (3, 3, 3), (2, 4, 0)])
def test_energy_of_a_local_map(reach, pool, steps, boundary, cuda):
    options = {"k": 5, "contrast": 0.1, "threshold": 0.4, "squash": "root"}
    config = config_of(
        "energy", (32, 32), steps=steps, rule_params={"reach": reach}, boundary=boundary,
        members=2, input_encoding="random", encoder_params=options, probe=Probe(pool=pool),
    )  # fmt: skip
    assert layout(config, input_shape=(28, 28)).kind == "shared"
    check(config, np.random.default_rng(0).random((3, 28, 28)))


@pytest.mark.parametrize("probe", [Probe(), Probe(pool=2), Probe(pool=3, pool_op="max")])
def test_a_block_of_several_textures_may_not_be_full(probe, cuda):
    config = config_of("test_media", (4, 8), members=3, probe=probe)
    slots = layout(config).slots
    assert slots > 1 and 5 * 3 % slots
    check(config, np.random.default_rng(0).random((5, 20)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(5, 3), (8, 8)])
def test_any_number_of_channels(shape, channels, cuda):
    config = config_of("life_like", shape, channels, rule_params={"noise": 0.25})
    check(config, textures(5, *shape, channels), "evolve")


BOTH = ("cpu", "cuda")
LOCAL = [
    ("registers", "wave", (8, 12), 4),
    ("registers", "test_swap", (5, 7), 3),  # no whole vectors
    ("registers", "life_like", (6, 8), 1),
    ("shared", "test_apart", (9, 11), 4),
    ("shared", "wave", (3, 37), 5),
    ("convolved", "coupled", (8, 9), 4),
    ("tiles", "wave", (20, 148), 4),
    ("convolved_tiles", "coupled", (34, 70), 4),
    ("cells", "test_apart", (9, 41), 4),
]


@pytest.mark.parametrize(
    ("kind", "rule_name", "shape", "channels", "squash"),
    [(*case, "root") for case in LOCAL]
    + [(*LOCAL[0], squash) for squash in ("clip", "none", "rectify")],
)
def test_a_local_map_in_every_layout(
    kind, rule_name, shape, channels, squash, cuda, only, monkeypatch
):
    """Each value comes as a product, in planes, and is squashed where it is read."""
    if rule_name != "coupled":
        only(kind)
    elif kind == "convolved_tiles":
        monkeypatch.setattr(launch, "shared_limit", lambda device: 38000)
    images = np.random.default_rng(0).random((3, 7, 9), dtype=np.float32)
    options = {"k": 3, "bias": 0.5, "squash": squash}
    for probe in (Probe(), Probe(snapshots=(0, 2), channels=tuple(range(channels))[::-1])):
        config = config_of(
            rule_name, shape, channels, members=2, input_encoding="random", encoder_params=options,
            rule_params={"k": 3} if rule_name == "coupled" else {}, probe=probe,
        )  # fmt: skip
        reservoirs = [Reservoir(config, backend=b).fit(images) for b in BOTH]
        expected, got = (reservoir.transform(images) for reservoir in reservoirs)
        plan = compile_plan(config, images.shape[1:])
        assert launch.loaded(plan, np.dtype(np.float32), True, None).layout.kind == kind
        assert np.allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["registers", "shared"])
def test_a_local_maps_values_may_go_anywhere(kind, cuda):
    """An encoder's index, not the order in which the map makes its values, says where to."""
    config = config_of(
        "wave" if kind == "registers" else "test_apart", (6, 7), 3, members=2,
        input_encoding="random", encoder_params={"k": 3, "squash": "clip"},
    )  # fmt: skip
    images = np.random.default_rng(0).random((4, 6, 7), dtype=np.float32)
    form = compile_plan(config, images.shape[1:]).encoder.form
    index = np.random.default_rng(0).integers(-1, form.length, (6, 7, 3)).astype(np.int32)
    index[..., 1] = -1
    plan = compile_plan(config, images.shape[1:], encoder=Encoder(index, form))
    assert layouts.layout(plan, SHARED).kind == kind
    expected, got = np.empty((2, 4, plan.feature_dim), np.float32)
    X = images.reshape(4, -1)
    for name, out in zip(BOTH, (expected, got), strict=True):
        get_backend(name).prepare(plan, True, None).features(X, out)
    assert np.allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 9])
@pytest.mark.parametrize("contrast", [0, 0.2])
def test_a_local_map_of_some_images_at_once(n, contrast, cuda, monkeypatch):
    """Several blocks of cells, and more images than blocks of them, the last of fewer."""
    monkeypatch.setattr(local, "MOST_BLOCKS", 1)
    images = np.random.default_rng(0).integers(0, 256, (n, 20, 20)).astype(np.uint8)
    config = config_of(
        "wave", (20, 20), members=2, input_encoding="random", encoder_params={"contrast": contrast}
    )
    expected, got = (Reservoir(config, backend=b).fit_transform(images) for b in BOTH)
    assert np.allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "probe",
    [
        Probe(pool=4),  # patches lie in one cell of the grid
        Probe(pool=4, pool_op="max", rectify=True, threshold=0.1, snapshots=(0, 1, 3)),
        Probe(pool=5, pool_op="max", rectify=True, channels=(3, 0)),  # patches and grid overlap
        Probe(pool=28, pool_op="max"),
        Probe(pool=40, pool_op="max", snapshots=(0, 3)),  # finer than the texture
        Probe(channels=(2, 1), snapshots=(2, 3), rectify=True),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_probes_of_images(dtype, probe, cuda):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(dtype)
    check(config_of("wave", (28, 28), input_encoding="image", probe=probe), images)


# -- rules that convolve ---------------------------------------------------------------------------


@rule(
    "test_convolved",
    channels=("a", "b", "c"),
    params={"rate": 0.25},
    weights={"wide": (2, 3, 3, 2), "flat": (1, 1, 3), "high": (5, 5, 1)},
)
def several_shapes(at, p):
    """Convolutions of three shapes beside reads of its own; a channel stays."""
    wide, high = at.convolve(p.wide[1]), at.convolve(p.high)
    drive = clip(at.convolve(p.wide[0]) + p.rate * at(-1, 2, "b"), -1, 1)
    return {"a": drive * high - at.convolve(p.flat), "c": at(0, 0, "a") + wide * at.noise()}


@rule("test_single", channels=("a", "b"), sizes={"k": 7}, weights={"kernel": ("k", "k", 1)})
def single(at, p):
    """Writes what it doesn't convolve, so that some channels are held and others not written."""
    return {"b": clip(at.convolve(p.kernel), -1, 1)}


@rule("test_many", channels=tuple("abcdefgh"), weights={"kernel": (8, 3, 3, 8)})
def many(at, p):
    return {name: clip(at.convolve(p.kernel[i]), -1, 1) for i, name in enumerate("abcdefgh")}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("k", [1, 3, 5, 9])
@pytest.mark.parametrize("shape", [(8, 8), (1, 7), (7, 1), (1, 1), (2, 3), (5, 19), (33, 17)])
def test_coupled_cells_are_the_references_bits(shape, k, boundary, cuda):
    """Also where a texture is smaller than the window, and a strip reaches over its edge."""
    params = {"k": k, "leak": 0.75, "gain": {"uniform": [0.5, 2]}}
    config = config_of(
        "coupled", shape, 5, boundary=boundary, members=3, rule_params=params, seed=k
    )
    assert layout(config).kind == "convolved"
    check(config, textures(5, 3, *shape, 5), "evolve")


WIDE = tuple(f"c{i}" for i in range(40))


@rule("test_wide", channels=WIDE, weights={"kernel": (40, 3, 3, 40)})
def wide(at, p):
    return {name: clip(at.convolve(p.kernel[i]), -1, 1) for i, name in enumerate(WIDE)}


@rule("test_wider", channels=("a", "b"), weights={"kernel": (90, 1, 1, 2)})
def wider(at, p):
    """More sums than a thread has registers for."""
    return {"a": clip(sum(at.convolve(p.kernel[i]) for i in range(90)), -1, 1)}


@pytest.mark.parametrize(
    ("name", "channels", "kind"), [("test_wide", 40, "convolved"), ("test_wider", 2, "cells")]
)
def test_convolutions_of_many_channels(name, channels, kind, cuda):
    config = config_of(name, (4, 5), channels)
    assert layout(config).kind == kind
    check(config, textures(2, 4, 5, channels), "evolve")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", ["test_convolved", "test_single", "test_many"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("convolved", (9, 12)),
        ("convolved", (2, 1)),
        ("convolved_tiles", (1, 20003)),
        ("convolved_tiles", (113, 171)),
        ("cells", (5, 19)),
    ],
)
def test_convolutions_of_any_shape_are_the_references_bits(kind, shape, name, boundary, cuda):
    config = config_of(name, shape, 8, boundary=boundary, members=2)
    limit = 0 if kind == "cells" else SHARED
    assert layout(config, limit).kind == kind
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "shared_limit", lambda device: limit)
        check(config, textures(1, 2, *shape, 8), "evolve")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "probe",
    [
        Probe(),
        Probe(snapshots=(0, 1, 3), rectify=True, pool=4),
        Probe(
            snapshots=(1, 3), channels=(3, 0), rectify=True, threshold=0.1, pool=5, pool_op="max"
        ),
        Probe(snapshots=(0, 2), channels=(4, 1)),
    ],
)
def test_probes_of_coupled_cells(probe, dtype, cuda):
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20)).astype(dtype)
    check(config_of("coupled", (20, 20), 5, members=2, input_encoding="image", probe=probe), images)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_the_first_step_reads_what_the_encoder_wrote(k, bias, cuda):
    """All other products are 0, of either sign; with k = 1 some have negative weights alone."""
    images = np.random.default_rng(0).normal(size=(4, 9, 8)).clip(0).astype(np.float32)
    config = config_of(
        "coupled", (12, 10), 4, members=8, input_encoding="image", boundary="zero",
        rule_params={"k": k, "bias": bias}, probe=Probe((1, 2)),
    )  # fmt: skip
    plan = compile_plan(config, images.shape[1:])
    (group,) = convolved.groups(plan.program)
    assert convolved.encoded_channels(plan, group) == (convolved.ALL_CHANNELS if k == 1 else 1)
    check(config, images)


@pytest.mark.parametrize("pool_op", ["mean", "max"])
@pytest.mark.parametrize(
    ("shape", "pool", "channels"),
    [
        ((32, 32), 4, None),  # a strip in a cell of the grid
        ((32, 32), 2, (2, 0)),  # two strips
        ((7, 28), 1, None),
        ((8, 8), 1, (1,)),  # several samples in a block, which is not full
        ((12, 12), 2, None),
        ((28, 28), 14, None),  # a strip in several cells
        ((28, 28), 3, (3,)),  # cells that overlap
    ],
)
def test_grids_of_coupled_cells(shape, pool, channels, pool_op, cuda):
    probe = Probe((0, 1, 3), channels, rectify=True, threshold=0.1, pool=pool, pool_op=pool_op)
    config = config_of("coupled", shape, members=2, input_encoding="image", probe=probe)
    check(config, np.random.default_rng(0).random((5, 28, 28)))


def test_a_strip_fits_its_texture():
    """Few idle cells, and of many threads each has fewer registers."""
    assert layout(config_of("coupled", (32, 32))).columns == 8
    assert layout(config_of("coupled", (28, 28))).columns == 7
    assert layout(config_of("coupled", (64, 64))).threads == 512
    assert layout(config_of("coupled", (72, 72))).columns == 12
    assert layout(config_of("coupled", (8, 8))).slots == 16


@pytest.mark.parametrize("encoding", ["shifts", "random", "whiten", "patches"])
def test_latent_values_are_made_in_parts(encoding, cuda, monkeypatch):
    """A bank's latent values take more memory than its features."""
    monkeypatch.setattr(launch, "LATENT_BYTES", 2 * 3 * 8 * 9 * 4 * 4)  # of 2 inputs
    images = np.random.default_rng(0).random((5, 9, 8), dtype=np.float32)
    options = {"encoder_params": {"samples": 200}} if encoding in ("whiten", "patches") else {}
    config = config_of("coupled", (9, 8), members=3, input_encoding=encoding, **options)
    expected, got = (Reservoir(config, backend=b).fit_transform(images) for b in ("cpu", "cuda"))
    assert np.allclose(got, expected, rtol=0, atol=1e-5)


# -- streams, memory, processes --------------------------------------------------------------------


@pytest.fixture
def few_bytes(monkeypatch):
    """Chunks of 4 inputs of `CONFIG`."""
    monkeypatch.setattr(stream, "CHUNK_BYTES", 4 * (30 + CONFIG.width * CONFIG.height * 4) * 4)


CONFIG = config_of("wave", (8, 8), probe=Probe(snapshots=(3,)))
INPUTS = np.random.default_rng(0).random((31, 30), dtype=np.float32)


def expected():
    return Reservoir(CONFIG, backend="cpu").fit(INPUTS).transform(INPUTS)


@pytest.fixture
def failing(cuda, monkeypatch):
    """Makes allocations fail from now on: those of so many rows, or all, or those of threads."""
    allocate = cuda.empty

    def fail(rows=0, in_threads=False):
        def empty(shape, dtype):
            beside = threading.current_thread() is not threading.main_thread()
            if beside if in_threads else shape[0] > rows:
                raise cuda.cuda.memory.OutOfMemoryError(shape[0], 0, 0)
            return allocate(shape, dtype)

        monkeypatch.setattr(cuda, "empty", empty)

    return fail


def test_chunks_and_threads_share_a_gpu(cuda, few_bytes):
    reservoir = Reservoir(CONFIG, backend="cuda").fit(INPUTS)
    with joblib.Parallel(n_jobs=4, prefer="threads") as parallel:
        found = parallel(joblib.delayed(reservoir.transform)(INPUTS) for _ in range(6))
    assert all(same_bits(got, expected()) for got in found)
    assert reservoir.transform(INPUTS[:0]).shape == (0, reservoir.feature_dim)


def test_batches_stay_on_the_device(cuda):
    reservoir = Reservoir(CONFIG, backend="cuda", device=1 if several(cuda) else None).fit(INPUTS)
    batches = list(reservoir.iter_features(INPUTS, 12))
    assert [len(b) for b in batches] == [12, 12, 7]
    assert all(isinstance(b, cuda.ndarray) for b in batches)
    assert same_bits(np.concatenate([b.get() for b in batches]), expected())


def test_inputs_may_lie_in_any_order(cuda):
    reservoir = Reservoir(CONFIG, backend="cuda").fit(INPUTS)
    for X in (np.asfortranarray(INPUTS), np.repeat(INPUTS, 2, 1)[:, ::2]):
        assert same_bits(reservoir.transform(X), expected())
        assert same_bits(next(reservoir.iter_features(X, 40)).get(), expected())


def several(cuda):
    return cuda.cuda.runtime.getDeviceCount() > 1


def test_short_memory_halves_the_batch_and_says_so(cuda, few_bytes, failing):
    reservoir = Reservoir(CONFIG, backend="cuda").fit(INPUTS)
    failing(rows=1)
    with pytest.warns(RuntimeWarning, match="memory does not hold") as seen:
        assert same_bits(reservoir.transform(INPUTS), expected())
    assert [str(w.message).split("hold ")[1] for w in seen] == [
        "4 inputs at once: going on with 2",
        "2 inputs at once: going on with 1",
    ]
    failing(rows=6)
    with pytest.warns(RuntimeWarning, match="going on with 6"):
        batches = list(reservoir.iter_features(INPUTS, 12))
    assert [len(b) for b in batches] == [6] * 5 + [1]
    assert same_bits(np.concatenate([b.get() for b in batches]), expected())


def test_memory_for_one_chunk_is_enough(cuda, few_bytes, failing, recwarn):
    reservoir = Reservoir(CONFIG, backend="cuda").fit(INPUTS)
    failing(in_threads=True)
    assert same_bits(reservoir.transform(INPUTS), expected())
    assert not recwarn.list


def test_a_batch_lives_no_longer_than_its_user_keeps_it(cuda):
    batches = Reservoir(CONFIG, backend="cuda").fit(INPUTS).iter_features(INPUTS, 12)
    first = weakref.ref(next(batches))
    next(batches)
    assert first() is None


def test_memory_too_short_for_one_input_is_an_error(cuda, failing):
    reservoir = Reservoir(CONFIG, backend="cuda").fit(INPUTS)
    reservoir.transform(INPUTS[:1])
    failing()
    with pytest.raises(MemoryError, match=r"one input .*Probe\(pool="):
        reservoir.transform(INPUTS[:1])
    with pytest.raises(MemoryError, match="one input"):
        next(reservoir.iter_features(INPUTS, 1))


def test_a_forked_process_is_told_to_start_afresh(cuda):
    get_backend("cuda")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        with pytest.raises(RuntimeError, match=r"forked .*spawn"):
            pool.apply(get_backend, ("cuda",))


def test_two_kernels_serve_what_differs_in_numbers_alone(cuda):
    """One module for all parameters and steps: it is compiled once."""
    device.compiled.cache_clear()
    for steps, c in ((2, 0.3), (3, 0.3), (3, 0.4)):
        check(config_of("wave", (6, 6), steps=steps, rule_params={"c": c}), INPUTS[:, :16])
    check(config_of("wave", (6, 6), boundary="zero"), INPUTS[:, :16])
    assert device.compiled.cache_info().misses == 2


def test_times_on_the_device_are_of_the_same_features(cuda):
    plan = compile_plan(CONFIG, INPUTS.shape[1:])
    held = get_backend("cuda").prepare(plan, True, None).resident(INPUTS)
    assert len(held.times(3)) == 3 and all(t > 0 for t in held.times(3))
    assert same_bits(held.features(), expected())
    held.release()
    assert get_backend("cuda").copy_GBps(2**12, n=2) > 0


# -- no GPU ----------------------------------------------------------------------------------------


def fake(count=1, compiler=(12, 9), error=RuntimeError):
    """A CuPy that finds so many GPUs, and a compiler; either may be an error."""

    def found(what):
        def call(*_):
            if isinstance(what, Exception):
                raise what
            return what

        return call

    runtime = SimpleNamespace(
        CUDARuntimeError=error,
        getDeviceCount=found(count),
        getDeviceProperties=found({"name": b"GPU X"}),
    )
    nvrtc = SimpleNamespace(getVersion=found(compiler))
    return SimpleNamespace(__version__="13.6", cuda=SimpleNamespace(runtime=runtime, nvrtc=nvrtc))


@pytest.mark.parametrize(
    ("cupy", "error", "message"),
    [
        (fake(RuntimeError("driver too old")), RuntimeError, r"CuPy 13\.6 .*driver too old.*12x"),
        (fake(2), ValueError, "device 2 is not there: CUDA sees 2"),
        (fake(3, RuntimeError("no libnvrtc")), RuntimeError, r"NVRTC \(no libnvrtc\).*12x\[ctk\]"),
        (fake(3, ImportError("libnvrtc.so")), RuntimeError, r"NVRTC \(libnvrtc\.so\)"),
        (None, ImportError, "needs CuPy .*pip install cupy-cuda12x"),
    ],
)
def test_what_is_missing_is_said(cupy, error, message, forgetful, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(error, match=message):
        get_backend("cuda", 2)


def test_a_library_that_cupy_misses_is_named(forgetful, monkeypatch, tmp_path):
    """Its own message has many lines: the first tells which."""
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.12: not found\\n\\nLong')")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"CuPy \(libcudart\.so\.12: not found\): pip install"):
        get_backend("cuda")
    assert "cuda" not in __import__("pixelflow").available_backends()


def test_what_runs_is_named(forgetful, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake())
    assert device.describe() == "GPU X (CuPy 13.6, CUDA 12.9)"
    assert get_backend("auto").describe() == device.describe()
