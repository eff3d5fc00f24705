"""How backend cuda spreads textures over a card: what is chosen fits it, whatever the shape."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cuda import apart, config_of, far  # noqa: F401  (rules of more than one radius)

from pixelflow import Probe
from pixelflow.backends.cuda import layouts, patches
from pixelflow.backends.cuda.shapes import MOST_BLOCKS, MOST_THREADS, WARP
from pixelflow.core import clip, get_rule, rule
from pixelflow.core.plan import compile_plan, compile_sequence, compile_states

LIMITS = [1024 * kib for kib in (48, 64, 99, 163, 227)]  # bytes of a block, on real cards
SIDES = st.integers(1, 600) | st.sampled_from([96, 100, 104, 120, 127, 128, 129, 160, 256, 512])
RULES = ("wave", "diffusion_reaction", "life_like", "energy", "coupled")
RULES += ("test_media", "test_far", "test_noise", "test_apart", "test_windows", "test_eight")


@rule("test_eight", channels=tuple("abcdefgh"), params={"rate": 0.1})
def eight(at, p):
    """Many channels, each read on all sides."""
    near = [at(0, 1, c) + at(0, -1, c) + at(1, 0, c) + at(-1, 0, c) for c in "abcdefgh"]
    return {c: clip(p.rate * total, -1, 1) for c, total in zip("abcdefgh", near, strict=True)}


@st.composite
def rules_of_their_own(draw):
    """A rule that reads cells at random, of some channels, with parameters and perhaps a medium."""
    channels = tuple("abcdefgh"[: draw(st.integers(1, 8))])
    offset = st.integers(-draw(st.integers(0, 5)), draw(st.integers(0, 5)))
    reads = draw(st.lists(st.tuples(offset, offset, st.sampled_from(channels)), min_size=1))
    written = draw(st.sets(st.sampled_from(channels), min_size=1))
    medium = draw(st.sampled_from([(), ("speed",)]))

    @rule("test_drawn", channels=channels, params={"rate": 0.1}, medium=medium)
    def drawn(at, p):
        total = p.rate * sum((at(*read) for read in reads), start=at(0, 0, channels[0]))
        total = total * at.medium("speed") if medium else total
        return {channel: total for channel in written}

    return drawn.name, medium


@st.composite
def plans(draw):
    """A plan of any rule, shape, probe and input: features, textures with media, sequences."""
    name, medium = draw(st.sampled_from(RULES).map(lambda name: (name, ())) | rules_of_their_own())
    pool = draw(st.none() | st.integers(1, 40))
    probe = draw(
        st.just(Probe())
        | st.builds(
            Probe,
            channels=st.sampled_from([None, (0,)]),
            rectify=st.booleans(),
            pool=st.just(pool),
            pool_op=st.sampled_from(["mean", "max"]),
        )
    )
    shape = draw(SIDES), draw(SIDES)
    channels = draw(st.integers(len(get_rule(name).channels), 12))
    encoding = draw(st.sampled_from(["tile", "image", "random"]))
    options = {"rule_params": {"k": draw(st.sampled_from([1, 5, 31]))}} if name == "coupled" else {}
    config = config_of(name, shape, channels, draw(st.sampled_from([0, 1, 5, 40])), probe=probe,
                       members=draw(st.sampled_from([1, 2])), **options)  # fmt: skip
    config = (
        config.with_params(medium={key: {"uniform": [-1, 1]} for key in medium})
        if medium
        else config
    )
    kind = draw(st.sampled_from(["features", "states", "sequence"]))
    if kind == "states":
        media = get_rule(name).medium
        given = draw(st.permutations(media).map(tuple))[: draw(st.integers(0, len(media)))]
        return compile_states(config, given)
    if kind == "sequence":
        density = {"density": draw(st.sampled_from([0.0, 0.5]))}
        config = config.with_params(input_encoding="inject", encoder_params=density)
        return compile_sequence(config, draw(st.integers(1, 3)))
    return compile_plan(config.with_params(input_encoding=encoding), (8, 8))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(plans())
def test_what_is_chosen_fits_the_card(plan):
    height, width, _ = plan.shape
    for limit in LIMITS:
        chosen = layouts.layout(plan, limit)
        assert chosen.shared_bytes <= limit
        assert 0 < chosen.threads <= MOST_THREADS and chosen.threads % WARP == 0
        assert chosen.tile[0] <= height and chosen.tile[1] <= width
        if chosen.kind == "tiles":  # a tile has a core, and all cores cover the texture
            for steps in range(1, chosen.steps + 1):
                margins, counts = patches.tiling(chosen, plan.shape, plan.program.radius, steps)
                for size, tile, margin, count in zip(
                    plan.shape[:2], chosen.tile, margins, counts, strict=True
                ):
                    assert margin >= steps * plan.program.radius or tile == size
                    assert count == 1 or count * (tile - 2 * margin) >= size


@pytest.mark.parametrize("shape", [(8_000_000, 8), (8, 8_000_000), (1_200_000, 4), (5, 70_000)])
@pytest.mark.parametrize("rule_name", ["wave", "coupled"])
def test_a_grid_is_no_larger_than_may_be(rule_name, shape):
    """Blocks along its second axis are tiles one below the other."""
    plan = compile_states(config_of(rule_name, (4, 4)))
    plan = replace(plan, shape=(*shape, 4))
    for limit in LIMITS:
        chosen = layouts.layout(plan, limit)
        if chosen.kind == "tiles":
            counts = [patches.tiling(chosen, plan.shape, 1, n)[1] for n in range(1, 13)]
            assert max(down for down, _ in counts) <= MOST_BLOCKS
        elif chosen.kind == "convolved_tiles":
            assert -(-shape[0] // chosen.tile[0]) <= MOST_BLOCKS


@pytest.mark.parametrize("rule_name", ["wave", "diffusion_reaction"])
def test_a_larger_card_is_used(rule_name):
    """A block of an H200 holds what one of a desktop card can't."""
    plan = compile_states(config_of(rule_name, (128, 128), steps=12))
    staged = [layouts.layout(plan, limit).staged for limit in LIMITS]
    kinds = [layouts.layout(plan, limit).kind for limit in LIMITS]
    assert kinds[-1] == "registers" and sorted(staged) == staged and staged[0] < staged[-1]


@pytest.mark.parametrize("side", [37, 61, 97, 127])
def test_sides_without_divisors_stay_in_registers(side):
    """Patches may reach over the edge: a prime side is spread like the next even one."""
    chosen = layouts.layout(compile_states(config_of("wave", (side, side), steps=12)), LIMITS[-1])
    assert chosen.kind == "registers" and chosen.rows * chosen.columns >= 8


def test_what_is_written_out_stays_short():
    """Each cell of a patch has its own copy of the rule's operations, which a compiler reads."""

    @rule("test_long", channels=("a",))
    def long(at, p):
        value = at(0, 0, "a")
        for i in range(3000):
            value = value * 0.5 + float(i)
        return {"a": value + at(0, 1, "a")}

    plan = compile_states(config_of("test_long", (64, 64), 1))
    chosen = layouts.layout(plan, LIMITS[-1])
    assert chosen.rows * chosen.columns * 6000 <= patches.MOST_WRITTEN
