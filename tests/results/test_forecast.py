import math

import numpy as np
import pytest

from faultbench.campaign.stopping_rule import StoppingRule, StoppingTarget
from faultbench.results.forecast import N_ENOUGH, forecast
from faultbench.results.stats import mean_interval


def test_recorded_trials_are_repeated_up_to_the_number_asked_for():
    recorded = list(np.random.default_rng(1).random(20))
    found = forecast(StoppingRule(50), recorded)
    assert (found.n_trials, found.n_known) == (50, 20)
    assert found.half_width == mean_interval([*recorded, *recorded, *recorded[:10]]).half_width


def test_a_campaign_that_is_done_gets_the_interval_it_has():
    recorded = list(np.random.default_rng(2).random(40))
    assert forecast(StoppingRule(40), recorded).half_width == mean_interval(recorded).half_width


def test_the_worst_case_is_about_as_wide_as_the_largest_variance_makes_it():
    found = forecast(StoppingRule(1000), [])
    assert found.n_known == 0
    # A standard deviation of 1/2: an interval for normal sums would be 1.96/2/sqrt(n) wide, betting on growth
    # sqrt(2 ln(2/0.05)) for 1.96.
    assert 1.96 / 2 / math.sqrt(1000) < found.half_width < math.sqrt(2 * math.log(40) / 1000) / 2
    rng = np.random.default_rng(3)
    for values in (rng.random(1000), rng.random(1000) < 0.3, rng.random(1000) ** 9):
        assert mean_interval(values.astype(float)).half_width < found.half_width


def test_a_few_trials_do_not_speak_for_the_rest():
    assert forecast(StoppingRule(100), [0.99] * (N_ENOUGH - 1)).n_known == 0
    assert forecast(StoppingRule(100), [0.99] * N_ENOUGH).n_known == N_ENOUGH


@pytest.mark.parametrize("recorded", [[], [0.98] * 30, [0.98] * 27 + [0.1] * 3])
def test_so_many_more_trials_halve_it_and_a_tenth_fewer_do_not(recorded: list[float]):
    found = forecast(StoppingRule(100), recorded)
    assert found.n_more is not None
    n_halved = 100 + found.n_more
    goal = found.half_width / 2
    assert forecast(StoppingRule(n_halved), recorded).half_width <= goal
    assert forecast(StoppingRule(math.floor(n_halved / 1.1) - 1), recorded).half_width > goal


def test_where_the_variance_decides_halving_takes_four_times_the_trials():
    found = forecast(StoppingRule(1000), [])
    assert found.n_more == pytest.approx(3000, rel=0.15)


def test_an_adaptive_cell_is_expected_to_end_at_the_look_that_reaches_its_goal():
    rule = StoppingRule(1000, 30, StoppingTarget(accuracy_halfwidth=0.05))
    found = forecast(rule, [0.98] * 12)
    assert found.n_trials in rule.looks
    assert found.half_width == mean_interval([0.98] * found.n_trials, anytime=True).half_width <= 0.05
    before = rule.looks[rule.looks.index(found.n_trials) - 1]
    assert mean_interval([0.98] * before, anytime=True).half_width > 0.05


def test_an_adaptive_cell_that_cannot_reach_its_goal_takes_all_its_trials():
    found = forecast(StoppingRule(60, 30, StoppingTarget(accuracy_halfwidth=0.01)), [])
    assert found.n_trials == 60
    assert found.half_width > 0.01
