"""The Eikonal experiment against published errors, and exact times against the equation."""

import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from pixelflow import Reservoir, ReservoirConfig, experiments
from pixelflow.experiments import eikonal as experiment
from pixelflow.tasks.eikonal import constant_speed, linear_speed, radial_speed, solve_reference

ROOT = Path(__file__).resolve().parents[1]
# What the field's package prints as .064 .066 .313 .047, with the digits of its result file.
PUBLISHED = {
    "constant_32": 0.06366809,
    "constant_64": 0.06606502,
    "constant_64_corner": 0.31271920,
    "radial_64": 0.04664013,
}
PROBLEMS = {
    "constant": lambda shape, source, h=1.0: constant_speed(shape, source, speed=0.7 / h),
    "radial": lambda shape, source, h=1.0: _scaled(radial_speed(shape, source, drop=0.6), h),
    "rising": lambda shape, source, h=1.0: _scaled(radial_speed(shape, source, drop=-1.5), h),
    "linear": lambda shape, source, h=1.0: _scaled(
        linear_speed(shape, source, (0.006 * h, 0.018 * h), speed=1.0), h
    ),
}


def _scaled(problem, h):
    """The same problem in cells of size h."""
    speed, times = problem
    return speed / h, times * h


@pytest.fixture(scope="module")
def config():
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    return {**paper["eikonal"], "seed": paper["seed"]}


@pytest.fixture(scope="module")
def rows(config):
    found = experiments.run("eikonal", config)["metrics"]["rows"]
    return {(row["case"], row["method"]): row for row in found}


