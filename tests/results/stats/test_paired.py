import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.results.stats import holm, mean_difference, mean_interval

fractions = st.floats(0, 1)
pairs = st.lists(st.tuples(fractions, fractions), min_size=1, max_size=50)


def test_the_interval_covers_a_difference_that_rare_disasters_make():
    # The second network loses 0.9 in 3 % of the trials in which the first stays whole.
    rng = np.random.default_rng(5)
    n_covered = 0
    for _ in range(400):
        first = rng.choice([0.98, 0.95], 60)
        found = mean_difference(first, first - 0.9 * (rng.random(60) < 0.03))
        n_covered += found.interval.low <= -0.027 <= found.interval.high
    # At most 20 misses on average with a standard deviation of 4.4.
    assert n_covered >= 400 - 38


@pytest.mark.parametrize("anytime", [False, True])
def test_p_is_seldom_small_where_there_is_no_difference(anytime: bool):
    rng = np.random.default_rng(6)
    n_small = 0
    for _ in range(400):
        # Lopsided differences of mean 0: -0.9 in a tenth of the trials, else +0.1; a sign-flip test would not hold.
        first = np.full(80, 0.9)
        lost = rng.random(80) < 0.1
        n_small += mean_difference(first, np.where(lost, 0.0, 1.0), anytime=anytime).p <= 0.05
    assert n_small <= 20 + 18


def test_a_difference_is_worked_by_hand():
    found = mean_difference([0.5, 0.9], [0.6, 0.8])
    assert found.mean == pytest.approx(0)
    interval = mean_interval([0.55, 0.45])
    assert (found.interval.low, found.interval.high) == (2 * interval.low - 1, 2 * interval.high - 1)
    # Variances 0.04 and 0.01 of the trials, 0.01 of their differences.
    assert found.variance_ratio == pytest.approx(5)
    assert found.p == 1


def test_a_clear_difference_has_the_p_worked_by_hand():
    # One pair: the bet is at the cap, a factor of 1 + 0.99 / 0.5 * (1 - 0.5), and there are two sides.
    assert mean_difference([0.0], [1.0]).p == 1
    # Seven pairs: less than if all bets were at the cap, and not much.
    assert 2 / 1.99**7 < mean_difference([0.0] * 7, [1.0] * 7).p < 1.3 * 2 / 1.99**7


@given(pairs)
def test_the_other_way_round_is_the_mirror_image(trials: list[tuple[float, float]]):
    first, second = zip(*trials, strict=True)
    there, back = mean_difference(first, second), mean_difference(second, first)
    assert there.mean == pytest.approx(-back.mean)
    assert there.interval.low == pytest.approx(-back.interval.high, abs=3e-6)
    assert there.p == pytest.approx(back.p)


def test_pairing_saves_what_trials_share_and_nothing_where_they_share_nothing():
    rng = np.random.default_rng(7)
    shared, own = rng.random(4000), rng.random(4000)
    assert mean_difference(shared, 0.5 * shared).variance_ratio == pytest.approx(1.25 / 0.25, rel=1e-9)
    assert mean_difference(shared, own).variance_ratio == pytest.approx(1, abs=0.1)
    assert mean_difference(shared / 2, shared / 2 + 0.1).variance_ratio == math.inf
    assert math.isnan(mean_difference([0.5, 0.5], [0.4, 0.4]).variance_ratio)


def test_trials_without_partners_are_refused():
    with pytest.raises(ValueError, match="in pairs"):
        mean_difference([0.5, 0.5], [0.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_correction_of_a_slow_plain_version(p_values: list[float]):
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    plain = {
        index: max(min(1, (n - k) * p_values[order[k]]) for k in range(rank + 1)) for rank, index in enumerate(order)
    }
    assert holm(p_values) == [plain[index] for index in range(n)]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
