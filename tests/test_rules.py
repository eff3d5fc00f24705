"""The rule language and its registry: what it accepts, what it refuses and how it says so."""

import itertools
import math
import re

import numpy as np
import pytest
from reference import evolve

from pixelflow import Reservoir, ReservoirConfig
from pixelflow.backends.numba.source import source
from pixelflow.core import (
    clip,
    exp,
    get_rule,
    list_rules,
    maximum,
    minimum,
    register_rule,
    rule,
    where,
)
from pixelflow.core.trace import noise


def made(function, **options):
    return rule("test_made", channels=("a", "b"), params={"k": 1.0}, **options)(function)


def test_builtin_rules_are_registered():
    assert {"coupled", "diffusion_reaction", "life_like", "wave"} <= set(list_rules())


def test_a_new_rule_replaces_one_of_its_name_in_reservoirs_that_exist(registry):
    made(lambda at, p: {"a": at(0, 0, "a") + 1})
    reservoir = Reservoir(ReservoirConfig(3, 3, 2, 1, "test_made"), backend="cpu")
    zeros = np.zeros((3, 3, 2), np.float32)
    assert (reservoir.step(zeros)[..., 0] == 1).all()
    made(lambda at, p: {"a": at(0, 0, "a") + 2})
    assert (reservoir.step(zeros)[..., 0] == 2).all()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda at, p: {"a": 1 if at(0, 0, "a") > 0 else 0}, TypeError, "use where"),
        (lambda at, p: {"a": at(0, 0, "a") and at(0, 0, "b")}, TypeError, "use where"),
        (lambda at, p: {"a": max(at(0, 0, "a"), at(0, 0, "b"))}, TypeError, "use where"),
        (lambda at, p: {"a": (at(0, 0, "a") > 0) + 1}, TypeError, "where(condition, 1, 0)"),
        (lambda at, p: {"a": at(0, 0, "a") > 0}, TypeError, "next 'a'"),
        (lambda at, p: {"a": where(at(0, 0, "a"), 1, 0)}, TypeError, "condition"),
        (lambda at, p: {"a": at(0, 0, "a") ** 2}, TypeError, "unsupported operand"),
        (lambda at, p: {"a": np.sin(at(0, 0, "a"))}, TypeError, "can't call numpy.sin"),
        (
            lambda at, p: {"a": np.where(at(0, 0, "a") > 0, 1, 0)},
            TypeError,
            "can't call numpy.where",
        ),
        (lambda at, p: {"a": np.ones(3) * at(0, 0, "a")}, TypeError, "array([1., 1., 1.])"),
        (lambda at, p: {"a": at(0, 0, "a") + "1"}, TypeError, "'1'"),
        (lambda at, p: {"a": at(0, 0, "a") + 1e60}, ValueError, "finite and fit float32"),
        (
            lambda at, p: {"a": at(0, 0, "a") * 10**400},
            ValueError,
            "mul in a rule is given must be",
        ),
        (lambda at, p: {"a": where(at(0, 0, "a") > -(10**400), 1, 0)}, ValueError, "finite"),
        (lambda at, p: {"a": 10**400}, ValueError, "the next 'a' in a rule is given must be"),
        (lambda at, p: {"a": at(0, 0, "a") * np.float64(0.1)}, TypeError, "give float(x)"),
        (lambda at, p: {"a": at(0, 0, "red")}, ValueError, "'red'"),
        (lambda at, p: {"a": at(0.5, 0, "a")}, TypeError, "at()'s dy must be an integer, got 0.5"),
        (lambda at, p: {"a": at(0, 1025, "a")}, ValueError, "at()'s dx must be at most 1024"),
        (
            lambda at, p: {"a": at(-(10**400), 0, "a")},
            ValueError,
            "at()'s dy must be at least -1024",
        ),
        (
            lambda at, p: {"a": at(0, 0, np.array(["a", "b"]))},
            ValueError,
            "unknown channel of at()",
        ),
        (lambda at, p: {"a": p.speed}, ValueError, "p.speed"),
        (lambda at, p: {"a": at.nope()}, ValueError, "the rule uses at.nope; there are at(dy"),
        (lambda at, p: {"a": at.medium("speed")}, ValueError, "'speed'"),
        (lambda at, p: {"c": at(0, 0, "a")}, ValueError, "['c']"),
        (lambda at, p: {}, ValueError, "returns a dict"),
        (lambda at, p: {1: 1, "c": 2}, ValueError, "got [1, 'c']"),
        (lambda at, p: at(0, 0, "a"), ValueError, "Symbol"),
        (lambda at, p: {"a": at(0, 0, "a") / 2}, ValueError, "declare a tolerance"),
        (lambda at, p: {"a": exp(at(0, 0, "a"))}, ValueError, "declare a tolerance"),
        (lambda at, p: {"a": at.convolve(p.k)}, ValueError, "expects weights (k, k, channels)"),
        (lambda at, p: {"a": at.convolve(np.ones((3, 3, 2)))}, ValueError, "expects weights"),
    ],
)
def test_what_is_not_a_rule_is_refused_when_defined(function, error, message, registry):
    before = list_rules()
    with pytest.raises(error) as raised:
        made(function)
    assert message in str(raised.value) and "rule 'test_made'" in str(raised.value)
    assert list_rules() == before