# exact times


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_exact_times_solve_the_equation(problem):
    """|grad T| speed is 1, by central differences on cells of a sixteenth."""
    h = 1 / 16
    speed, times = problem((401, 513), (160, 240), h)
    dy, dx = np.gradient(times)
    residual = np.abs(np.hypot(dy, dx) * speed - 1)[1:-1, 1:-1]
    rows, columns = np.ogrid[1:400, 1:512]
    assert residual[np.hypot(rows - 160, columns - 240) > 40].max() < 1e-3
    assert times[160, 240] == times.min() == 0


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_fast_marching_converges_to_exact_times(problem):
    """On finer grids its error falls as it should, which a wrong exact time would stop."""
    errors = []
    for refined in (1, 4, 16):
        source = (10 * refined, 10 * refined)
        speed, times = problem((24 * refined + 1, 32 * refined + 1), source, 1 / refined)
        error = experiment.relative_error(solve_reference(speed, source), times)
        errors.append(error[::refined, ::refined].mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.007


def test_exact_times_on_a_line_are_integrals_of_slowness():
    """By quadrature, where the path is the line itself."""
    for speed, times in (
        radial_speed((1, 1001), (0, 0), drop=0.8),
        radial_speed((1, 1001), (0, 0), drop=-3),
        linear_speed((1, 1001), (0, 0), (0, 0.002), speed=0.5),
    ):
        slowness = 1 / speed[0]
        steps = (slowness[:-2:2] + 4 * slowness[1:-1:2] + slowness[2::2]) / 3  # Simpson's rule
        np.testing.assert_allclose(times[0, 2::2], np.cumsum(steps), rtol=1e-8)


def test_no_gradient_and_no_drop_are_constant_speed():
    expected = constant_speed((7, 9), (2, 5))
    for problem in (radial_speed((7, 9), (2, 5), 0.0), linear_speed((7, 9), (2, 5), (0, 0))):
        np.testing.assert_array_equal(problem, expected)
    np.testing.assert_allclose(radial_speed((7, 9), (2, 5), 1e-9)[1], expected[1], rtol=1e-8)
    np.testing.assert_allclose(linear_speed((7, 9), (2, 5), (1e-9, 0))[1], expected[1], rtol=1e-8)
    for tiny in (5e-324, -1e-320, 1e-17):  # whose products with distances have few digits or none
        for problem in (
            radial_speed((7, 9), (2, 5), tiny),
            linear_speed((7, 9), (2, 5), (tiny, -tiny)),
        ):
            np.testing.assert_allclose(problem[1], expected[1], rtol=1e-15)
    assert radial_speed((1, 1), (0, 0))[1] == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: constant_speed((3, 4), (3, 0)),
            ValueError,
            "source must be a cell of the grid of shape",
        ),
        (lambda: constant_speed((0, 4), (0, 0)), ValueError, "at least one row"),
        (lambda: constant_speed((3.0, 4), (0, 0)), TypeError, "shape must be two integers"),
        (lambda: constant_speed((3, 4), (0.5, 0)), TypeError, "source must be two integers"),
        (lambda: constant_speed((3, 4), (0, 0), 0), ValueError, "> 0"),
        (lambda: constant_speed((3, 4), (0, 0), np.inf), ValueError, "finite"),
        (lambda: radial_speed((3, 4), (0, 0), 1), ValueError, "> 0"),
        (lambda: radial_speed((3, 4), (0, 0), np.nan), ValueError, "finite"),
        (lambda: linear_speed((3, 4), (0, 0), (0, -1 / 3)), ValueError, "> 0"),
        (lambda: linear_speed((3, 4), (0, 0), (np.nan, 0)), ValueError, "finite"),
        (lambda: linear_speed((3, 4), (0, 0), (0, 0), -1), ValueError, "> 0"),
        (lambda: linear_speed((3, 4), (0, 0), (0.1,)), TypeError, "gradient must be two numbers"),
        (lambda: linear_speed((3, 4), (0, 0), 0.1), TypeError, "gradient must be two numbers"),
        (lambda: linear_speed((3, 4), (0, 0), {0.1, 0.2}), TypeError, "gradient must be two numb"),
        (lambda: linear_speed((3, 4), (0, 0), ("a", 0)), TypeError, "gradient must be a number"),
        (lambda: linear_speed((3, 4), (0, 0), (10**400, 0)), ValueError, "gradient must be finite"),
        (lambda: linear_speed((3, 4), (0, 0), (0, 0), 1e200), ValueError, "speed must be finite"),
        (lambda: radial_speed((3, 4), (0, 0), 10**400), ValueError, "drop must be finite"),
        (lambda: constant_speed((3, 4), (0, 0), 1e-200), ValueError, "from 1.2e-38 to 3.4e\\+38"),
        (lambda: constant_speed((3, 4), (0, 0), "fast"), TypeError, "speed must be a number"),
        (lambda: constant_speed((3, 4), (True, False)), TypeError, "source must be two integers"),
        (lambda: constant_speed((3, 4), {1, 2}), TypeError, "source must be two integers"),
        (lambda: constant_speed((10**9, 10**9), (0, 0)), ValueError, "shape must have at most"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_problems_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# the experiment


@pytest.mark.parametrize(("case", "published"), PUBLISHED.items())
def test_the_protocol_gives_the_published_errors(rows, case, published):
    wave = rows[case, "wave"]
    assert wave["error_fast_marching"] == pytest.approx(published, abs=1e-6)
    assert wave["published"] == round(published, 3)


@pytest.mark.parametrize(
    ("case", "error"), [("constant_64", 0.080), ("constant_64_corner", 0.334), ("radial_64", 0.070)]
)
def test_errors_against_exact_times(rows, case, error):
    """As measured on the field's package itself."""
    assert rows[case, "wave"]["error_analytic"] == pytest.approx(error, abs=5e-4)


def test_the_wave_knows_no_more_than_the_city_block_distance(rows, config):
    for (case, method), row in rows.items():
        if method == "wave" and row["speed"] != "radial":
            assert row["city_block_share"] == 1
            for key in ("error_fast_marching", "error_analytic", "scale"):
                assert row[key] == pytest.approx(rows[case, "city_block"][key], rel=1e-12)
    wrapped = rows["constant_64_corner", "wave"]["error_analytic"]
    assert rows["constant_64_corner", "wave_reflect"]["error_analytic"] < wrapped / 3


def test_constant_speed_can_be_scaled_away_and_a_gradient_cannot(rows):
    for (_, method), row in rows.items():
        if method == "distance":
            constant = row["speed"] == "constant"
            assert (row["error_analytic_scaled"] < 1e-9) == constant
            assert constant or row["error_analytic_scaled"] > 0.05


def test_each_order_of_fast_marching_is_closer_than_the_wave(rows):
    for case in {case for case, _ in rows}:
        second, first, wave = (
            rows[case, method]["error_analytic"]
            for method in ("fast_marching_2", "fast_marching", "wave")
        )
        assert second < first / 2 < wave / 2 and second < 0.021


def test_rows_have_the_same_keys_and_names_of_their_own(rows):
    assert len({frozenset(row) for row in rows.values()}) == 1
    assert len({row["model"] for row in rows.values()}) == len(rows)
    assert rows["constant_64_corner", "wave_reflect"]["n_cells"] < 64 * 64  # some are too far
    numbers = [value for row in rows.values() for value in row.values() if type(value) is float]
    assert np.isfinite(numbers).all()


def test_wave_times_move_and_turn_with_the_problem():
    speed = np.full((12, 17), 0.6, np.float32)
    times = experiment.wave_times(speed, (3, 4), 60, 0.02)
    assert times[3, 4] == 0 and times[3, 5] == times[4, 4] == 1
    moved = experiment.wave_times(speed, (8, 1), 60, 0.02)
    np.testing.assert_array_equal(moved, np.roll(times, (5, -3), (0, 1)))
    turned = experiment.wave_times(speed.T, (4, 3), 60, 0.02, boundary="reflect").T
    np.testing.assert_array_equal(
        turned, experiment.wave_times(speed, (3, 4), 60, 0.02, boundary="reflect")
    )
    short = experiment.wave_times(speed, (3, 4), 5, 0.02)
    np.testing.assert_array_equal(short, np.minimum(times, 5))


@pytest.mark.parametrize("c", [0.25, 0.5])
def test_the_edge_of_a_wave_is_a_binomial(c):
    """Why the arrival is the city-block distance: at c = 1 the amplitude there is never small."""
    n = 9
    config = ReservoirConfig(
        width=32, height=32, rule="wave", rule_params={"c": c, "damping": 1, "dt": 1}
    )
    state = np.zeros((32, 32, 4), np.float32)
    state[0, 0, 0] = 1
    amplitude = Reservoir(config).evolve(state[None], steps=n)[0, :, :, 0]
    edge = [amplitude[k, n - k] for k in range(n + 1)]
    np.testing.assert_allclose(edge, [c ** (2 * n) * math.comb(n, k) for k in range(n + 1)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 3}, r"unknown: \['step'\]"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"source": [16, 32]}, "source must be a cell of the grid"),
        ({"speed": {"kind": "radail"}}, "constant, radial, linear, got 'radail'"),
        ({"speed": {"kind": "radial", "drop": 1}}, "> 0"),
    ],
)
def test_a_wrong_case_is_refused(config, changes, message):
    case = {**config["cases"]["constant_32"], **changes}
    with pytest.raises(ValueError, match=message):
        experiments.run("eikonal", {**config, "cases": {"only": case}})


