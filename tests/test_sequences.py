"""Textures that sequences drive: every backend against the specification run plainly.

A drive's terms are added one by one to the texture, then come the rule's steps, then the probe
reads: see `reference.sequence`.
"""

import warnings

import numpy as np
import pytest
from reference import flushed, injected, read, same_bits, sequence
from test_parity import BACKENDS, textures
from test_states import IN_FLOAT64, literally, own, refused

from pixelflow import Probe, Reservoir, ReservoirConfig
from pixelflow.backends.numba import modules
from pixelflow.backends.numba.source import source
from pixelflow.core import get_rule
from pixelflow.core.limits import MOST_STEPS
from pixelflow.core.plan import compile_sequence
from pixelflow.states import SequenceState

EVERY_BACKEND = pytest.mark.parametrize("backend", BACKENDS, indirect=True)
MEDIA = {"speed": {"uniform": [-1, 1]}, "source": {"uniform": [-1, 1]}}


def reservoir(backend, height, width, rule="test_clock", mask=None, **options):
    encoder = {"density": 0.6} if mask is None else {"mask": mask}
    options = {"input_encoding": "inject", "encoder_params": encoder, "steps": 3, **options}
    medium = MEDIA if rule == "test_clock" else {}
    config = ReservoirConfig(width, height, rule=rule, medium=medium, **options)
    return Reservoir(config, backend=backend)


