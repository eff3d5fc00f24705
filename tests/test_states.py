"""Textures in, textures out: on from any step, media of a call, until they rest, in float64.

Every backend against the specification run plainly, texture by texture: see reference.
"""

import warnings

import numpy as np
import pytest
from reference import drawn, evolve, flushed, noise_key, same_bits, settle
from sklearn.exceptions import ConvergenceWarning
from test_parity import BACKENDS, GOLDEN, reservoir, textures

from pixelflow import Probe, Reservoir, ReservoirClassifier, ReservoirConfig
from pixelflow.backends.numba import modules
from pixelflow.backends.registry import FLOAT32_ONLY
from pixelflow.core import clip, get_rule, plan, rule, where
from pixelflow.core.limits import MOST_STEPS

EVERY_BACKEND = pytest.mark.parametrize("backend", BACKENDS, indirect=True)
IN_FLOAT64 = [name for name in BACKENDS if name not in FLOAT32_ONLY]
WHERE = (  # a texture's height, width and boundary
    (5, 4, "periodic"),
    (5, 4, "reflect"),
    (1, 1, "reflect"),
    (1, 1, "zero"),
    (33, 17, "zero"),
)


@rule("test_clock", channels=("a", "b", "c"), params={"rate": 0.1}, medium=("speed", "source"))
def clock(at, p):
    """All that a step may depend on: its number, noise, neighbours and media."""
    late = where(at.step() * 0.5 >= 1.5, at.medium("source"), -at.medium("source"))
    a = clip(at(0, 1, "a") * at.medium("speed") + p.rate * at.noise(), -2, 2) - at(-1, 0, "b")
    return {"a": a + late * at(0, 0, "c"), "b": at(1, -1, "a") * 0.3 - at.noise() * p.rate}


@rule(
    "test_weighed",
    channels=("a", "b"),
    sizes={"k": 3},
    weights={"w": (2, "k", "k", 2)},
    medium=("speed",),
)
def weighed(at, p):
    """A convolution, whose kernels on a GPU are others, beside a medium."""
    a, b = (at.convolve(p.w[i]) for i in range(2))
    return {"a": clip(a * at.medium("speed"), -1, 1), "b": b * 0.5 + at.noise() * 0.1}


@rule("test_rest", channels=("a", "b"), params={"rate": 0.25}, medium=("pull",))
def rest(at, p):
    """One channel decays, the least value of the other spreads: both come to rest, to the bit.

    The first steps differ from later ones, and one wakes what has rested before.
    """
    a, below = at(0, 1, "a") + at(-1, 0, "a"), at(1, 0, "b")
    shaken = where(at.step() < 4, at(0, 0, "a") * at.noise(), 0)
    return {
        "a": p.rate * at.medium("pull") * (a + shaken) + where(at.step() == 9, 1, 0),
        "b": where(below < at(0, 0, "b"), below, at(0, 0, "b")),
    }


