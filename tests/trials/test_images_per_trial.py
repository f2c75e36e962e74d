"""The best number of images per trial follows from two variances and the cost of a trial."""

import numpy as np
import pytest

from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.results.journal.records import Trial
from faultbench.trials.images_per_trial import FEWEST, MOST, choose_n_images, trial_overhead_images
from tests.builders.results import a_golden, a_trial

GOLDEN = a_golden(n_images=1000, n_correct=1000)


def trials(accuracies: np.ndarray, *, seed: int = 0, n_images: int = 16) -> list[Trial]:
    """Trials whose images are right by chance, each with its own accuracy."""
    n_correct = np.random.default_rng(seed).binomial(n_images, accuracies)
    return [
        a_trial(
            n_images=n_images, n_correct=k, n_masked=k, n_sdc=n_images - k, n_sdc_critical=n_images - k, n_due=0,
            n_golden_correct=n_images, n_due_critical=0,
        )
        for k in n_correct.tolist()
    ]  # fmt: skip


def chosen(accuracies: np.ndarray, cost: float, **options: int) -> int:
    return choose_n_images(trials(accuracies, **options), GOLDEN, overhead_images=cost)


HALVES = np.repeat([0.9, 0.1], 200)
"""σ_b² = 0.16 and σ_w² = 0.09: m = √(0.5625 c)."""


@pytest.mark.parametrize(("cost", "expected"), [(1, 4), (114, 8), (455, 16), (1820, 32)])
def test_the_optimum_is_found_to_the_next_power_of_two(cost: float, expected: int):
    assert chosen(HALVES, cost) == expected


def test_trials_that_are_all_or_nothing_need_the_fewest_images():
    assert chosen(np.repeat([1.0, 0.0], 20), 50) == FEWEST


def test_trials_that_are_all_alike_pay_for_many():
    assert chosen(np.full(400, 0.5), 20) >= 64
    assert chosen(np.full(400, 0.5), 1e9) == MOST


def test_a_pilot_of_too_few_trials_is_refused():
    with pytest.raises(ValueError, match="pilot"):
        chosen(np.ones(N_PILOT - 1), 10)


def test_more_work_an_image_makes_a_trial_cheaper_in_images():
    small = trial_overhead_images(n_steps=10, macs=10**6, n_weights=10**4)
    large = trial_overhead_images(n_steps=10, macs=10**9, n_weights=10**4)
    assert small == pytest.approx(1000 * large)
    assert trial_overhead_images(n_steps=10, macs=10**9, n_weights=10**8) > 10 * large
