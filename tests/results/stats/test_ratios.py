"""Intervals of a ratio of means: they hold, and they are those of the mean where nothing is left out."""

import numpy as np
import pytest

from faultbench.results.stats import mean_interval, ratio_interval


def test_the_interval_holds_the_ratio_where_most_trials_end_as_due():
    # In four of five trials all images are DUE; of the others, one in ten is 0.1 right and the rest 0.9.
    rng, n_held, ratio = np.random.default_rng(1), 0, 0.9 * 0.9 + 0.1 * 0.1
    for _ in range(200):
        is_due, is_bad = rng.random(100) < 0.8, rng.random(100) < 0.1
        correct = np.where(is_due, 0.0, np.where(is_bad, 0.1, 0.9))
        found = ratio_interval(correct, 1.0 - is_due)
        n_held += found.low <= ratio <= found.high
    assert n_held >= 200 - 10 - 12  # four standard deviations of 3.1


def test_without_due_it_is_nearly_the_interval_of_the_mean():
    correct = 0.7 + 0.2 * np.random.default_rng(2).random(200)
    found, plain = ratio_interval(correct, np.ones(200)), mean_interval(correct)
    assert found.low == pytest.approx(plain.low, abs=0.02)
    assert found.high == pytest.approx(plain.high, abs=0.02)


def test_one_due_in_ten_trials_hardly_moves_it():
    correct, finite = np.tile([0.9, 0.8, 0.9, 0.85, 0.0], 40), np.tile([1.0, 1.0, 1.0, 1.0, 0.0], 40)
    found = ratio_interval(correct, finite)
    assert found.low < 3.45 / 4 < found.high
    assert found.half_width < 0.05


def test_trials_that_are_all_due_say_nothing():
    found = ratio_interval(np.zeros(20), np.zeros(20))
    assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(("correct", "finite"), [([0.5], [0.4]), ([], []), ([0.5], [1.0, 1.0]), ([0.1], [1.5])])
def test_what_is_no_ratio_is_refused(correct: list[float], finite: list[float]):
    with pytest.raises(ValueError, match="a ratio needs"):
        ratio_interval(correct, finite)
