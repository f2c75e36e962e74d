import math
from collections.abc import Callable, Sequence
from itertools import product
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from faultbench.results.stats import mean, mean_interval, mean_intervals, one_sided_p_values, quantile
from faultbench.results.stats.fixed_bets import rejections

fractions = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def plain_rejects(values: Sequence[float], m: float, level: float) -> bool:
    """Whether the bets of `fixed_bets`, one number at a time, reject at this level that the mean is at most m."""
    normal = NormalDist()
    goal = normal.cdf(0.5)
    hedged, capped = 0.95 * level * goal, 0.05 * level * goal
    total, squares = 0.5, 0.5
    for i, x in enumerate(values):
        mean_before = total / (i + 1)
        share = min(1.0, (squares / (i + 1) - mean_before**2) / (mean_before * (1 - mean_before)))
        width = max(math.sqrt(share * m * (1 - m) * (len(values) - i)), 0.5 * (1 - m))
        hedged += min(0.99 * hedged / m, normal.pdf(normal.inv_cdf(hedged)) / width) * (x - m)
        capped += 0.99 * capped / m * (x - m)
        if hedged + capped >= goal:
            return True
        total, squares = total + x, squares + x * x
    return False


def plain_interval(values: Sequence[float], m_steps: int) -> tuple[float, float]:
    """The first and the last mean of a grid that neither side rejects."""
    opposite = [1 - x for x in values]
    kept = [
        m
        for m in np.linspace(0, 1, m_steps + 1)[1:-1]
        if not plain_rejects(values, m, 0.025) and not plain_rejects(opposite, 1 - m, 0.025)
    ]
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


def p_of(values: Sequence[float], m: float, *, anytime: bool = False) -> float:
    """The two-sided p-value of a mean of m."""
    samples = [values, [1 - x for x in values]]
    return min(1.0, 2 * min(one_sided_p_values(samples, [m, 1 - m], anytime=anytime)))


@given(fractions, st.floats(0.01, 0.99), st.booleans())
def test_the_p_value_says_whether_the_interval_leaves_a_mean_out(values: list[float], m: float, anytime: bool):
    interval, p = mean_interval(values, anytime=anytime), p_of(values, m, anytime=anytime)
    assert 0 < p <= 1
    if not interval.low - 2e-6 <= m <= interval.high + 2e-6:
        assert p <= 0.05
    if interval.low + 2e-6 < m < interval.high - 2e-6 and not interval.low <= mean(values) <= interval.low + 2e-6:
        assert p > 0.05 or abs(m - mean(values)) < 1 / len(values)


@pytest.mark.parametrize("m", [0.02, 0.3, 0.5, 0.7, 0.98])
@pytest.mark.parametrize("level", [0.001, 0.025, 0.3])
def test_a_true_mean_is_rejected_with_at_most_the_probability_of_the_level(m: float, level: float):
    # Over every outcome of 12 trials that are 0 or 1, and over those of 0, 1/2 or 1 of the same mean.
    for support, law in (((0.0, 1.0), (1 - m, m)), ((0.0, 0.5, 1.0), ((1 - m) / 2, 0.5, m / 2))):
        law = law if len(support) == 2 else tuple(spread_law(m))
        n = 12 if len(support) == 2 else 7
        outcomes = list(product(range(len(support)), repeat=n))
        samples = [np.array([support[k] for k in outcome]) for outcome in outcomes]
        rejected = rejections(samples, [m] * len(samples), [level] * len(samples))
        likely = [math.prod(law[k] for k in outcome) for outcome in outcomes]
        assert sum(likely) == pytest.approx(1)
        assert sum(p for p, is_rejected in zip(likely, rejected, strict=True) if is_rejected) <= level * (1 + 1e-9)


def spread_law(m: float) -> tuple[float, float, float]:
    """Probabilities of 0, 1/2 and 1 with a mean of m, a fifth of the smaller side at 1/2."""
    half = min(m, 1 - m) / 5
    return 1 - m - half / 2, half, m - half / 2


@given(fractions, st.floats(0.01, 0.98), st.floats(1e-9, 0.5), st.floats(0, 1))
def test_smaller_means_and_larger_levels_are_rejected_with_it(values: list[float], m: float, level: float, part: float):
    sample = np.array(values)
    pairs = [(m, level), (m * (1 - part), level), (m, level ** (1 - part))]
    asked, less, bolder = rejections([sample] * 3, [max(1e-9, mean) for mean, _ in pairs], [at for _, at in pairs])
    if asked:
        assert less
        assert bolder


def test_many_samples_together_have_the_intervals_that_each_has_alone():
    rng = np.random.default_rng(11)
    samples = [rng.random(n) ** power for n in (1, 2, 17, 100, 230) for power in (0.2, 1, 9)]
    assert mean_intervals(samples) == [mean_interval(sample) for sample in samples]
    assert mean_intervals([]) == []


def test_trials_that_agree_have_a_narrow_interval():
    # Bets on growth, which aim at no number of trials, give [0.950, 1] here.
    interval = mean_interval([0.988] * 100)
    assert interval.low > 0.9515
    assert interval.high < 0.989


@pytest.mark.parametrize(("n", "n_lost", "most"), [(100, 5, 0.052), (300, 3, 0.0156), (300, 15, 0.0276)])
def test_a_few_disasters_widen_it_by_no_more_than_they_did(n: int, n_lost: int, most: float):
    rng = np.random.default_rng(12)
    widths = [mean_interval(rng.permutation([0.98] * (n - n_lost) + [0.0] * n_lost)).half_width for _ in range(20)]
    # Betting on growth gives 0.0627, 0.0174 and 0.0359.
    assert np.median(widths) < most


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


def test_ten_perfect_trials_leave_out_the_means_worked_by_hand():
    # Near the end of the interval every bet is at the cap 0.99/m: p is multiplied by (1 + 0.99 (1/m - 1))^10, from
    # 0.025 g to g, which is 40 times as much.
    m = 0.99 / (40 ** (1 / 10) - 0.01)
    interval = mean_interval([1.0] * 10)
    assert interval.low == pytest.approx(m, abs=0.02)
    assert interval.low <= m
    assert interval.high == 1


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.98], [0.98, 0.98], [0.1, 0.98]])
def test_one_or_two_trials_say_next_to_nothing(values: list[float]):
    interval = mean_interval(values)
    assert interval.low < 0.06
    assert interval.high > 0.99


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