@pytest.mark.parametrize(
    "options",
    [
        {"channels": ()},
        {"channels": ("a", "a")},
        {"channels": ("a",), "params": {"k": 1e60}},
        {"channels": ("a",), "params": {"k": 10**400}},
        {"channels": ("a",), "tolerance": 10**400},
        {"channels": map(str, itertools.count())},
        {"channels": ("a",), "medium": itertools.repeat("m")},
        {"channels": ("a", [])},
        {"channels": ("a",), "params": {"_k": 1.0}},
        {"channels": ("a",), "tolerance": -1.0},
        {"channels": ("a",), "params": {"k": math.nan}},
        {"channels": ("a",), "medium": ("m", "m")},
    ],
)
def test_bad_declarations_are_refused(options):
    with pytest.raises(ValueError, match=r"test_bad|channel"):
        rule("test_bad", **options)(lambda at, p: {"a": at(0, 0, "a")})


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"k": "x"}},
        {"params": ["k"]},
        {"sizes": ["k"]},
        {"weights": ["w"]},
        {"tolerance": "x"},
        {"medium": "speed"},
        {"medium": {"speed"}},
    ],
)
def test_declarations_of_a_wrong_type_are_refused(options):
    with pytest.raises(TypeError, match="test_bad"):
        rule("test_bad", channels=("a",), **options)(lambda at, p: {"a": at(0, 0, "a")})


def test_a_set_of_channels_is_refused():
    """Its order is another one in each process, and so would be the rule."""
    with pytest.raises(TypeError, match="channels must be a sequence"):
        rule("test_bad", channels={"a", "b"})(lambda at, p: {"a": at(0, 0, "a")})


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_a_sorting_network_is_the_median(backend, registry):
    """Of 5 x 5 cells of four levels: 25 layers compare what the layer before gives."""

    def median(at, p):
        around = [at(dy, dx, "a") for dy in range(-2, 3) for dx in range(-2, 3)]
        cells = [where(x > 0.5, where(x > 0.75, 3, 2), where(x > 0.25, 1, 0)) for x in around]
        for layer in range(25):
            for i in range(layer % 2, 24, 2):
                a, b = cells[i : i + 2]
                cells[i : i + 2] = minimum(a, b), maximum(a, b)
        return {"a": cells[12]}

    rule("test_median", channels=("a",))(median)
    states = np.random.default_rng(0).random((2, 9, 12, 1), dtype=np.float32)
    config = ReservoirConfig(12, 9, channels=1, rule="test_median", steps=1)
    levels = np.ceil(4 * states) - 1  # 0 is not drawn
    padded = np.pad(levels, [(0, 0), (2, 2), (2, 2), (0, 0)], "wrap")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))
    expected = np.sort(windows.reshape(2, 9, 12, 1, 25))[..., 12]
    assert np.array_equal(Reservoir(config, backend=backend).evolve(states), expected)


def test_a_choice_of_thousands_nests(registry):
    """3,000 conditions, one inside the other: a staircase."""

    def stairs(at, p):
        level = 0
        for i in range(3000):
            level = where(at(0, 0, "a") >= i, float(i), level)
        return {"a": level}

    rule("test_stairs", channels=("a",))(stairs)
    states = np.random.default_rng(0).uniform(0, 4000, (1, 8, 8, 1)).astype(np.float32)
    config = ReservoirConfig(8, 8, channels=1, rule="test_stairs", steps=1)
    after = Reservoir(config, backend="cpu").evolve(states)
    assert np.array_equal(after, np.minimum(np.floor(states), 2999))


def test_compiled_code_of_a_rule_does_not_branch(registry):
    """Numba takes a time quadratic in the branches to compile it."""

    def branching(at, p):
        a, b = at(0, 0, "a"), at(0, 1, "b")
        held = clip(maximum(minimum(a, b), p.k), 0, 1)
        return {"a": where(a > b, held, b), "b": clip(b, 0, 1)}

    program = made(branching).program
    assert {"where", "maximum", "clip", "clip_flush", "flush"} <= {op for op, *_ in program.nodes}
    lines = [line.split(" = ", 1) for line in source(program, 2, True).splitlines()]
    values = {name[0].strip(): name[1] for name in lines if re.fullmatch(r" +v\d+", name[0])}
    assert len(values) == len(program.nodes)
    assert not any(" if " in value for value in values.values())


@pytest.mark.parametrize("boundary", ["periodic", "reflect", "zero"])
@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_a_rule_may_read_far_beyond_the_texture(backend, boundary, registry):
    rule("test_far", channels=("a",))(lambda at, p: {"a": at(-20, 3, "a") - at(5, 18, "a")})
    config = ReservoirConfig(5, 7, 1, 2, "test_far", boundary=boundary)
    states = np.random.default_rng(0).random((2, 7, 5, 1), dtype=np.float32)
    expected = [evolve(get_rule("test_far"), state, 2, boundary=boundary) for state in states]
    assert np.array_equal(Reservoir(config, backend=backend).evolve(states), expected)