def inputs(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def ones_of(height, width, columns):
    """A mask of ones in the channels of "wave"."""
    mask = np.zeros((height, width, 4, columns))
    mask[:, :, :2] = 1
    return mask


def mask_of(height, width, columns, channels=(0, 2), seed=4):
    """Several columns of an input in one cell, in others none; two channels with none at all."""
    rng = np.random.default_rng(seed)
    mask = rng.uniform(-1, 1, (height, width, 4, columns)).astype(np.float32)
    mask[rng.random(mask.shape) > 0.6] = 0
    others = [c for c in range(4) if c not in channels]
    mask[:, :, others] = 0
    return mask


def expected(made, u, begun=None, first=0):
    """Snapshots (N, T, M, S, H, W, C) and last textures (N, M, H, W, C) of the specification."""
    config = made.config
    mask, members = config.encoder_options["mask"], config.members
    channels = range(len(get_rule(config.rule).channels))
    if mask is not None:
        channels = [c for c in channels if mask[:, :, c].any()]
    cells = (config.height, config.width, config.channels)
    if begun is None:
        begun = np.zeros((len(u), members, *cells), config.dtype)
    seen, ended = [], []
    for n, m in np.ndindex(len(u), members):
        weights = injected(config, u.shape[2], m) if mask is None else mask
        found = sequence(
            get_rule(config.rule),
            begun[n, m],
            u[n].astype(config.dtype),
            config.steps,
            config.probe.times(config.steps),
            weights,
            channels,
            first,
            **own(config, m),
        )
        seen.append(found[0])
        ended.append(found[1])
    seen = np.stack(seen).reshape(len(u), members, *seen[0].shape)
    return np.moveaxis(seen, 1, 2), np.stack(ended).reshape(len(u), members, *cells)


def check(made, u, begun=None, first=0):
    """Features and state of the specification: the same bits, unless a probe sums."""
    config = made.config
    given = None
    if begun is not None:
        given = SequenceState(begun if config.members > 1 else begun[:, 0], first)
    features, state = made.run_sequence(u, state=given, return_state=True)
    seen, ended = expected(made, u, begun, first)
    assert features.dtype == config.dtype == state.textures.dtype
    assert state.steps == first + u.shape[1] * config.steps
    assert same_bits(state.textures.reshape(ended.shape), ended)
    if config.probe == Probe():
        assert same_bits(features, seen.reshape(features.shape))
        return features
    snapshots = seen.reshape(-1, *seen.shape[3:])
    each = np.stack([read(config.probe, textures) for textures in snapshots])
    found, each = features.reshape(each.shape), each.astype(config.dtype)
    if config.probe.pool or config.probe.rectify:
        assert np.abs(found - each).max() <= 1e-5 * np.abs(each).max()
        assert np.abs(each).max() > 1e-3
    else:
        assert same_bits(found, each)
    return features


@EVERY_BACKEND
@pytest.mark.parametrize(
    ("shape", "boundary", "members", "steps", "columns"),
    [
        ((5, 4), "periodic", 1, 1, 1),
        ((5, 4), "reflect", 2, 3, 3),
        ((1, 1), "zero", 1, 3, 3),
        ((1, 7), "reflect", 2, 1, 1),
        ((33, 17), "zero", 2, 3, 1),
        ((33, 17), "periodic", 1, 1, 3),
    ],
)
def test_sequences_are_the_specifications_bits(shape, boundary, members, steps, columns, backend):
    """From zeros, and from textures with zeros of both signs and values below 1e-30."""
    made = reservoir(backend, *shape, boundary=boundary, members=members, steps=steps)
    u = inputs(2, 4, columns)
    check(made, u)
    begun = textures(2, members, *shape, 4)
    begun[..., 1] *= np.float32(1e-3)
    kept, given = begun.copy(), u.copy()
    check(made, u, begun, first=6)
    assert same_bits(begun, kept) and same_bits(u, given)


@EVERY_BACKEND
@pytest.mark.parametrize(("columns", "channels"), [(1, (0, 2)), (3, (0, 2)), (3, (2,)), (3, ())])
def test_a_mask_adds_each_column_to_its_cells(columns, channels, backend):
    """In the order of columns, many to a cell; a channel that no step writes; or none at all."""
    made = reservoir(backend, 5, 4, mask=mask_of(5, 4, columns, channels), members=2, steps=2)
    check(made, inputs(2, 4, columns))
    begun = textures(2, 2, 5, 4, 4)
    check(made, inputs(2, 4, columns), begun, 3)


@EVERY_BACKEND
def test_convolving_rules_are_driven_too(backend):
    made = reservoir(backend, 6, 5, "coupled", members=2, steps=2, boundary="reflect")
    check(made, inputs(2, 3, 3))


@EVERY_BACKEND
def test_without_steps_inputs_add_up(backend):
    made = reservoir(backend, 5, 4, steps=0)
    u = inputs(2, 4, 2)
    check(made, u)
    mask = np.moveaxis(injected(made.config, 2), -1, 0)  # of three channels
    sums = np.cumsum(u.astype(np.float64)[..., None, None, None] * mask, axis=1).sum(axis=2)
    got = made.run_sequence(u).reshape(2, 4, 5, 4, 4)[..., :3]
    assert np.abs(got - sums).max() < 1e-6


@EVERY_BACKEND
@pytest.mark.parametrize(
    "probe",
    [
        Probe(snapshots=(0, 2)),
        Probe(snapshots=(1,), channels=(2, 0)),
        Probe(rectify=True, threshold=0.25),
        Probe(snapshots=(0, 1, 2), channels=(1, 0), rectify=True, threshold=0.1, pool=3),
        Probe(pool=2, pool_op="max", channels=(0,)),
    ],
    ids=repr,
)
def test_probes_read_after_each_input(probe, backend):
    """Snapshots are counted from the input; 0 is what the drive has left."""
    made = reservoir(backend, 5, 4, members=2, steps=2, probe=probe)
    check(made, inputs(2, 3, 3))


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 2])
def test_parts_and_batches_give_the_bits_of_the_whole(members, backend):
    """The state of one part begins the next; the clock goes on, and what a call got stays."""
    probe = Probe(snapshots=(0, 2), channels=(0, 1))
    made = reservoir(backend, 5, 4, members=members, steps=2, probe=probe)
    u = inputs(3, 7, 2)
    whole, last = made.run_sequence(u, return_state=True)
    assert same_bits(check(made, u), whole) and last.steps == 14
    for length in (1, 7, 3):
        state, found = None, []
        for start in range(0, 7, length):
            before = None if state is None else state.textures.copy()
            part = made.run_sequence(u[:, start : start + length], state=state, return_state=True)
            assert state is None or same_bits(state.textures, before)
            found.append(part[0])
            state = part[1]
        assert same_bits(np.concatenate(found, axis=1), whole)
        assert same_bits(state.textures, last.textures) and state.steps == last.steps
    for n in range(3):
        one, state = made.run_sequence(u[n], return_state=True)
        assert same_bits(one, whole[n]) and same_bits(state.textures, last.textures[n])
    few = made.run_sequence(u[:, :5], return_state=True)[1]
    one = SequenceState(few.textures[1], few.steps)
    assert same_bits(made.run_sequence(u[1, 5:], state=one), whole[1, 5:])
    assert same_bits(
        made.run_sequence(u[1:, 5:], state=(few.textures[1:], few.steps)), whole[1:, 5:]
    )


