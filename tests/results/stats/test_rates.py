"""Intervals of rates and of their differences: exact ends, and coverage worked out over all outcomes."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from faultbench.results.stats import difference_intervals, rate_intervals


@pytest.mark.parametrize(("n_failed", "n_trials"), [(0, 10), (3, 10), (10, 10), (1, 1), (40, 300)])
def test_the_ends_are_clopper_and_pearsons(n_failed: int, n_trials: int):
    low, high = rate_intervals(np.array([n_failed]), np.array([n_trials]))
    exact = scipy_stats.binomtest(n_failed, n_trials).proportion_ci(0.95, method="exact")
    assert exact.low - 1e-6 <= low[0] <= exact.low
    assert exact.high <= high[0] <= exact.high + 1e-6


def test_without_a_trial_a_rate_is_anything():
    low, high = rate_intervals(np.array([0]), np.array([0]))
    assert (low[0], high[0]) == (0, 1)


def test_every_pair_gets_its_own_interval_whatever_stands_beside_it():
    failed, trials = np.array([2, 0, 2, 5]), np.array([9, 4, 9, 5])
    together = np.transpose(rate_intervals(failed, trials)).tolist()
    alone = [np.transpose(rate_intervals(failed[k : k + 1], trials[k : k + 1]))[0].tolist() for k in range(4)]
    assert together == alone


@pytest.mark.parametrize(("p_1", "p_0"), [(0.02, 0.01), (0.5, 0.1), (0.9, 0.02), (1.0, 0.3)])
@pytest.mark.parametrize(("n_1", "n_0"), [(2, 40), (8, 25)])
def test_intervals_of_differences_hold_the_truth_at_least_as_often_as_they_say(p_1, p_0, n_1, n_0):
    pairs = np.array(list(itertools.product(range(n_1 + 1), range(n_0 + 1))))
    ones, zeros = pairs.T
    low, high = difference_intervals((ones, np.full_like(ones, n_1)), (zeros, np.full_like(zeros, n_0)))
    likely = scipy_stats.binom.pmf(ones, n_1, p_1) * scipy_stats.binom.pmf(zeros, n_0, p_0)
    assert likely[(low <= p_1 - p_0) & (p_1 - p_0 <= high)].sum() >= 0.95
    assert ((low <= ones / n_1 - zeros / n_0) & (ones / n_1 - zeros / n_0 <= high)).all()


@pytest.mark.parametrize(("n_failed", "n_trials"), [(3, 2), (-1, 2)])
def test_more_failures_than_trials_are_refused(n_failed: int, n_trials: int):
    with pytest.raises(ValueError, match="0 to n_trials failures"):
        rate_intervals(np.array([n_failed]), np.array([n_trials]))


def test_each_rate_of_a_difference_has_half_of_the_error():
    ones, zeros = (np.array([3]), np.array([12])), (np.array([1]), np.array([40]))
    low, high = difference_intervals(ones, zeros, confidence=0.95)
    (low_1, high_1), (low_0, high_0) = (rate_intervals(*rate, confidence=0.975) for rate in (ones, zeros))
    assert (low, high) == (pytest.approx(low_1 - high_0), pytest.approx(high_1 - low_0))