def test_a_rule_without_end_is_refused(registry):
    def endless(at, p):
        x = at(0, 0, "a")
        for i in itertools.count():
            x = x * p.k + i
        return {"a": x}

    with pytest.raises(ValueError, match=r"rule 'test_made': its graph must have at most 131072"):
        made(endless)


def test_unknown_rules_and_foreign_objects_are_refused():
    with pytest.raises(ValueError, match=r"unknown rule 'conway'.*wave"):
        get_rule("conway")
    with pytest.raises(TypeError, match="function"):
        register_rule(lambda at, p: {})  # pyright: ignore[reportArgumentType]


def test_numpy_numbers_and_functions_of_the_language_may_be_used(registry):
    program = made(
        lambda at, p: {"a": np.float32(0.5) * np.abs(at(0, 0, "a")) - np.float32(1)}
    ).program
    assert program == made(lambda at, p: {"a": 0.5 * abs(at(0, 0, "a")) - 1}).program


def test_an_expression_that_occurs_twice_is_one_node(registry):
    program = made(lambda at, p: {"a": at(0, 1, "a") * 2, "b": at(0, 1, "a") * 2 + 1}).program
    assert [node[0] for node in program.nodes].count("mul") == 1


def test_noise_has_zero_mean_unit_deviation_and_no_memory():
    cells = np.arange(200_000, dtype=np.uint32)
    draws = [noise(key, step, cells, draw) for key, step, draw in np.ndindex(2, 2, 2)]
    for values in draws:
        assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
        kurtosis = ((values - values.mean()) ** 4).mean() / values.var() ** 2
        assert abs(kurtosis - 2.7) < 0.03  # of a sum of four uniforms: 3 - 6/5/4
    correlations = np.corrcoef(draws) - np.eye(8)
    assert np.abs(correlations).max() < 0.01


def test_noise_is_the_hash_that_its_docstring_names():
    """The same in Python's own integers."""

    def mix(x):
        x = ((x ^ (x >> 16)) * 0x21F0AAAD) % 2**32
        x = ((x ^ (x >> 15)) * 0x735A2D97) % 2**32
        return x ^ (x >> 15)

    key, step, cell, draw = 0xDEADBEEF, 7, 12345, 2
    stream = mix((draw * 0x9E3779B9 + key) % 2**32)
    first = mix(mix(cell) ^ mix((step * 0x9E3779B9 + stream) % 2**32))
    second = mix((first + 0x9E3779B9) % 2**32)
    total = sum((h >> 16) + (h & 0xFFFF) for h in (first, second))
    expected = np.float32(total - 131070) * np.float32(1 / math.sqrt((65536.0**2 - 1) / 3))
    assert noise(key, step, np.array([cell], np.uint32), draw) == expected


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_life_like_is_conways_life(backend):
    """A glider, after 4 steps, is itself moved by one cell down and right."""
    board = np.zeros((12, 12, 4), np.float32)
    for y, x in ((0, 1), (1, 2), (2, 0), (2, 1), (2, 2)):
        board[y + 3, x + 3, 0] = 1
    config = ReservoirConfig(12, 12, rule="life_like", steps=4)
    after = Reservoir(config, backend=backend).evolve(board[None])[0]
    assert np.array_equal(after, np.roll(board, (1, 1), axis=(0, 1)))


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_wave_conserves_momentum_and_travels_at_c(backend):
    """Undamped and periodic, the sum of velocity stays; a front moves at most 1 cell a step."""
    state = np.zeros((1, 41, 41, 4), np.float32)
    state[0, 20, 20, 0] = 0.5
    config = ReservoirConfig(41, 41, rule="wave", steps=10, rule_params={"damping": 1.0})
    after = Reservoir(config, backend=backend).evolve(state)[0]
    assert abs(after[..., 1].sum()) < 1e-5
    y, x = np.nonzero(after[..., 0])
    assert max(np.abs(y - 20) + np.abs(x - 20)) == 10
    assert np.array_equal(after[..., 0], after[::-1, :, 0]) and np.array_equal(
        after[..., 0], after[:, ::-1, 0]
    )


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_gray_scott_rests_at_its_fixed_points(backend):
    """u = 1, v = 0 stays; without feed and reaction, diffusion conserves u."""
    rest = np.zeros((1, 9, 9, 4), np.float32)
    rest[..., 0] = 1
    assert np.array_equal(Reservoir(ReservoirConfig(9, 9), backend=backend).evolve(rest), rest)
    config = ReservoirConfig(9, 9, steps=50, rule_params={"feed": 0.0})
    heat = np.zeros((1, 9, 9, 4), np.float32)
    heat[..., 0] = np.random.default_rng(0).random((1, 9, 9))
    after = Reservoir(config, backend=backend).evolve(heat)
    assert after[..., 0].sum() == pytest.approx(heat[..., 0].sum(), rel=1e-5)
    assert after[..., 0].std() < heat[..., 0].std() / 5