@EVERY_BACKEND
def test_the_washout_leaves_the_first_rows_out(backend):
    made = reservoir(backend, 5, 4, steps=2)
    u = inputs(2, 5, 2)
    whole, last = made.run_sequence(u, return_state=True)
    for washout in (0, 1, 4, 5):
        found, state = made.run_sequence(u, washout, return_state=True)
        assert same_bits(found, whole[:, washout:]) and state.steps == 10
        assert same_bits(state.textures, last.textures)
        assert same_bits(made.run_sequence(u[0], washout), whole[0, washout:])
    for bad in (6, -1, 1.5, None, "1", True):
        refused(made.run_sequence, "washout", u, washout=bad)


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("washout", [0, 2, 4])
def test_the_state_that_is_given_stays_as_it_is(washout, members, backend):
    made = reservoir(backend, 5, 4, members=members, steps=1)
    u = inputs(1, 6, 1)
    state = made.run_sequence(u[:, :2], return_state=True)[1]
    kept = state.textures.copy()
    made.run_sequence(u[:, 2:], washout, state=state)
    assert same_bits(state.textures, kept)


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 2])
def test_nothing_gives_nothing(members, backend):
    made = reservoir(backend, 5, 4, members=members)
    size = made.feature_dim
    assert made.run_sequence(np.zeros((0, 4, 2))).shape == (0, 4, size)
    assert made.run_sequence(np.zeros((0, 4, 2)), washout=3).shape == (0, 1, size)
    features, state = made.run_sequence(np.zeros((0, 2)), return_state=True)
    assert features.shape == (0, size) and state.steps == 0 and not state.textures.any()
    assert state.textures.shape == ((5, 4, 4) if members == 1 else (2, 5, 4, 4))
    begun = SequenceState(textures(3, *[2] * (members > 1), 5, 4, 4), 7)
    features, state = made.run_sequence(np.zeros((3, 0, 2)), state=begun, return_state=True)
    assert features.shape == (3, 0, size) and state.steps == 7
    assert same_bits(state.textures, begun.textures)


@pytest.mark.parametrize("backend", IN_FLOAT64)
def test_sequences_in_float64_are_the_specifications_bits(backend):
    made = reservoir(backend, 5, 4, "test_literals", dtype="float64", members=2, steps=2)
    u = inputs(2, 3, 2).astype(np.float64) * (1 + 1e-9)
    features, state = made.run_sequence(u, return_state=True)
    assert features.dtype == state.textures.dtype == np.float64
    for n, m in np.ndindex(2, 2):
        mask, texture = injected(made.config, 2, m), np.zeros((5, 4, 4))
        for t in range(3):
            for k in range(2):  # a cell has one of the columns
                texture[..., :2] = texture[..., :2] + mask[..., k] * u[n, t, k]
            texture = flushed(texture)
            texture = literally(texture, 2, 2 * t, 0.1)
            assert same_bits(features[n, t].reshape(2, 5, 4, 4)[m], texture)
        assert same_bits(state.textures[n, m], texture)


# -- what is drawn -----------------------------------------------------------------------------


def weights_of(columns, rule="coupled", **options):
    """What each column adds to each cell and channel of each member, seen from outside."""
    config = ReservoirConfig(24, 20, 4, 0, rule, input_encoding="inject", **options)
    unit = np.eye(columns)[:, None]  # as many sequences of one input
    found = Reservoir(config, backend="cpu").run_sequence(unit)
    return found.reshape(columns, config.members, 20, 24, 4)