def media_of(shape, leading, seed=5):
    """Media of "test_clock" with axes before rows and columns."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(-1, 1, (*leading, *shape)).astype(np.float32)
        for name in ("speed", "source")
    }


def clocked(backend, height, width, boundary, members=1, name="test_clock", **options):
    media = {"test_clock": ("speed", "source"), "test_weighed": ("speed",), "test_rest": ("pull",)}
    rates = {"rule_params": {"rate": [0.1, 0.2, 0.3][:members]}} if "clock" in name else {}
    options = {"members": members, "boundary": boundary, **rates, **options}
    options.setdefault("medium", {m: {"uniform": [-1, 1]} for m in media[name]})
    return reservoir(name, backend, (height, width), **options)


def own(config, member, given=None):
    """What one member's step depends on, as `reference.evolve` takes it.

    Media given for a sample are (H, W).
    """
    cells = (config.height, config.width)
    here, rates = get_rule(config.rule), config.rule_params.get("rate")
    media = []
    for name in here.medium:
        array = (given or {}).get(name)
        drawn_here = config.values(f"medium:{name}", config.medium.get(name, 0), cells)[member]
        media.append(drawn_here if array is None else array.astype(config.dtype))
    return {
        "params": {} if rates is None else {"rate": np.ravel(rates)[member]},
        "media": media,
        "boundary": config.boundary,
        "key": noise_key(config, member),
        "weights": drawn(config, member),
    }


def check(made, states, got, steps, given=None, first=0):
    """Each texture has the specification's bits; `given` makes a sample's media of (n, m)."""
    config = made.config
    wide = (-1, config.members, config.height, config.width, config.channels)
    assert got.shape == states.shape and got.dtype == config.dtype
    before, after = states.reshape(wide), got.reshape(wide)
    for n, m in np.ndindex(before.shape[:2]):
        options = own(config, m, given(n, m) if given else None)
        expected = evolve(get_rule(config.rule), before[n, m], steps, first=first, **options)
        assert same_bits(after[n, m], expected), (n, m)


def begin(made, n, seed=0):
    c = made.config
    members = (c.members,) if c.members > 1 else ()
    return textures(n, *members, c.height, c.width, c.channels, seed=seed)


# -- on from any step --------------------------------------------------------------------------


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("height", "width", "boundary"), WHERE)
def test_in_parts_the_clock_goes_on(height, width, boundary, members, backend):
    made = clocked(backend, height, width, boundary, members)
    states = begin(made, 2)
    whole = made.evolve(states, steps=7)
    check(made, states, whole, 7)
    for a in (0, 1, 4, 7):
        kept = states.copy()
        part = made.evolve(states, steps=a)
        assert same_bits(made.evolve(part, steps=7 - a, first=a), whole), a
        assert same_bits(states, kept)


@EVERY_BACKEND
@pytest.mark.parametrize("first", [2**24 + 1, MOST_STEPS - 3])
def test_steps_are_counted_up_to_the_last_there_may_be(first, backend):
    """Float32 holds not each of these numbers, and 32 bits with a sign hold no more."""
    made = clocked(backend, 5, 4, "periodic")
    states = begin(made, 2)
    check(made, states, made.evolve(states, steps=3, first=first), 3, first=first)


@EVERY_BACKEND
def test_no_steps_and_no_textures(backend):
    made = clocked(backend, 5, 4, "periodic")
    states = begin(made, 2)
    assert same_bits(made.evolve(states, steps=0, first=9), states)
    none, per_sample = states[:0], np.empty((0, 1, 5, 4))
    assert made.evolve(none, medium={"speed": per_sample}).shape == none.shape
    found, steps = made.evolve_until(none, 0.1, medium={"speed": per_sample})
    assert found.shape == none.shape and steps.shape == (0, 1) and steps.dtype == np.int64


# -- media of a call ---------------------------------------------------------------------------

GIVEN = (("speed",), ("speed", "source"))


@EVERY_BACKEND
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("height", "width", "boundary"), WHERE[1:])
def test_media_of_a_call_are_each_samples_own(height, width, boundary, members, backend):
    """In every shape that they may have; one of two, and both."""
    made, n = clocked(backend, height, width, boundary, members), 2
    states = begin(made, n)
    for leading in ((), (members,), (n, 1), (n, members)):
        media = media_of((height, width), leading)
        each = {k: np.broadcast_to(v, (n, members, height, width)) for k, v in media.items()}
        for names in GIVEN if leading == (n, members) else GIVEN[:1]:
            got = made.evolve(states, medium={k: media[k] for k in names}, first=2)
            given = lambda i, m, names=names, each=each: {k: each[k][i, m] for k in names}  # noqa: E731
            check(made, states, got, made.config.steps, given, first=2)


def test_the_order_of_media_does_not_matter():
    made = clocked("cpu", 5, 4, "zero")
    states, media = begin(made, 2), media_of((5, 4), ())
    expected = made.evolve(states, medium=media)
    assert same_bits(made.evolve(states, medium=dict(reversed(media.items()))), expected)


@EVERY_BACKEND
def test_a_sum_over_cells_beside_a_medium_of_the_call(backend):
    made = clocked(backend, 6, 5, "reflect", 2, "test_weighed", steps=3)
    states = begin(made, 2)
    speed = media_of((6, 5), (2, 2))["speed"]
    got = made.evolve(states, medium={"speed": speed})
    check(made, states, got, 3, lambda n, m: {"speed": speed[n, m]})


@EVERY_BACKEND
def test_a_config_without_media_is_given_them(backend):
    made = clocked(backend, 5, 4, "zero", medium={})
    states, media = begin(made, 2), media_of((5, 4), ())
    got = made.evolve(states, medium=media)
    check(made, states, got, made.config.steps, lambda n, m: media)
    with pytest.raises(ValueError, match=r"needs the medium \['source'\]"):
        made.evolve(states, medium={"speed": media["speed"]})


@pytest.fixture
def makings(monkeypatch):
    """What is compiled, and planned, from here on."""
    from numba.core.dispatcher import Dispatcher

    made = []

    def noted(owner, name):
        before = getattr(owner, name)

        def call(*arguments, **options):
            made.append(name)
            return before(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    noted(plan, "_compile")
    noted(Dispatcher, "compile")
    from pixelflow.backends.cuda import launch

    noted(launch, "compiled")
    noted(launch, "source")
    noted(launch, "Loaded")
    try:
        from pixelflow.backends.moderngl.context import Device

        before = Device.program

        def program(self, **sources):
            if tuple(sources.values()) not in self._programs:
                made.append("program")
            return before(self, **sources)

        monkeypatch.setattr(Device, "program", program)
    except ImportError:
        pass
    return made


@EVERY_BACKEND
def test_new_numbers_compile_nothing(backend, makings):
    calls = {"cuda": 20, "moderngl": 100}.get(backend, 1000)
    plan._PLANS.clear()
    made = clocked(backend, 3, 2, "zero")
    states = begin(made, 2)
    rng, ways = np.random.default_rng(0), (np.asarray, np.asfortranarray, np.ndarray.tolist)

    def call(number):
        media = rng.uniform(-1, 1, (2, 2, 1, 3, 2))
        shape = {"speed": media[0, 0, 0], "source": media[1]}
        given = {k: ways[number % 3](v) for k, v in shape.items()}
        made.evolve(states, steps=1 + number % 3, medium=given, first=number)
        if not number % 10:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                made.evolve_until(states, 0.1, 1 + number % 7, 3 + number % 9, given)

    call(0)
    assert "_compile" in makings, "else nothing would be counted"
    assert backend != "cuda" or "Loaded" in makings
    misses = modules.imported.cache_info().misses
    makings.clear()
    for number in range(1, calls + 1):
        call(number)
    assert makings == [] and modules.imported.cache_info().misses == misses


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "cpu"], indirect=True)
def test_what_is_counted_is_what_compiles(backend, makings, registry):
    """Else the test above could not fail."""
    number = np.random.default_rng().integers(2**31)  # in its text, so that no cache has it

    @rule("test_unseen", channels=("a",))
    def unseen(at, p):
        return {"a": at(0, 1, "a") * 0.5 + float(number)}

    modules.imported.cache_clear()
    name = "test_swap" if backend == "numba" else "test_unseen"  # whose code is read from a file
    reservoir(name, backend, (2, 3)).evolve(np.zeros((1, 2, 3, 4)))
    counted = {"numba": "compile", "moderngl": "program", "cuda": "Loaded"}[backend]
    assert "_compile" in makings and counted in makings


@EVERY_BACKEND
def test_read_only_textures_compile_nothing(backend, makings):
    """As those are that joblib maps into memory."""
    modules.imported.cache_clear()
    made = clocked(backend, 5, 4, "zero")
    states = begin(made, 2)
    made.evolve(states)
    makings.clear()
    states.flags.writeable = False
    made.evolve(states)
    assert makings == []


# -- until they rest ---------------------------------------------------------------------------

RESTING = (5, 4, "periodic")
SCALES = np.float32([1, 1e-3, 0, 30, 1e-6])


def restless(made, n=5):
    """Textures that take different times, and their members too; the third rests at once."""
    states = begin(made, n, seed=3) * SCALES[:n].reshape(
        -1, *(1,) * (3 + (made.config.members > 1))
    )
    if made.config.members > 1:
        states[::2, 0] *= np.float32(1e-7)
    return states


def check_settled(made, states, got, counts, tol, every, most, given=None):
    """Bits and counts of the specification; the last changes of what still moves."""
    config, left = made.config, []
    wide = (-1, config.members, config.height, config.width, config.channels)
    before, after = states.reshape(wide), got.reshape(wide)
    assert counts.shape == before.shape[:2] and counts.dtype == np.int64
    for n, m in np.ndindex(before.shape[:2]):
        options = own(config, m, given(n, m) if given else None)
        found = settle(get_rule(config.rule), before[n, m], tol, every, most, **options)
        assert same_bits(after[n, m], found[0]) and counts[n, m] == found[1], (n, m)
        left += [found[2]] if found[2] > tol else []
    return left


@EVERY_BACKEND
@pytest.mark.parametrize(("every", "most"), [(1, 20), (3, 20), (8, 20), (8, 5)])
def test_textures_stop_where_the_specification_does(every, most, backend):
    """The last check is after `max_steps`, also where that is no multiple of `every`."""
    made = clocked(backend, *RESTING, 2, "test_rest", medium={"pull": {"uniform": [0.3, 1]}})
    states, tol = restless(made), 1e-4
    kept = states.copy()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got, counts = made.evolve_until(states, tol, every, most)
    assert same_bits(states, kept)
    left = check_settled(made, states, got, counts, tol, every, most)
    assert (counts[2] == min(every, most)).all(), "zeros rest at once"
    assert most < 20 or len(np.unique(counts)) > (2 if every < 8 else 1)
    assert [w.category for w in seen] == [ConvergenceWarning] * bool(left)
    if left:
        said = str(seen[0].message)
        assert said.startswith(f"{len(left)} of {counts.size} textures")
        assert f"after {most} steps" in said and f"{max(left):.3g}" in said and "tol" in said
        assert seen[0].filename == __file__


@EVERY_BACKEND
@pytest.mark.parametrize(("height", "width", "boundary"), WHERE[2:])
def test_without_tolerance_no_bit_changes_any_more(height, width, boundary, backend):
    pull = {"pull": {"uniform": [0.3, 0.9]}}
    made = clocked(backend, height, width, boundary, 1, "test_rest", medium=pull)
    states = restless(made, 3)
    got, counts = made.evolve_until(states, 0, every=8, max_steps=1000)
    assert check_settled(made, states, got, counts, 0, 8, 1000) == []
    assert counts.max() < 1000
    again, steps = made.evolve_until(got, 0, every=1)
    assert same_bits(again, got) and (steps == 1).all()


@EVERY_BACKEND
def test_the_rest_of_a_batch_does_not_matter(backend):
    """Nor members: each texture alone has the bits and steps that it has beside others."""
    pull = np.random.default_rng(2).uniform(0.3, 1, (5, 3, *RESTING[:2])).astype(np.float32)
    options = {"name": "test_rest", "medium": {}}
    made = clocked(backend, *RESTING, 3, **options)
    states, more = restless(made), {"tol": 1e-6, "every": 3}
    got, counts = made.evolve_until(states, medium={"pull": pull}, **more)
    left = check_settled(
        made, states, got, counts, 1e-6, 3, 10_000, lambda n, m: {"pull": pull[n, m]}
    )
    assert not left and len(np.unique(counts)) > 3
    for members in (1, 2):
        fewer = clocked(backend, *RESTING, members, **options)
        for n in range(5):
            one = states[n : n + 1, :members] if members > 1 else states[n : n + 1, 0]
            found, steps = fewer.evolve_until(one, medium={"pull": pull[n, :members]}, **more)
            assert same_bits(found.reshape(members, *RESTING[:2], 4), got[n, :members])
            assert np.array_equal(steps[0], counts[n, :members])
    backwards = made.evolve_until(states[::-1], medium={"pull": pull[::-1]}, **more)
    assert same_bits(backwards[0], got[::-1]) and np.array_equal(backwards[1], counts[::-1])


@EVERY_BACKEND
def test_what_diverges_has_not_come_to_rest(backend):
    """It stops at the first check, and is told as such alone, without NumPy's own warnings."""
    options = {"medium": {"pull": np.ones(RESTING[:2])}, "rule_params": {"rate": 1e30}}
    made = clocked(backend, *RESTING, 1, "test_rest", **options)
    states = np.zeros((2, *RESTING[:2], 4), np.float32)
    states[0, ::2, :, 0], states[0, 1::2, :, 0] = 3e38, -3e38
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got, counts = made.evolve_until(states, 0.5, 2, 6)
    assert counts.tolist() == [[2], [2]] and not np.isfinite(got[0]).all() and not got[1].any()
    [said] = seen
    assert said.category is RuntimeWarning and said.filename == __file__
    assert str(said.message).startswith("states became infinite or NaN within 2 steps")


