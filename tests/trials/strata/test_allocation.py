"""Which trials are wanted next hangs on the recorded rows and on nothing else."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.campaign.stopping_rule import Rule, Until
from faultbench.results.journal.records import Trial
from faultbench.results.missing_trials import missing, wanted
from faultbench.results.stats import mean_interval
from results import a_trial

RULE = Rule(100, 10, Until(accuracy_halfwidth=0.15))
"""Looks after 10, 15, 23, 35, 53, 80 and 100 trials."""


def outcomes(seed: int, n: int = 100) -> dict[tuple[str, int], Trial]:
    n_correct = np.random.default_rng(seed).integers(0 if seed % 2 else 150, 201, size=n)
    return {("a", k): a_trial(cell="a", trial=k, n_correct=int(right)) for k, right in enumerate(n_correct)}


def known(trials: dict[tuple[str, int], Trial], n: int) -> dict[tuple[str, int], Trial]:
    return {key: trial for key, trial in trials.items() if key[1] < n}


def test_the_first_look_comes_first():
    assert wanted(RULE, "a", {}) == 10
    assert list(missing(RULE, "a", {})) == list(range(10))


@pytest.mark.parametrize("seed", range(6))
def test_a_cell_ends_at_the_first_look_whose_interval_is_narrow_enough(seed: int):
    trials = outcomes(seed)
    accuracies = [trial.n_correct / 200 for trial in trials.values()]
    narrow = [look for look in RULE.looks if mean_interval(accuracies[:look], anytime=True).half_width <= 0.15]
    assert wanted(RULE, "a", trials) == min(narrow, default=100)


@given(st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_where_a_cell_ends_does_not_hang_on_how_its_trials_came_in(seed: int, order: random.Random):
    trials, rows = outcomes(seed), {}
    while lacking := list(missing(RULE, "a", rows)):
        for number in order.sample(lacking, order.randint(1, len(lacking))):
            rows["a", number] = trials["a", number]
    n_wanted = wanted(RULE, "a", trials)
    assert rows == known(trials, n_wanted)


def test_a_cell_between_two_looks_wants_what_the_next_one_needs():
    trials = outcomes(1)
    assert list(missing(RULE, "a", known(trials, 12))) == [12, 13, 14]
    del trials["a", 4]
    assert list(missing(RULE, "a", known(trials, 12))) == [4]


def test_trials_of_other_cells_do_not_count():
    assert wanted(RULE, "b", outcomes(0)) == 10


def test_a_limit_ends_a_cell_early():
    assert list(missing(RULE, "a", known(outcomes(1), 12), limit=14)) == [12, 13]
    assert list(missing(Rule(5), "a", {}, limit=2)) == [0, 1]


def test_a_fixed_number_wants_just_that():
    assert wanted(Rule(7), "a", {}) == wanted(Rule(7), "a", outcomes(0)) == 7
    assert list(missing(Rule(7), "a", known(outcomes(0), 3))) == [3, 4, 5, 6]
