import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from faultbench.results.stats import log_capital, mean, mean_interval, quantile

fractions = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def plain_interval(values: list[float], m_steps: int) -> tuple[float, float]:
    """The hedged-capital interval of the paper, number by number on a grid of candidate means."""
    n, target = len(values), 2 / 0.05
    bets, total, squares = [], 0.5, 0.25
    for t, x in enumerate(values):
        bets.append(math.sqrt(2 * math.log(target) / (n * squares / (t + 1))))
        total += x
        squares += (x - total / (t + 2)) ** 2
    kept = []
    for m in np.linspace(0, 1, m_steps + 1):
        above = below = 1.0
        alive = True
        for x, bet in zip(values, bets, strict=True):
            above *= 1 + min(bet, 0.95 / m if m > 0 else math.inf) * (x - m)
            below *= 1 - min(bet, 0.95 / (1 - m) if m < 1 else math.inf) * (x - m)
            alive = alive and above < target and below < target
        if alive:
            kept.append(m)
    return kept[0], kept[-1]


def rare_disasters(rng: np.random.Generator, n: int, probability: float) -> NDArray[np.float64]:
    """n trials that end at 0.98, but with this probability at 0.1."""
    return np.where(rng.random(n) < probability, 0.1, 0.98)


def t_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    half = scipy_stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - half, values.mean() + half


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize("probability", [0.003, 0.03, 0.3])
def test_the_interval_covers_the_mean_where_disasters_are_rare(n: int, probability: float):
    rng = np.random.default_rng(20240613)
    true_mean = 0.98 - 0.88 * probability
    n_covered = 0
    for _ in range(400):
        interval = mean_interval(rare_disasters(rng, n, probability))
        n_covered += interval.low <= true_mean <= interval.high
    # Each of the 400 covers with probability >= 0.95, so they miss at most 20 times on average with a standard
    # deviation of at most sqrt(400 * 0.05 * 0.95) = 4.4; 38 misses are four of those more.
    assert n_covered >= 400 - 38


LOOKS = (30, 45, 68, 102, 153, 230, 345)


def stopped(interval_of: Callable[[NDArray[np.float64]], tuple[float, float]], values: NDArray[np.float64]):
    """The interval at the first look at which it is at most 0.05 to either side, or at the last."""
    for look in LOOKS:
        low, high = interval_of(values[:look])
        if high - low <= 0.1:
            break
    return low, high


def anytime(values: NDArray[np.float64]) -> tuple[float, float]:
    interval = mean_interval(values, anytime=True)
    return interval.low, interval.high


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.003, 0.03, 0.3])
def test_a_sequence_covers_the_mean_when_one_looks_until_it_is_narrow(probability: float):
    rng = np.random.default_rng(20240614)
    true_mean = 0.98 - 0.88 * probability
    samples = [rare_disasters(rng, LOOKS[-1], probability) for _ in range(300)]
    n_covered = sum(low <= true_mean <= high for low, high in (stopped(anytime, sample) for sample in samples))
    # At most 15 misses on average, with a standard deviation of at most sqrt(300 * 0.05 * 0.95) = 3.8.
    assert n_covered >= 300 - 30
    # One stops with t after 30 trials without a disaster, which has a probability of 0.91, 0.40 or 2e-5.
    n_covered_by_t = sum(low <= true_mean <= high for low, high in (stopped(t_interval, s) for s in samples))
    assert n_covered_by_t < {0.003: 60, 0.03: 210, 0.3: 300}[probability]


@pytest.mark.slow
def test_a_sequence_covers_the_mean_when_one_stops_at_the_worst_moment():
    # The rule that is hardest on it: stop wherever the interval misses. The bound is Ville's, over all looks at once.
    rng = np.random.default_rng(3)
    n_missed = 0
    for _ in range(300):
        values = (rng.random(200) < 0.5).astype(float)
        n_missed += any(not low <= 0.5 <= high for low, high in (anytime(values[:n]) for n in range(10, 201, 10)))
    assert n_missed <= 15 + 15  # four standard deviations of 3.8


@pytest.mark.parametrize("n", [100, 300, 1000])
def test_a_sequence_is_at_most_half_as_wide_again_as_the_interval_of_a_fixed_n(n: int):
    # Ten bettors share the capital: ln(10) more than ln(40) under the root is sqrt(5.99 / 3.69) = 1.27 at most where
    # one of them aims well; the aims are a factor of 2 apart, and 1.5 leaves room for aiming sqrt(2) off.
    rng = np.random.default_rng(8)
    for values in (rng.random(n), rng.random(n) ** 8, rare_disasters(rng, n, 0.1)):
        fixed = mean_interval(values)
        assert mean_interval(values, anytime=True).half_width < 1.5 * fixed.half_width


@pytest.mark.parametrize("n", [5, 40])
def test_a_sequence_is_that_of_a_slow_plain_version(n: int):
    rng = np.random.default_rng(n)
    for x in (rng.random(n), rare_disasters(rng, n, 0.1)):
        kept = [m for m in np.linspace(0.001, 0.999, 999) if max(plain_mixture(x, m), plain_mixture(1 - x, 1 - m)) < 40]
        interval = mean_interval(x, anytime=True)
        assert 0 <= kept[0] - interval.low < 1 / 999
        assert 0 <= interval.high - kept[-1] < 1 / 999