@EVERY_BACKEND
def test_changes_too_large_for_float32_are_changes(backend):
    """Each step turns what is largest into what is least: that is no divergence."""
    options = {"medium": {"pull": np.ones(RESTING[:2])}, "rule_params": {"rate": 0.5}}
    made = clocked(backend, 5, 4, "zero", 1, "test_rest", **options)
    states = np.zeros((1, 5, 4, 4), np.float32)
    states[0, ::2, :, 1], states[0, 1::2, :, 1] = 3e38, -3e38
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got, _ = made.evolve_until(states, 0.5, 1, 1)
        _, counts = made.evolve_until(states, 0.5, 1, 9)
    assert [w.category for w in seen] == [ConvergenceWarning] and np.isfinite(got).all()
    assert "up to 6e+38 in a step" in str(seen[0].message) and 1 < counts.item() < 9


# -- float64 -----------------------------------------------------------------------------------


@rule("test_literals", channels=("a", "b"), params={"rate": 0.1})
def literals(at, p):
    """Numbers that float32 and float64 hold differently, wherever a rule may have them."""
    a = where(at(0, 1, "a") > 0.1, at(0, 0, "a") * 0.7, 0.3 - at(1, 0, "b"))
    return {"a": clip(a + p.rate, -1.1, 1.1), "b": at(0, 0, "b") * (p.rate * 3) + at.step() * 0.1}