def test_density_and_scale_are_what_they_say():
    """Of 1920 cells of a rule of four channels, one column each, evenly; U(-1, 1) scale."""
    for density, scale in ((0.2, 0.3), (0.5, 2.0), (1.0, 0.1)):
        weights = weights_of(3, encoder_params={"density": density, "scale": scale})
        hits = weights != 0
        share = hits.any(axis=0).mean()
        assert abs(share - density) <= 5 * np.sqrt(density * (1 - density) / 1920)
        assert hits.sum(axis=0).max() == 1, "a cell has one column"
        n = hits.sum()
        assert np.abs(hits.sum(axis=(1, 2, 3, 4)) / n - 1 / 3).max() < 5 * np.sqrt(2 / 9 / n)
        values = np.sort(weights[hits]) / scale
        assert np.abs(values).max() <= 1
        uniform = np.linspace(-1, 1, n)  # Kolmogorov and Smirnov's distance, at 5 in a million
        assert np.abs(values - uniform).max() / 2 < 2.5 / np.sqrt(n)
        each = hits.any(axis=0).mean(axis=(0, 1, 2))
        assert np.abs(each - density).max() <= 5 * np.sqrt(density * (1 - density) / 480)
    beside = weights_of(1, "wave", encoder_params={"density": 1})
    assert (beside != 0)[..., :2].all() and not beside[..., 2:].any(), "it has two channels"
    default = weights_of(1)
    assert abs((default != 0).mean() - 0.2) < 0.05 and 0.28 < np.abs(default).max() <= 0.3
    assert not weights_of(2, encoder_params={"density": 0}).any()
    assert not weights_of(2, encoder_params={"scale": 0}).any()


def test_members_draw_their_own_and_more_leave_the_first_as_they_are():
    few, many = weights_of(2, members=2), weights_of(2, members=3)
    assert same_bits(few, many[:, :2])
    assert not np.array_equal(many[:, 0], many[:, 1]) and not np.array_equal(many[:, 0], many[:, 2])
    assert not np.array_equal(weights_of(2, seed=1), weights_of(2, seed=2))
    mask = mask_of(20, 24, 2, (0, 1))
    masked = weights_of(2, "wave", members=2, encoder_params={"mask": mask})
    assert same_bits(masked, np.stack([np.moveaxis(mask, -1, 0)] * 2, axis=1))


@pytest.mark.parametrize(
    "channels",
    [
        (0, 2),
        (0,),
    ],
)
def test_masks_take_the_code_that_draws_take(channels):
    """Numba compiles for read-only arrays what it has for others."""
    drawn = reservoir("numba", 5, 4)
    text = source(compile_sequence(drawn.config, 1).program, 4, True)
    modules.imported.cache_clear()
    drawn.run_sequence(inputs(3, 1))
    for columns in (1, 3):
        masked = reservoir("numba", 5, 4, mask=mask_of(5, 4, columns, channels))
        masked.run_sequence(inputs(3, columns))
    assert len(modules.compiled(text).advance.signatures) == 1


# -- at the door -------------------------------------------------------------------------------

U = np.ones((2, 5, 2))
STATE = SequenceState(np.zeros((2, 3, 4, 4), np.float32), 3)


@pytest.fixture(scope="module")
def made():
    return reservoir("cpu", 3, 4, "wave", mask=ones_of(3, 4, 2), steps=2)


@pytest.mark.parametrize(
    "bad",
    [
        np.ones(5),
        np.ones((2, 2, 5, 2)),
        np.ones((5, 0)),
        np.ones((5, 3)),
        np.float64(3),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
        np.full((5, 2), 1e39),
        np.ones((5, 2), complex),
        np.full((5, 2), "a"),
        np.ma.masked_less(np.arange(10.0).reshape(5, 2), 3),
        [np.ma.masked_less(np.arange(2.0), 1)] * 5,
        None,
        {},
        "sequence",
        [[1, 2], [3]],
        np.full((5, 2), np.datetime64("NaT")),
        range(10**9),
    ],
    ids=lambda bad: f"{bad!r:.30}",
)
def test_bad_sequences_are_refused(bad, made):
    refused(made.run_sequence, "u", bad)


MASKED = np.ma.masked_less(STATE.textures - 1, 0)


