"""A drop against a margin: false alarms as rare as promised, power where there is something to find."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.results.stats import margin_test, n_to_decide

fractions = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=40)


def test_one_trial_gives_the_p_value_worked_by_hand():
    # h = (1 + 1 - 0)/2 = 1 and m = 1/2. The bet is at the cap 0.99/m = 1.98, a factor of 1 + 1.98/2.
    found = margin_test([1.0], [0.0], 0.0)
    assert found.p_within == pytest.approx(1 / 1.99, rel=0.003)
    assert found.p_beyond == 1


@given(first=fractions, data=st.data(), margin=st.floats(0, 0.5))
def test_first_and_second_changed_round_change_sides_at_margin_0(
    first: list[float], data: st.DataObject, margin: float
):
    second = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(first), max_size=len(first)))
    one, other = margin_test(first, second, 0.0), margin_test(second, first, 0.0)
    assert one.p_within == pytest.approx(other.p_beyond)
    # The wider the margin, the harder to show that it is passed, and the easier that it is kept.
    wide = margin_test(first, second, margin)
    assert wide.p_within >= one.p_within - 1e-12
    assert wide.p_beyond <= one.p_beyond + 1e-12


@pytest.mark.parametrize("anytime", [False, True])
@pytest.mark.parametrize("kind", ["rare disasters", "noise"])
def test_a_drop_of_just_the_margin_is_an_alarm_in_at_most_5_percent_of_the_runs(kind: str, anytime: bool):
    # 400 runs at a chance of ≤ 0.05 each: P(Bin(400, 0.05) > 38) < 1e-4.
    rng, margin, n_within, n_beyond = np.random.default_rng(7), 0.1, 0, 0
    for _ in range(400):
        if kind == "noise":
            first, second = 0.5 + 0.4 * rng.random(60), 0.4 + 0.4 * rng.random(60)
        else:
            first, second = np.ones(60), 1.0 - (rng.random(60) < 0.1)
        found = margin_test(first, second, margin, anytime=anytime)
        n_within += found.p_within <= 0.05
        n_beyond += found.p_beyond <= 0.05
    assert max(n_within, n_beyond) <= 38


def test_a_drop_beyond_the_margin_is_found_and_one_within_is_shown():
    rng = np.random.default_rng(8)
    first = 0.7 + 0.1 * rng.random(200)
    worse, same = first - 0.2 + 0.02 * rng.random(200), first + 0.02 * rng.random(200)
    assert margin_test(first, worse, 0.05).p_within < 1e-6
    assert margin_test(first, same, 0.05).p_beyond < 0.01


def test_as_many_trials_as_it_is_said_to_take_do_decide():
    first, second = [0.9, 0.8, 0.7] * 10, [0.9, 0.79, 0.7] * 10
    assert margin_test(first, second, 0.02).p_beyond > 0.05
    n_needed = n_to_decide(first, second, 0.02)
    assert n_needed is not None
    repeated = [np.resize(np.array(values), n_needed) for values in (first, second)]
    assert margin_test(*repeated, 0.02).p_beyond <= 0.05
    fewer = [values[: math.floor(n_needed / 1.1) - 1] for values in repeated]
    assert margin_test(*fewer, 0.02).p_beyond > 0.05


def test_no_number_of_trials_tells_a_drop_that_is_the_margin():
    assert n_to_decide([1.0, 0.0] * 10, [0.75, 0.25] * 10, 0.0) is None


def test_more_tests_at_once_take_more_trials_to_find_a_regression():
    first, second = [0.9] * 10, [0.8] * 10
    alone, together = (n_to_decide(first, second, 0.0, n_tests=n) for n in (1, 20))
    assert alone is not None
    assert together is not None
    assert alone < together


def test_small_losses_of_all_pairs_are_shown_by_few_if_none_can_gain_much():
    first = np.full(100, 0.9)
    assert margin_test(first, first - 0.02, 0.0).p_within > 0.05
    shown = [margin_test(first[:n], first[:n] - 0.02, 0.0, max_gain=0.1).p_within <= 0.05 for n in (20, 24)]
    assert shown == [False, True]
    assert n_to_decide(first[:10], first[:10] - 0.02, 0.0, max_gain=0.1) <= 26
    with pytest.raises(ValueError, match="a pair gains"):
        margin_test([0.5, 0.5], [0.4, 0.7], 0.0, max_gain=0.1)
    with pytest.raises(ValueError, match="a largest gain"):
        margin_test([0.5], [0.5], 0.0, max_gain=0.0)


@pytest.mark.parametrize(("n_pairs", "least", "most"), [(100, 0.02, 0.12), (300, 0.8, 0.93)])
def test_the_power_to_find_a_memory_in_twenty_that_loses_half_is_as_the_manual_says(
    n_pairs: int, least: float, most: float
):
    rng, first, n_found = np.random.default_rng(9), np.full(n_pairs, 0.9), 0
    for _ in range(200):
        n_found += margin_test(first, first - 0.5 * (rng.random(n_pairs) < 0.05), 0.005).p_within <= 0.05
    assert least < n_found / 200 < most


def test_no_false_alarm_is_more_frequent_if_the_gain_is_known():
    # Pairs gain 0.1 in nine of ten and lose 0.9 in one: a mean drop of exactly 0.
    rng, first, n_alarms = np.random.default_rng(10), np.full(60, 0.9), 0
    for _ in range(400):
        second = np.where(rng.random(60) < 0.1, 0.0, 1.0)
        n_alarms += margin_test(first, second, 0.0, max_gain=0.1).p_within <= 0.05
    assert n_alarms <= 38


def test_pairs_and_margins_that_are_none_are_refused():
    with pytest.raises(ValueError, match="in pairs"):
        margin_test([0.5], [0.5, 0.5], 0.1)
    for margin in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="a margin must be"):
            margin_test([0.5], [0.5], margin)