def literally(state, steps, first, rate, boundary="wrap"):
    """`literals` in NumPy alone."""
    for step in range(first, first + steps):
        a, b = state[..., 0], state[..., 1]
        right = np.pad(a, 1, mode=boundary)[1:-1, 2:]
        below = np.pad(b, 1, mode=boundary)[2:, 1:-1]
        new = np.where(right > 0.1, a * 0.7, 0.3 - below) + rate
        new = np.where(new > -1.1, new, -1.1)
        state = state.copy()
        state[..., 0] = flushed(np.where(new < 1.1, new, 1.1))
        state[..., 1] = flushed(b * (rate * 3) + step * 0.1)
    return state


def doubled(n, *shape, seed=0):
    """Textures that float32 can't hold."""
    return textures(n, *shape, seed=seed).astype(np.float64) * (1 + 1e-9)


@pytest.mark.parametrize("backend", IN_FLOAT64)
def test_literals_and_parameters_are_float64s(backend):
    options = {"rule_params": {"rate": [0.1, 0.7]}, "members": 2, "dtype": "float64"}
    made = reservoir("test_literals", backend, (5, 4), **options)
    states = doubled(2, 2, 5, 4, 4)
    got = made.evolve(states, steps=5, first=2**24 + 1)
    assert got.dtype == np.float64
    for n, m in np.ndindex(2, 2):
        expected = literally(states[n, m], 5, 2**24 + 1, (0.1, 0.7)[m])
        assert same_bits(got[n, m], expected)
    made.set_params(config__dtype="float32", backend="cpu")
    single = made.evolve(states, steps=5, first=2**24 + 1)
    assert single.dtype == np.float32 and np.abs(single - got)[..., 0].max() > 1e-9


