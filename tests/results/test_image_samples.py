"""What a trial over some of the images says is right in the mean, and exact over all of them."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.results.image_samples import fraction, fractions, trial_accuracy, within_variance
from faultbench.results.journal.records import Golden, Trial
from faultbench.trials.image_choice import stratum_sizes
from tests.builders.results import a_golden, a_trial

ENDS = ("kept", "critical", "due", "wrong as before", "mended", "wrong otherwise", "due of wrong")
"""What can become of an image: of one that the golden run has right, then of one that it has wrong."""


def trial_of(ends: list[str]) -> Trial:
    count = {end: ends.count(end) for end in ENDS}
    return a_trial(
        n_images=len(ends),
        n_correct=count["kept"] + count["mended"],
        n_masked=count["kept"] + count["wrong as before"],
        n_sdc=count["critical"] + count["mended"] + count["wrong otherwise"],
        n_sdc_critical=count["critical"],
        n_due=count["due"] + count["due of wrong"],
        n_golden_correct=sum(count[end] for end in ENDS[:3]),
        n_due_critical=count["due"],
    )


def golden_of(ends: list[str]) -> Golden:
    return a_golden(n_images=len(ends), n_correct=sum(end in ENDS[:3] for end in ends))


def every_sample(ends: list[str], n_images: int) -> list[Trial]:
    right = [end for end in ends if end in ENDS[:3]]
    wrong = [end for end in ends if end not in ENDS[:3]]
    n_right, n_wrong = stratum_sizes(len(right), len(wrong), n_images)
    return [
        trial_of([*some, *others]) for some in combinations(right, n_right) for others in combinations(wrong, n_wrong)
    ]


IMAGES = ["kept", "kept", "kept", "critical", "critical", "due", "wrong as before", "mended", "due of wrong"]
COUNTS = {"n_correct": 4, "n_masked": 4, "n_sdc": 3, "n_sdc_critical": 2, "n_due": 2}


@pytest.mark.parametrize("n_images", [2, 3, 5, 8])
@pytest.mark.parametrize("count", COUNTS)
def test_the_mean_over_every_sample_there_is_is_what_all_images_say(count: str, n_images: int):
    golden = golden_of(IMAGES)
    estimates = [fraction(trial, golden, count) for trial in every_sample(IMAGES, n_images)]
    assert np.mean(estimates) == pytest.approx(COUNTS[count] / 9, abs=1e-12)


@pytest.mark.parametrize("n_images", [6, 8])
def test_the_mean_estimated_variance_over_every_sample_is_the_variance_of_the_estimates(n_images: int):
    """Both strata give two images or more here, so that nothing is left out."""
    golden, samples = golden_of(IMAGES), every_sample(IMAGES, n_images)
    estimated = np.mean([within_variance(trial, golden) for trial in samples])
    assert estimated == pytest.approx(np.var([trial_accuracy(trial, golden) for trial in samples]), abs=1e-12)


@given(st.lists(st.sampled_from(ENDS), min_size=2, max_size=30))
def test_over_all_images_a_sample_says_what_they_do(ends: list[str]):
    trial, golden = trial_of(ends), golden_of(ends)
    for count in COUNTS:
        assert fraction(trial, golden, count) == pytest.approx(getattr(trial, count) / len(ends), abs=1e-12)
    assert within_variance(trial, golden) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.sampled_from(ENDS), min_size=2, max_size=30), st.integers(1, 500), st.integers(1, 500))
def test_estimates_are_fractions(ends: list[str], n_right: int, n_wrong: int):
    golden = a_golden(n_images=n_right + n_wrong, n_correct=n_right)
    assert all(0 <= fraction(trial_of(ends), golden, count) <= 1 for count in COUNTS)


@given(st.integers(2, 40), st.integers(3, 999))
def test_a_harmless_trial_measures_the_golden_accuracy_whatever_its_images(n_images: int, n_correct: int):
    golden = a_golden(n_images=1000, n_correct=n_correct)
    n_right, n_wrong = stratum_sizes(n_correct, 1000 - n_correct, n_images)
    harmless = trial_of(["kept"] * n_right + ["wrong as before"] * n_wrong)
    assert trial_accuracy(harmless, golden) == pytest.approx(n_correct / 1000, abs=1e-15)
    assert within_variance(harmless, golden) == 0


def test_a_trial_over_all_images_needs_no_golden_run():
    assert trial_accuracy(a_trial(n_correct=150), None) == 0.75
    assert within_variance(a_trial(n_correct=150), None) == 0


def test_a_sample_without_its_golden_run_means_nothing():
    with pytest.raises(ValueError, match="golden run"):
        trial_accuracy(trial_of(IMAGES), None)


@pytest.mark.parametrize("count", COUNTS)
def test_together_trials_say_what_each_says_alone(count: str):
    golden, sampled = golden_of(IMAGES), every_sample(IMAGES, 5)[:20]
    plain = [replace(trial, n_golden_correct=None, n_due_critical=None) for trial in sampled]
    for trials in (sampled, plain, [*plain, *sampled]):
        assert fractions(trials, golden, count).tolist() == [fraction(trial, golden, count) for trial in trials]
