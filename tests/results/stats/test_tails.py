import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from faultbench.results.stats import below_worst, quantile, quantile_interval


@pytest.mark.parametrize("n", [1, 2, 5, 6, 30, 71, 72, 100, 500])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_the_ends_are_the_narrowest_ranks_that_the_binomial_allows(n: int, q: float):
    interval = quantile_interval(np.arange(1.0, n + 1), q)  # the value is the rank
    binomial = scipy_stats.binom(n, q)
    low = max((rank for rank in range(1, n + 1) if binomial.cdf(rank - 1) <= 0.025), default=-math.inf)
    high = min((rank for rank in range(1, n + 1) if binomial.sf(rank - 1) <= 0.025), default=math.inf)
    assert (interval.low, interval.high) == (low, high)


@pytest.mark.parametrize(("q", "n_fewest"), [(0.5, 6), (0.05, 72)])
def test_with_too_few_trials_there_is_no_lower_end(q: float, n_fewest: int):
    # All of n lie above the quantile with probability (1 - q)^n: 0.5^6 = 0.016, 0.95^72 = 0.0249, 0.95^71 = 0.026.
    assert quantile_interval([0.5] * (n_fewest - 1), q).low == -math.inf
    assert quantile_interval([0.5] * n_fewest, q).low == 0.5


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("q", [0.05, 0.5])
def test_the_interval_covers_the_quantile_of_trials_with_ties_and_disasters(n: int, q: float):
    rng = np.random.default_rng(11)
    outcomes, weights = np.array([0.1, 0.4, 0.9, 0.98]), np.array([0.03, 0.2, 0.37, 0.4])
    true_quantile = outcomes[np.searchsorted(weights.cumsum(), q)]
    n_covered = 0
    for _ in range(1000):
        interval = quantile_interval(rng.choice(outcomes, n, p=weights), q)
        n_covered += interval.low <= true_quantile <= interval.high
    # At least 950 on average; four standard deviations of sqrt(1000 * 0.05 * 0.95) = 6.9 fewer.
    assert n_covered >= 950 - 28


@pytest.mark.parametrize("n", [10, 59, 300])
def test_the_bound_below_the_worst_covers_with_just_its_confidence(n: int):
    # Of uniform trials exactly the fraction min(x) is worse than the worst of x.
    rng = np.random.default_rng(12)
    n_covered = sum(rng.random(n).min() <= below_worst(n) for _ in range(2000))
    assert abs(n_covered - 1900) <= 4 * math.sqrt(2000 * 0.05 * 0.95)


def test_fifty_nine_good_trials_leave_five_per_cent_of_bad_ones():
    # 0.95^59 = 0.0485, 0.95^58 = 0.0511.
    assert below_worst(59) < 0.05 < below_worst(58)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.sampled_from([0.05, 0.5]))
def test_the_interval_holds_the_quantile_of_the_sample(values: list[float], q: float):
    interval = quantile_interval(values, q)
    assert interval.low <= quantile(values, q) <= interval.high


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([0.5], 0), ([0.5], 1)])
def test_what_has_no_quantile_has_no_interval(values: list[float], q: float):
    with pytest.raises(ValueError, match="needs trials"):
        quantile_interval(values, q)