@pytest.mark.parametrize(
    "bad",
    [
        STATE.textures,
        [STATE.textures, 3],
        (STATE.textures,),
        (STATE.textures, 3, 1),
        "ab",
        3,
        {},
        (STATE.textures, -1),
        (STATE.textures, 2.5),
        (STATE.textures, "3"),
        (STATE.textures, None),
        (STATE.textures, True),
        (STATE.textures, 2**31),
        (STATE.textures[0], 3),
        (STATE.textures[:1], 3),
        (np.zeros((3, 3, 4, 4)), 3),
        (np.zeros((2, 1, 3, 3, 4)), 3),
        (np.zeros((2, 4, 3, 4)), 3),
        (np.full((2, 3, 4, 4), np.nan), 3),
        (np.full((2, 3, 4, 4), 1e39), 3),
        (np.zeros((2, 3, 4, 4), complex), 3),
        (np.full((2, 3, 4, 4), "a"), 3),
        (None, 3),
        (3.0, 3),
        ({}, 3),
        (MASKED, 3),
        ([[1], [1, 2]], 3),
        (STATE.textures, MOST_STEPS - 1),
    ],
    ids=lambda bad: f"{bad!r:.30}",
)
def test_bad_states_of_a_sequence_are_refused(bad, made):
    refused(made.run_sequence, "state", U, state=bad)


def test_bad_flags_masks_and_configs_are_refused(made):
    for bad in (1, None, "yes", np.ones(2)):
        refused(made.run_sequence, "return_state", U, return_state=bad)
    for bad in (
        np.ones((3, 4, 4)),
        np.ones((4, 3, 4, 2)),
        np.ones((3, 4, 3, 2)),
        np.ones((3, 4, 4, 0)),
        np.full((3, 4, 4, 2), np.nan),
        np.full((3, 4, 4, 2), 1e39),
        np.ones((3, 4, 4, 2), complex),
        np.ones((3, 4, 4, 2), bool),
        np.full((3, 4, 4, 2), "a"),
        np.ma.masked_less(np.arange(96.0).reshape(3, 4, 4, 2), 3),
        [[1], [1, 2]],
        "mask",
        {},
        3,
    ):
        refused(made.config.with_params, "mask", encoder_params={"mask": bad})
    for name in ("density", "scale"):
        for bad in (-0.1, np.nan, np.inf, "1", None, [1, 2], 10**400):
            refused(made.config.with_params, name, encoder_params={name: bad})
    refused(made.config.with_params, "density", encoder_params={"density": 1.1})
    elsewhere = made.config.with_params(encoder_params={"mask": np.ones((3, 4, 4, 2))})
    refused(Reservoir(elsewhere, backend="cpu").run_sequence, "mask", U)
    refused(made.config.with_params, "encoder_params", encoder_params={"weights": 1})
    tiles = made.config.with_params(input_encoding="tile", encoder_params={})
    refused(Reservoir(tiles, backend="cpu").run_sequence, "input_encoding=", U)
    for call in (made.transform, made.fit):
        refused(call, "run_sequence", np.ones((2, 12)))
    quantile = made.config.with_params(probe__rectify=True, probe__threshold={"quantile": 0.5})
    refused(Reservoir(quantile, backend="cpu").run_sequence, "probe", U)
    refused(made.run_sequence, "u", np.ones((2, 5, 3)))


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 2])
def test_what_grows_beyond_float32_leaks_no_warning_of_numpys(members, backend):
    made = reservoir(backend, 3, 2, "wave", mask=ones_of(3, 2, 1), members=members, steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            made.run_sequence(np.full((4, 1), 3e38))
        except RuntimeWarning as warning:
            assert "encountered" not in str(warning)


@EVERY_BACKEND
def test_lists_integers_and_read_only_arrays_are_sequences(backend):
    made = reservoir(backend, 5, 4, steps=2)
    u = np.round(inputs(2, 4, 2) * 3) + np.float32(0)
    whole, state = made.run_sequence(u, return_state=True)
    frozen = u.copy()
    frozen.flags.writeable = backend == "numba"  # which compiles anew: see test_states
    for given in (frozen, u.tolist(), u.astype(int), np.asfortranarray(u), u.astype(">f8")):
        assert same_bits(made.run_sequence(given), whole)
    more = made.run_sequence(u, state=state)
    state.textures.flags.writeable = backend == "numba"
    for way in (state.textures, state.textures.astype(float), np.asfortranarray(state.textures)):
        assert same_bits(made.run_sequence(u, state=(way, state.steps)), more)