def test_a_rules_function_is_the_reference_in_float64_too():
    state = doubled(1, 5, 4, 4)[0]
    found = evolve(get_rule("test_literals"), state, 1, {"rate": 0.1})
    assert same_bits(found, literally(state, 1, 0, 0.1))


@pytest.mark.parametrize("backend", IN_FLOAT64)
@pytest.mark.parametrize("boundary", ["periodic", "zero"])
def test_states_in_float64_are_the_specifications_bits(boundary, backend):
    """Of noise, drawn weights and media among what they depend on."""
    for shape in ((5, 4), (1, 1), (33, 17)):
        options = {"boundary": boundary, "dtype": "float64", "steps": 4, "name": "test_weighed"}
        made = clocked(backend, *shape, members=2, **options)
        states = doubled(2, 2, *shape, 4)
        speed = media_of(shape, (2, 2))["speed"].astype(np.float64) * (1 + 1e-9)
        got = made.evolve(states, medium={"speed": speed}, first=3)
        check(made, states, got, 4, lambda n, m, s=speed: {"speed": s[n, m]}, first=3)


@pytest.mark.parametrize("backend", IN_FLOAT64)
def test_textures_in_float64_rest_where_the_specification_says(backend):
    pull = {"pull": {"uniform": [0.3, 1]}}
    made = clocked(backend, *RESTING, 2, "test_rest", medium=pull, dtype="float64")
    states = doubled(4, 2, *RESTING[:2], 4) * SCALES[:4, None, None, None, None].astype(float)
    got, counts = made.evolve_until(states, 1e-12, 3)
    assert got.dtype == np.float64
    assert check_settled(made, states, got, counts, 1e-12, 3, 10_000) == []


