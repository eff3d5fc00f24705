"""Statistics of accuracies: intervals over seeds, paired tests, correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pixelflow.checks import as_array, brief, integer, number, real_array, sequence

LEVEL = 0.95  # confidence level of every interval
MOST_SAMPLES = 2**53  # float64 can't represent all larger integers
MOST_TESTS = 2**16  # in one correction


class Interval(NamedTuple):
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """The mean difference of two models on the same samples, its 95% interval and p-value."""

    difference: float
    low: float
    high: float
    p: float


def over_seeds(values: ArrayLike) -> Interval:
    """Mean of one value per seed, and Student's t interval of that mean.

    Parameters
    ----------
    values : array (S,)
        At least two finite numbers.

    Raises
    ------
    ValueError
        If there are fewer than two values, or one is not finite.

    Examples
    --------
    >>> from pixelflow.stats import over_seeds
    >>> [round(x, 3) for x in over_seeds([0.91, 0.93, 0.92, 0.92, 0.92])]
    [0.92, 0.911, 0.929]
    """
    values = real_array("values", values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"values must be a list of two numbers or more, one per seed, got {brief(values)}"
        )
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    mean = float(values.mean())
    return Interval(mean, mean - float(half), mean + float(half))


def one_more_seed(values: ArrayLike) -> Interval:
    """Mean of one value per seed, and Student's t prediction interval for one more seed.

    It is wider than the interval of the mean by the factor sqrt(S + 1).

    Parameters
    ----------
    values : array (S,)
        At least two finite numbers.

    Raises
    ------
    ValueError
        If there are fewer than two values, or one is not finite.

    Examples
    --------
    >>> from pixelflow.stats import one_more_seed
    >>> [round(x, 3) for x in one_more_seed([0.91, 0.93, 0.92, 0.92, 0.92])]
    [0.92, 0.898, 0.942]
    """
    mean, low, _ = over_seeds(values)
    half = (mean - low) * float(np.sqrt(np.size(values) + 1))
    return Interval(mean, mean - half, mean + half)


def proportion(successes: int, n: int) -> Interval:
    """A proportion and its Wilson interval, which expresses the uncertainty of n test samples.

    Parameters
    ----------
    successes, n : int
        0 <= successes <= n, n > 0.

    Raises
    ------
    ValueError, TypeError
        If the arguments are not integers in these ranges.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, Journal of the
    American Statistical Association 22 (1927).

    Examples
    --------
    >>> from pixelflow.stats import proportion
    >>> [round(x, 3) for x in proportion(9281, 10000)]
    [0.928, 0.923, 0.933]
    """
    n = integer("n", n, 1, MOST_SAMPLES)
    successes = integer("successes", successes, 0, n)
    interval = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Interval(successes / n, float(interval.low), float(interval.high))


def paired(right: ArrayLike, other: ArrayLike) -> Paired:
    """Test whether two classifiers differ on the same test samples.

    Student's t test compares the mean of the samples' differences in correctness with zero. For
    one run of each model this is McNemar's test in the limit of many samples. A model that was run
    with several seeds enters with its mean correctness on each sample, so the test ignores the
    variation between seeds; `over_seeds` measures that.

    Parameters
    ----------
    right, other : boolean arrays (n,) or (S, n)
        Whether each test sample was classified correctly, by each of S seeds; S may differ.

    Returns
    -------
    Paired
        The mean of `right` minus `other`; p is 1 if they never differ.

    Raises
    ------
    ValueError
        If the numbers of samples differ, there are fewer than two, or a value is not finite.

    References
    ----------
    McNemar, Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12 (1947).

    Examples
    --------
    >>> import numpy as np
    >>> from pixelflow.stats import paired
    >>> right = np.arange(1000) < 930
    >>> other = np.arange(1000) < 900
    >>> difference, low, high, p = paired(right, other)
    >>> round(difference, 3), low > 0, p < 1e-6
    (0.03, True, True)
    """
    means = [_mean_correctness("right", right), _mean_correctness("other", other)]
    if means[0].shape != means[1].shape or len(means[0]) < 2:
        counts = " and ".join(str(len(m)) for m in means)
        raise ValueError(
            f"right and other must have the same number of samples, two or more, got {counts}"
        )
    differences = means[0] - means[1]
    mean = float(differences.mean())
    if np.ptp(differences) == 0:  # Student's t is undefined without variance
        return Paired(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    test: Any = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(LEVEL)
    return Paired(mean, float(low), float(high), float(test.pvalue))


def _mean_correctness(name: str, value: ArrayLike) -> np.ndarray:
    """Mean over the seeds for each sample, float64 (n,)."""
    correct = as_array(name, value)
    correct = correct.astype(np.float64) if correct.dtype.kind == "b" else real_array(name, correct)
    if correct.ndim not in (1, 2) or not correct.size:
        raise ValueError(f"{name} must be of shape (n,) or (S, n), got {correct.shape}")
    return np.atleast_2d(correct).mean(axis=0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's method, which controls the family-wise error.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).

    Examples
    --------
    >>> from pixelflow.stats import holm
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    given = sequence("p_values", p_values, MOST_TESTS)
    p = np.array([number("p_values", value, 0, 1) for value in given])
    order = np.argsort(p, kind="stable")
    stepped = p[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()