def plain_mixture(x: NDArray[np.float64], m: float) -> float:
    """The most that ten bettors ever had together, who start with a tenth each and aim at 30, 60, 120, … trials."""
    capitals, most = [0.1] * 10, 1.0
    total, squares = 0.5, 0.25
    for t, value in enumerate(x):
        for j in range(10):
            bet = math.sqrt(2 * math.log(40) / (30 * 2**j * squares / (t + 1)))
            capitals[j] *= 1 + min(bet, 0.95 / m) * (value - m)
        most = max(most, sum(capitals))
        total += value
        squares += (value - total / (t + 2)) ** 2
    return most


@given(fractions, st.floats(0.01, 0.99), st.booleans())
def test_the_capital_says_whether_the_interval_leaves_a_mean_out(values: list[float], m: float, anytime: bool):
    interval = mean_interval(values, anytime=anytime)
    p = min(1, 2 * math.exp(-log_capital(values, m, anytime=anytime)))
    assert 0 < p <= 1
    if not interval.low - 2e-6 <= m <= interval.high + 2e-6:
        assert p <= 0.05
    if interval.low + 2e-6 < m < interval.high - 2e-6 and not interval.low <= mean(values) <= interval.low + 2e-6:
        assert p > 0.05 or abs(m - mean(values)) < 1 / len(values)


def test_a_t_interval_does_not_cover_there():
    # With 30 trials no disaster is seen with probability 0.97^30 = 0.40; every value is 0.98 then, the t-interval
    # is empty but for 0.98, and the mean is 0.9536. So at most 60 % of the t-intervals cover: 240 of 400 on
    # average, at most 240 + 4 * 9.8 < 280.
    rng = np.random.default_rng(20240613)
    samples = [rare_disasters(rng, 30, 0.03) for _ in range(400)]
    assert sum(low <= 0.9536 <= high for low, high in map(t_interval, samples)) < 280


def test_the_interval_is_at_most_half_as_wide_again_as_a_t_interval_where_trials_spread_widely():
    # Where the t-interval holds, by the central limit theorem, the price of holding everywhere is ln(2/0.05) for
    # 1.96^2/2 under the root: sqrt(3.69 / 1.92) = 1.39 times its width, less what the running maximum gains.
    rng = np.random.default_rng(7)
    for _ in range(20):
        values = rng.random(300)
        low, high = t_interval(values)
        interval = mean_interval(values)
        assert (interval.high - interval.low) / (high - low) < 1.5


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40])
def test_the_interval_is_that_of_a_slow_plain_version(n: int):
    rng = np.random.default_rng(n)
    for values in (rng.random(n), rng.random(n) ** 8, rare_disasters(rng, n, 0.1), np.full(n, 0.98)):
        low, high = plain_interval(list(values), 500)
        interval = mean_interval(values)
        # The plain version keeps the grid's means that lie inside.
        assert 0 <= low - interval.low < 1 / 500
        assert 0 <= interval.high - high < 1 / 500


def test_ten_perfect_trials_leave_a_tenth_part_of_the_alternatives():
    # All bets are at the cap 0.95/m: the capital is (1 + 0.95 (1/m - 1))^10, which is 2/0.05 = 40 at this m.
    m = 0.95 / (40 ** (1 / 10) - 0.05)
    interval = mean_interval([1.0] * 10)
    assert 0 <= m - interval.low < 1e-6
    assert interval.high == 1


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.98], [0.98, 0.98], [0.1, 0.98]])
def test_one_or_two_trials_say_nothing(values: list[float]):
    interval = mean_interval(values)
    assert (interval.low, interval.high) == (0, 1)


@given(fractions)
def test_the_interval_lies_in_0_to_1_and_holds_the_sample_mean(values: list[float]):
    interval = mean_interval(values)
    assert 0 <= interval.low <= mean(values) <= interval.high <= 1


@given(fractions)
def test_the_interval_of_the_opposite_is_the_mirror_image(values: list[float]):
    interval, mirrored = mean_interval(values), mean_interval([1 - value for value in values])
    # A value's opposite is rounded, which moves an end by a step of 1e-6 at most.
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1.5e-6)
    assert mirrored.high == pytest.approx(1 - interval.low, abs=1.5e-6)


def test_more_confidence_is_a_wider_interval():
    values = np.random.default_rng(5).random(100)
    intervals = [mean_interval(values, confidence=confidence) for confidence in (0.5, 0.9, 0.95, 0.99, 0.999)]
    widths = [interval.high - interval.low for interval in intervals]
    assert widths == sorted(set(widths))


def test_a_sample_that_rejects_its_own_mean_in_passing_still_holds_it():
    rising = [1.0] * 150 + [0.0] * 150
    assert mean_interval(rising).low == 0.5


def test_ends_are_multiples_of_a_millionth():
    interval = mean_interval(np.random.default_rng(3).random(50))
    assert (interval.low, interval.high) == (round(interval.low, 6), round(interval.high, 6))


@pytest.mark.parametrize("values", [[], [1.1], [-0.1], [math.nan], [[0.5]]])
def test_what_is_no_fraction_has_no_interval(values: list[float]):
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_a_probability(confidence: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([0.5], confidence=confidence)


@given(st.permutations([0.1] * 10 + [0.7, 1e-9, 1.0]))
def test_the_mean_is_exact_in_any_order(values: list[float]):
    assert mean([0.1] * 10) == 0.1
    assert mean(values) == mean(sorted(values))


@given(fractions, st.floats(0, 1))
def test_quantiles_are_those_of_pandas(values: list[float], q: float):
    assert quantile(values, q) == pytest.approx(pd.Series(values).quantile(q), abs=1e-12)