@pytest.mark.parametrize("backend", IN_FLOAT64)
def test_features_in_float64_are_the_specifications(backend):
    probe = Probe(snapshots=(0, 2), channels=(1, 0))
    made = reservoir("wave", backend, (5, 4), steps=2, dtype="float64", probe=probe)
    X = np.random.default_rng(0).random((3, 20))
    got = made.fit(X).transform(X)
    assert got.dtype == np.float64
    for x, row in zip(X, got.reshape(3, 2, 2, 5, 4), strict=True):
        state = np.zeros((5, 4, 4))
        state[..., 0] = x.reshape(5, 4)  # tile: 20 inputs are 4 rows of 5
        rows, columns = np.arange(5) * 4 // 5, np.arange(4) * 5 // 4
        state[..., 0] = x.reshape(4, 5)[np.ix_(rows, columns)]
        for snapshot, steps in zip(row, (0, 2), strict=True):
            after = evolve(get_rule("wave"), state, steps)
            assert same_bits(snapshot, np.moveaxis(after[..., [1, 0]], -1, 0))
    out = np.empty_like(got)
    assert made.transform(X, out=out) is out and same_bits(out, got)
    assert [part.dtype for part in made.iter_features(X, 2)] == [np.float64] * 2
    levels = np.arange(60, dtype=np.uint8).reshape(3, 20)
    assert same_bits(made.transform(levels), made.transform(levels / 255))


def test_only_some_backends_compute_in_float64():
    config = ReservoirConfig(5, 4, dtype="float64")
    for name in FLOAT32_ONLY:
        said = f"backend '{name}' computes in float32.*'numba' or 'cpu'"
        with pytest.raises(ValueError, match=said):
            Reservoir(config, backend=name)
        with pytest.raises(ValueError, match=said):
            Reservoir(config, backend="cpu").set_params(backend=name)
        with pytest.raises(ValueError, match=said):
            ReservoirClassifier(config, backend=name).fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="dtype 'float16'"):
        ReservoirConfig(dtype="float16")
    with pytest.raises(ValueError, match="dtype"):
        ReservoirConfig(dtype=np.float64)


def test_auto_finds_a_backend_for_float64():
    made, cpu = (reservoir("wave", name, (5, 4), dtype="float64") for name in ("auto", "cpu"))
    X = np.random.default_rng(0).random((2, 20))
    assert same_bits(made.transform(X), cpu.transform(X))
    assert ReservoirConfig.from_json(made.config.to_json()) == made.config
    assert made.config != made.config.with_params(dtype="float32")


def test_in_float32_nothing_has_changed():
    """What tests/golden holds was recorded before there was another type."""
    case = next(name.split("/")[0] for name in GOLDEN if name.startswith("wave"))
    height, width = map(int, case.split("-")[1].split("x"))
    made = reservoir("wave", "cpu", (height, width), steps=int(case.split("-")[2]))
    assert made.config.dtype == "float32"
    assert made.transform(GOLDEN[f"{case}/X"]).dtype == np.float32
    wide = made.evolve(doubled(2, height, width, 4))
    assert wide.dtype == np.float32


# -- at the door -------------------------------------------------------------------------------