@pytest.mark.parametrize("threshold", [0, 1, -0.5, float("nan")])
def test_a_threshold_that_says_nothing_is_refused(config, threshold):
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        experiments.run("eikonal", {**config, "threshold": threshold})


def test_maps_are_what_the_errors_are_of(rows, config):
    for case, (exact, wave) in experiment.arrival_maps(config).items():
        error = experiment.relative_error(wave, exact)[exact > 0].mean()
        assert error == pytest.approx(rows[case, "wave"]["error_analytic"], rel=1e-12)


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        ({"kind": "constant"}, None),
        ({"kind": "radial", "drop": -2}, None),
        ({"kind": "linear", "gradient": [0, 0.1]}, None),
        ({"kind": "radial", "dorp": 0.5}, "'dorp' was unexpected"),
        ({"kind": "radial"}, "'drop' is a required property"),
        ({"kind": "linear", "gradient": [1]}, "too short"),
        ({"kind": "constant", "drop": 0.5}, "False schema"),
        ({"kind": "radail"}, "'radail' is not one of"),
    ],
)
def test_the_schema_knows_the_kinds_of_speed(speed, message):
    schema = yaml.safe_load((ROOT / "pixelflow/experiments/config.schema.yaml").read_text())
    config = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    config["eikonal"]["cases"]["constant_32"]["speed"] = speed
    errors = [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(config)]
    assert any(message in e for e in errors) if message else not errors
