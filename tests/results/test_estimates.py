"""What stratified trials say: intervals that hold whatever strata expect, and plain trials unchanged."""

from typing import Any

import numpy as np
import pytest

from faultbench.campaign.stopping_rule import AdaptiveTrials, StoppingRule, StoppingTarget
from faultbench.results import stats
from faultbench.results.estimates import MeanEstimate, accuracies, estimate_mean, within_variances
from faultbench.results.journal.strata import TOTAL, Strata
from tests.builders.results import a_golden, a_trial, some_strata

GOLDEN = a_golden()
UNTIL = AdaptiveTrials(max=300, min=30, until=StoppingTarget(accuracy_halfwidth=0.03))


def of_strata(strata: Strata, rng: np.random.Generator, n_trials: int, disasters: tuple[float, ...]) -> MeanEstimate:
    """Trials most of which are harmless; of each stratum a fraction loses 60 % to 100 % of the images."""
    found = rng.choice(len(strata.first), size=n_trials, p=np.array(strata.drawn) / TOTAL)
    lost = np.where(rng.random(n_trials) < np.array(disasters)[found], rng.uniform(0.6, 1, n_trials), 0.0)
    wrong = np.rint(196 * lost).astype(int)
    return accuracies([a_loss(int(n), int(j)) for n, j in zip(wrong, found, strict=True)], GOLDEN, strata)


def a_loss(wrong: int, stratum: int, **changes: Any):
    counts = {"n_correct": 196 - wrong, "n_masked": 200 - wrong, "n_sdc": wrong, "n_sdc_critical": wrong, "n_due": 0}
    return a_trial(stratum=stratum, **counts, **changes)


def mean_of(strata: Strata, disasters: tuple[float, ...]) -> float:
    """Disasters lose 80 % of what the golden run has right, in the mean."""
    right = GOLDEN.n_correct / GOLDEN.n_images
    losses = sum(share * often for share, often in zip(strata.share, disasters, strict=True))
    return right * (1 - 0.8 * losses)


RARE = (0.004, 0.4)
"""Disasters that hide in the stratum of which nothing is expected."""