AT_THE_DOOR = Reservoir(
    ReservoirConfig(4, 3, rule="test_clock", steps=2, members=2,
                    medium={"speed": {"uniform": [0, 1]}, "source": {"uniform": [0, 1]}}),
    backend="cpu",
)  # fmt: skip
STATES = np.zeros((3, 2, 3, 4, 4), np.float32)
GOOD = np.ones((3, 4))
BAD_STATES = (
    STATES[:, 0],
    STATES[0],
    np.zeros((3, 2, 4, 3, 4)),
    np.full(STATES.shape, np.nan),
    np.full(STATES.shape, 1e300),
    STATES.astype(complex),
    np.full(STATES.shape, "a"),
    np.ma.masked_less(STATES - 1, 0),
    None,
    "states",
    {},
    [[1], [1, 2]],
    np.datetime64("NaT"),
    range(10**9),
)
BAD_MEDIA = (
    np.ones((4, 3)),
    np.ones((3, 3, 4)),
    np.ones((2, 2, 3, 4)),
    np.ones((3, 3, 3, 4)),
    np.ones((1, 3, 2, 3, 4)),
    1.0,
    np.full((3, 4), np.nan),
    np.full((3, 4), 1e39),
    np.full((3, 4), "a"),
    np.ones((3, 4), complex),
    np.ones((3, 4), bool),
    np.ma.masked_less(np.arange(12.0).reshape(3, 4), 3),
    [[1], [1, 2]],
    None,
    object(),
    range(10**9),
)
BAD_COUNTS = (-1, 2.5, True, "3", None, np.nan, 2**31, 10**400, [1], np.ones(2))
BAD_TOLERANCES = (-1e-9, np.nan, np.inf, "1", None, True, 1j, [0.1], 10**400)


def refused(function, named, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, TypeError)) as raised:
            function(*arguments, **options)
    words = str(raised.value).translate(dict.fromkeys(map(ord, ",:'"), " ")).split()
    assert named in words, (arguments, options, raised.value)


@pytest.mark.parametrize("bad", BAD_STATES, ids=lambda v: f"{type(v).__name__}-{np.shape(v)}"
                         if isinstance(v, np.ndarray) else repr(v)[:20])  # fmt: skip
def test_bad_states_are_refused(bad):
    refused(AT_THE_DOOR.evolve, "states", bad)
    refused(AT_THE_DOOR.evolve_until, "states", bad, 0.1)


def test_bad_media_are_refused():
    for bad in BAD_MEDIA:
        for call in (AT_THE_DOOR.evolve, lambda s, **o: AT_THE_DOOR.evolve_until(s, 0.1, **o)):
            refused(call, "speed", STATES, medium={"source": GOOD, "speed": bad})
    for bad in ({"no": GOOD}, {1: GOOD}, [GOOD], GOOD, "speed", 3):
        refused(AT_THE_DOOR.evolve, "medium", STATES, medium=bad)


def test_bad_counts_and_tolerances_are_refused():
    for bad in BAD_COUNTS:
        refused(AT_THE_DOOR.evolve, "first", STATES, first=bad)
        refused(AT_THE_DOOR.evolve_until, "every", STATES, 0.1, every=bad)
        refused(AT_THE_DOOR.evolve_until, "max_steps", STATES, 0.1, max_steps=bad)
        if bad is not None:
            refused(AT_THE_DOOR.evolve, "steps", STATES, steps=bad)
    for bad in (0, -3):
        refused(AT_THE_DOOR.evolve_until, "every", STATES, 0.1, every=bad)
        refused(AT_THE_DOOR.evolve_until, "max_steps", STATES, 0.1, max_steps=bad)
    refused(AT_THE_DOOR.evolve, "first", STATES, steps=2, first=MOST_STEPS - 1)
    for bad in BAD_TOLERANCES:
        refused(AT_THE_DOOR.evolve_until, "tol", STATES, bad)


@EVERY_BACKEND
def test_arrays_of_any_kind_are_textures_and_media(backend):
    """Read only, in another order of bytes or axes, lists, integers."""
    made = clocked(backend, 5, 4, "zero")
    states = np.round(begin(made, 2)) + np.float32(0)  # integers know no -0
    speed = np.round(media_of((5, 4), (2, 1))["speed"]) + np.float32(0)
    expected = made.evolve(states, medium={"speed": speed})
    frozen = states.copy(), speed.copy()
    for array in frozen:
        array.flags.writeable = False
    ways = [frozen, (states.tolist(), speed.tolist()), (states.astype(int), speed.astype(int)),
            (np.asfortranarray(states), np.asfortranarray(speed)),
            (states.astype(">f4"), speed.astype(">f8")), (states[::-1][::-1], speed[::-1][::-1]),
            (np.repeat(states, 2, 1)[:, ::2], np.repeat(speed, 2, 3)[..., ::2])]  # fmt: skip
    for given, medium in ways:
        assert same_bits(made.evolve(given, medium={"speed": medium}), expected)
