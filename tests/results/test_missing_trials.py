"""Which trials are wanted next hangs on the recorded rows and on nothing else."""

import random
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.campaign.stopping_rule import StoppingRule, StoppingTarget
from faultbench.results.journal.records import Trial
from faultbench.results.journal.trial_columns import TrialColumns
from faultbench.results.missing_trials import n_lacking, trials_wanted
from faultbench.results.stats import mean_interval
from tests.builders.results import a_trial

RULE = StoppingRule(100, 10, StoppingTarget(accuracy_halfwidth=0.15))
"""Looks after 10, 15, 23, 35, 53, 80 and 100 trials."""


def outcomes(seed: int, n: int = 100) -> list[Trial]:
    n_correct = np.random.default_rng(seed).integers(0 if seed % 2 else 150, 201, size=n)
    return [a_trial(cell="a", trial=k, n_correct=int(right)) for k, right in enumerate(n_correct)]


def missing(rule: StoppingRule, known: Sequence[Trial]) -> list[int]:
    return sorted({*range(trials_wanted(rule, known))} - {trial.trial for trial in known})


def test_the_first_look_comes_first():
    assert trials_wanted(RULE, []) == 10


@pytest.mark.parametrize("seed", range(6))
def test_a_cell_ends_at_the_first_look_whose_interval_is_narrow_enough(seed: int):
    trials = outcomes(seed)
    accuracies = [trial.n_correct / 200 for trial in trials]
    narrow = [look for look in RULE.looks if mean_interval(accuracies[:look], anytime=True).half_width <= 0.15]
    assert trials_wanted(RULE, trials) == trials_wanted(RULE, TrialColumns.of(trials)) == min(narrow, default=100)


@given(st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_where_a_cell_ends_does_not_hang_on_how_its_trials_came_in(seed: int, order: random.Random):
    trials, rows = outcomes(seed), list[Trial]()
    while lacking := missing(RULE, rows):
        rows += [trials[number] for number in order.sample(lacking, order.randint(1, len(lacking)))]
        rows.sort(key=lambda trial: trial.trial)
    assert rows == trials[: trials_wanted(RULE, trials)]


def test_a_cell_between_two_looks_wants_what_the_next_one_needs():
    trials = outcomes(1)
    assert missing(RULE, trials[:12]) == [12, 13, 14]
    assert missing(RULE, trials[:4] + trials[5:12]) == [4]


def test_a_fixed_number_wants_just_that():
    assert trials_wanted(StoppingRule(7), []) == trials_wanted(StoppingRule(7), outcomes(0)) == 7


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_what_a_cell_lacks_is_counted_by_number(known: set[int], given_up: set[int], n_wanted: int):
    trials = [a_trial(cell="a", trial=number) for number in sorted(known)]
    assert n_lacking(n_wanted, trials, given_up - known) == len({*range(n_wanted)} - known - given_up)


@pytest.mark.parametrize(
    "rule",
    [
        StoppingRule(10**9),
        StoppingRule(10**9, 30, StoppingTarget(accuracy_halfwidth=1e-6)),
        StoppingRule(10**9, n_pilot=30),
    ],
)
def test_a_billion_trials_are_counted_as_fast_as_a_hundred(rule: StoppingRule):
    started_s = time.perf_counter()
    for seed in range(20):
        n_wanted = trials_wanted(rule, outcomes(seed))
        assert n_lacking(n_wanted, outcomes(seed), [150]) == n_wanted - 100 - (n_wanted > 150)
    assert time.perf_counter() - started_s < 10  # a pass over a billion numbers takes longer than that
