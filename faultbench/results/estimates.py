"""Estimates of the means of a cell from its trials, drawn plainly or in strata, with their intervals.

A stratified trial is drawn from stratum j with probability q_j, and stratum j has the probability P_j. From its
measurement x, the mean over all memories is estimated by

    y = C + w_j (x - x_j),   w_j = P_j / q_j,   C = P_∅ x_∅ + Σ P_j x_j,

where x_j is what the pilot expects in stratum j, P_∅ the probability of a memory without a flip, and x_∅ the result of
such a memory, that of the golden run. For any x_j that are fixed before the trial,

    E[y] = C + Σ q_j w_j (E[x | j] - x_j) = P_∅ x_∅ + Σ P_j E[x | j],

which is the mean: y is unbiased (importance sampling with the expectations of the strata as control variates; J. M.
Hammersley and D. C. Handscomb, "Monte Carlo Methods", 1964, chapter 5). Each trial draws its stratum by its own number,
so the y are independent and identically distributed. As x lies in 0..1, y lies in a span that is known beforehand,

    C + min_j(-w_j x_j)  to  C + max_j w_j (1 - x_j),

and scaled to 0..1 it meets the conditions of `stats.mean_interval`, also of its confidence sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results import image_samples as sampled
from faultbench.results import stats
from faultbench.results.image_samples import Values, fractions
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import counts_of
from faultbench.results.journal.trial_rules import ABSENT


@dataclass(frozen=True)
class MeanEstimate:
    """Estimate of a mean: a value per trial, in the order of their numbers; 0..1 stands for low to low + span."""

    values: Values
    low: float = 0.0
    span: float = 1.0

    @property
    def mean(self) -> float:
        """Return the estimated mean, in 0..1."""
        return self._unscale(stats.mean(self.values))

    @property
    def high(self) -> float:
        """Return the largest unscaled value that a trial can have."""
        return self.low + self.span

    @property
    def unscaled(self) -> Values:
        """Return the estimate of each trial; with strata, some can lie outside of 0..1."""
        return self.low + self.span * self.values

    def interval(self, rule: StoppingRule) -> stats.Interval:
        """Return the interval of the mean under the rule that ended the trials."""
        return intervals([self], rule)[0]

    def unscale(self, interval: stats.Interval) -> stats.Interval:
        """Return the interval of the mean, given that of the values."""
        return stats.Interval(self._unscale(interval.low), self._unscale(interval.high))

    def _unscale(self, value: float) -> float:
        return min(1.0, max(0.0, self.low + self.span * value))


def intervals(estimates: Sequence[MeanEstimate], rule: StoppingRule) -> list[stats.Interval]:
    """Return the interval of each mean; those of many estimates together take little longer than one."""
    samples, anytime = [estimate.values for estimate in estimates], rule.is_sequence
    of_values = stats.mean_intervals(samples, confidence=rule.confidence, anytime=anytime)
    return [estimate.unscale(interval) for estimate, interval in zip(estimates, of_values, strict=True)]


def estimate_mean(
    trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None, *, count: str
) -> MeanEstimate:
    """Estimate the fraction of images that a count counts: `n_correct`, `n_masked`, `n_sdc`, `n_sdc_critical`, `n_due`.

    golden may be None for plain trials over all images.
    """
    measured = fractions(trials, golden, count)
    if strata is None or not strata.is_split:
        return MeanEstimate(measured)
    return _weighted(measured, trials, strata, *_expected(strata, golden, count))


def accuracies(trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None) -> MeanEstimate:
    """Estimate the mean accuracy."""
    return estimate_mean(trials, golden, strata, count="n_correct")


def within_variances(trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None) -> Values:
    """Return, for each trial's estimate of the mean accuracy, the variance that the sampling of images adds."""
    of_trials = sampled.within_variances(trials, golden)
    if strata is None or not strata.is_split:
        return of_trials
    return np.array(strata.weights)[np.maximum(0, counts_of(trials, "stratum"))] ** 2 * of_trials


def _weighted(
    measured: Values, trials: Sequence[Trial], strata: Strata, without: float, expected: Sequence[float]
) -> MeanEstimate:
    """Return the estimate of stratified trials; without is the value of a memory without a flip."""
    weights = strata.weights
    centre = (1 - sum(strata.share)) * without + float(np.dot(strata.share, expected))
    low = centre + min(-w * x for w, x in zip(weights, expected, strict=True))
    high = centre + max(w * (1 - x) for w, x in zip(weights, expected, strict=True))
    drawn = counts_of(trials, "stratum")
    if (drawn == ABSENT).any():
        trial = trials[int(np.argmax(drawn == ABSENT))]
        raise ValueError(f"cell {trial.cell}: trial {trial.trial} was drawn in no stratum; the cell has strata")
    y = centre + np.array(weights)[drawn] * (measured - np.array(expected)[drawn])
    # Rounding can carry a value at an end of the span past it.
    return MeanEstimate(np.clip((y - low) / (high - low), 0.0, 1.0), low, high - low)


def _expected(strata: Strata, golden: Golden | None, count: str) -> tuple[float, list[float]]:
    """Return the value of a memory without a flip, and the expected value in each stratum."""
    if golden is None:
        raise ValueError("trials in strata mean nothing without their golden run")
    right = golden.n_correct / golden.n_images
    pairs = list(zip(strata.lost, strata.due, strict=True))
    match count:
        case "n_correct":
            return right, [right * (1 - lost) for lost, _ in pairs]
        case "n_masked":
            return 1.0, [1 - lost for lost, _ in pairs]
        case "n_due":
            return 0.0, [due for _, due in pairs]
        case "n_sdc_critical":
            return 0.0, [right * (lost - due) for lost, due in pairs]
        case _:
            return 0.0, [lost - due for lost, due in pairs]