@pytest.mark.parametrize("n_trials", [30, 100, 300])
@pytest.mark.parametrize(
    "changes",
    [{}, {"drawn": (TOTAL // 4, TOTAL - TOTAL // 4)}, {"lost": (0.5, 0.0), "due": (0.2, 0.0)}],
    ids=["as expected", "drawn far from their shares", "expected the wrong way round"],
)
def test_intervals_hold_for_rare_disasters(n_trials: int, changes: dict[str, Any]):
    """Of 150 intervals with at least 95 % each, fewer than 134 hold with probability 1e-3 (binomial) at most."""
    strata, rng = some_strata(**changes), np.random.default_rng(n_trials)
    mean, n_held = mean_of(strata, RARE), 0
    for _ in range(150):
        interval = of_strata(strata, rng, n_trials, RARE).interval(StoppingRule(n_trials))
        n_held += interval.low <= mean + 0.001 and interval.high >= mean - 0.001  # counts are whole images
    assert n_held >= 134


def test_an_interval_holds_however_the_looking_ends():
    """Stopped as soon as it leaves the mean out, had it ever: of 60 sequences, 51 hold but with probability 1e-3."""
    strata, rng, n_held = some_strata(), np.random.default_rng(5), 0
    rule, mean = StoppingRule(300, 30, UNTIL.until), mean_of(some_strata(), RARE)
    for _ in range(60):
        found = of_strata(strata, rng, 300, RARE)
        looks = [MeanEstimate(found.values[:look], found.low, found.span).interval(rule) for look in rule.looks]
        n_held += all(look.low <= mean + 0.001 and look.high >= mean - 0.001 for look in looks)
    assert n_held >= 51


def test_many_trials_come_near_the_mean():
    """Within 4.5 standard errors."""
    strata, rng = some_strata(), np.random.default_rng(0)
    found = np.array(of_strata(strata, rng, 20_000, RARE).unscaled)
    assert abs(found.mean() - mean_of(strata, RARE)) < 4.5 * found.std() / 20_000**0.5 + 0.001


def test_plain_trials_say_what_they_measured():
    trials = [a_trial(trial=n) for n in range(5)] + [
        a_trial(trial=5, n_flips=0, n_correct=196, n_masked=200, n_sdc=0, n_sdc_critical=0, n_due=0)
    ]
    found, measured = accuracies(trials, GOLDEN), [178 / 200] * 5 + [196 / 200]
    assert found.values.tolist() == found.unscaled.tolist() == measured
    assert found.mean == stats.mean(measured)
    assert found.interval(StoppingRule(6)) == stats.mean_interval(measured)


@pytest.mark.parametrize("count", ["n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due"])
def test_trials_as_expected_say_the_expected_mean(count: str):
    """Strata that come out exactly as expected leave nothing to chance."""
    strata = some_strata(lost=(0.0, 100 / 196), due=(0.0, 0.0))
    trials = [a_loss(0, 0, trial=0), a_loss(100, 1, trial=1)]
    found = estimate_mean(trials, GOLDEN, strata, count=count)
    right, lost = 0.98, 0.1 * 100 / 196
    expected = {"n_correct": right * (1 - lost), "n_masked": 1 - lost, "n_sdc": lost, "n_sdc_critical": right * lost}
    if count in ("n_correct", "n_sdc_critical"):
        assert found.unscaled == pytest.approx([expected[count]] * 2, abs=1e-12)
    assert found.mean == pytest.approx(expected.get(count, 0.0), abs=0.002)


DISASTER = {"n_correct": 80, "n_masked": 100, "n_sdc": 60, "n_sdc_critical": 50, "n_due": 40}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ("n_correct", 0.92316 + 0.2 * (0.4 - 0.49)),
        ("n_masked", 0.942 + 0.2 * (0.5 - 0.5)),
        ("n_sdc", 0.048 + 0.2 * (0.3 - 0.4)),
        ("n_sdc_critical", 0.04704 + 0.2 * (0.25 - 0.392)),
        ("n_due", 0.01 + 0.2 * (0.2 - 0.1)),
    ],
)
def test_a_trial_in_a_stratum_with_dues_says_what_is_worked_out_by_hand(count: str, expected: float):
    """Of the images 0.01 and 0.5 are expected to be turned in the strata, and 0 and 0.1 to be DUEs.

    The golden run has 0.98 of them right. So SDCs of 0.01 and 0.4 are expected, and in the mean over the memory
    0.8 · 0.01 + 0.1 · 0.4 = 0.048. The trial's weight is 0.1 / 0.5.
    """
    found = estimate_mean([a_trial(stratum=1, **DISASTER)], GOLDEN, some_strata(), count=count)
    assert found.unscaled == pytest.approx([expected], abs=1e-12)


def test_what_a_trial_leaves_open_counts_by_its_weight():
    strata = some_strata()
    sampled = {"n_images": 20, "n_golden_correct": 18, "n_due_critical": 0, "n_masked": 12, "n_sdc": 8, "n_due": 0}
    trial = a_trial(stratum=0, n_correct=12, n_sdc_critical=6, **sampled)
    (plain,), (weighed,) = within_variances([trial], GOLDEN), within_variances([trial], GOLDEN, strata)
    assert weighed == pytest.approx(1.6**2 * plain)
    assert plain > 0


def test_a_trial_of_no_stratum_is_none_of_a_cell_with_strata():
    with pytest.raises(ValueError, match="no stratum"):
        accuracies([a_trial()], GOLDEN, some_strata())
    with pytest.raises(ValueError, match="golden run"):
        accuracies([a_loss(3, 0)], None, some_strata())
