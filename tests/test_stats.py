"""Intervals and tests against simulation, SciPy and tables."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from pixelflow.stats import holm, one_more_seed, over_seeds, paired, proportion


def test_the_interval_over_seeds_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        mean, low, high = over_seeds(rng.normal(3, 2, size=5))
        assert low <= mean <= high
        inside.append(low <= 3 <= high)
    assert abs(np.mean(inside) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


def test_the_interval_of_one_more_seed_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        *seen, another = rng.normal(3, 2, size=6)
        _, low, high = one_more_seed(seen)
        inside.append(low <= another <= high)
    assert abs(np.mean(inside) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize("interval", [over_seeds, one_more_seed])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, "values must be a list of two numbers or more"),
        ([0.9], ValueError, "values must be a list of two numbers or more"),
        ([[0.9, 0.8]], ValueError, "values must be a list of two numbers or more"),
        ([0.9, np.nan], ValueError, "values must be finite"),
        ([0.9, 10**400], ValueError, "values must be finite"),
        ([0.9, "0.8"], TypeError, "values must be a number or numbers"),
    ],
)
def test_what_are_not_values_of_two_seeds_is_refused(interval, values, error, message):
    with pytest.raises(error, match=message):
        interval(values)


@pytest.mark.parametrize(
    ("counts", "error"),
    [((11, 10), ValueError), ((-1, 10), ValueError), ((0, 0), ValueError), ((1.0, 2), TypeError)],
)
def test_what_are_not_counts_is_refused(counts, error):
    with pytest.raises(error, match=r"^(successes|n) must be"):
        proportion(*counts)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, 10**400])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="p_values must be"):
        holm([0.5, p])


def test_wilsons_interval_is_the_closed_form():
    k, n, z = 8, 10, 1.959964
    centre = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(k / n * (1 - k / n) / n + z**2 / (4 * n**2))
    assert np.allclose(proportion(k, n), (0.8, centre - half, centre + half), atol=1e-6)


def test_the_paired_test_is_mcnemars():
    rng = np.random.default_rng(1)
    right = rng.random(10000) < 0.92
    other = np.where(rng.random(10000) < 0.03, ~right, right)
    found = paired(right, other)
    gained, lost = (right & ~other).sum(), (other & ~right).sum()
    assert found.difference == pytest.approx((gained - lost) / 10000)
    exact = scipy_stats.binomtest(int(gained), int(gained + lost)).pvalue
    assert exact > 0 and found.p == pytest.approx(exact, rel=0.2)
    assert found.low < found.difference < found.high


def test_the_paired_test_finds_nothing_where_nothing_is_as_often_as_it_says():
    rng = np.random.default_rng(2)
    found = [paired(rng.random(400) < 0.8, rng.random((3, 400)) < 0.8).p for _ in range(2000)]
    assert abs(np.mean(np.array(found) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_models_that_never_differ():
    right = np.array([True, False, True])
    assert paired(right, right) == (0, 0, 0, 1)
    assert paired(~right & right, right | ~right).p == 0


def test_samples_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="got 3 and 4"):
        paired(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="two or more"):
        paired(np.ones(1), np.zeros(1))
    with pytest.raises(ValueError, match="other must be finite"):
        paired([True, False], [1, np.nan])
    with pytest.raises(TypeError, match="right must be a number"):
        paired(np.ones(3, complex), np.ones(3))
    with pytest.raises(ValueError, match=r"right must be of shape .*, got \(\)"):
        paired(True, np.ones(3))


def test_holm_is_the_step_down_by_hand():
    assert np.allclose(holm([0.01, 0.02, 0.03, 0.005]), [0.03, 0.04, 0.04, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
