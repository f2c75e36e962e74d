"""What the trials of a cell say of its means, whether they were drawn plainly or in strata, and with which interval.

A stratified trial is drawn from stratum j with probability q_j, and stratum j has the probability P_j. What it
measured, x, says of the mean over all memories

    y = C + w_j (x - x_j),   w_j = P_j / q_j,   C = P_∅ x_∅ + Σ P_j x_j,

for x_j what the pilot expects in stratum j, P_∅ the probability of a memory without a flip, and x_∅ what such a one
gives, which is the golden run. Whatever the x_j, which were fixed before the trial,

    E[y] = C + Σ q_j w_j (E[x | j] - x_j) = P_∅ x_∅ + Σ P_j E[x | j],

the mean: it is unbiased (importance sampling with the strata's expectations as control variates; J. M. Hammersley and
D. C. Handscomb, "Monte Carlo Methods", 1964, chapter 5). Each trial draws its stratum anew, by its number, so that
the y are independent and alike. As x lies in 0..1, y lies in a span that is known beforehand,

    C + min_j(-w_j x_j)  to  C + max_j w_j (1 - x_j),

and brought to 0..1 it is what `stats.mean_interval` holds for, however long one looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultbench.campaign.stopping_rule import Rule
from faultbench.results import image_samples as sampled
from faultbench.results import stats
from faultbench.results.image_samples import Values, fractions
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import ABSENT, counts_of


@dataclass(frozen=True)
class Said:
    """What trials say of a mean, in the order of their numbers: values in 0..1 that stand for low to low + span."""

    values: Values
    low: float = 0.0
    span: float = 1.0

    @property
    def mean(self) -> float:
        """The estimated mean, in 0..1."""
        return self._back(stats.mean(self.values))

    @property
    def high(self) -> float:
        """The largest that a trial can say."""
        return self.low + self.span

    @property
    def unscaled(self) -> Values:
        """What each trial says of the mean; with strata some of it may lie outside of 0..1."""
        return self.low + self.span * self.values

    def interval(self, rule: Rule) -> stats.Interval:
        """That of the mean, under a rule that says when trials end."""
        return self.interval_at(rule.confidence, anytime=rule.until is not None)

    def interval_at(self, confidence: float, *, anytime: bool) -> stats.Interval:
        """The same with a confidence of its own."""
        found = stats.mean_interval(self.values, confidence=confidence, anytime=anytime)
        return stats.Interval(self._back(found.low), self._back(found.high))

    def _back(self, value: float) -> float:
        return min(1.0, max(0.0, self.low + self.span * value))


def said(trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None, *, count: str) -> Said:
    """What trials of a cell say of how images end: `n_correct`, `n_masked`, `n_sdc`, `n_sdc_critical` or `n_due`.

    golden may be None where trials looked at all images and are plain ones.
    """
    found = fractions(trials, golden, count)
    if strata is None or not strata.is_split:
        return Said(found)
    return _weighed(found, trials, strata, *_expected(strata, golden, count))


def accuracies(trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None) -> Said:
    """What they say of the mean accuracy."""
    return said(trials, golden, strata, count="n_correct")


def within_variances(trials: Sequence[Trial], golden: Golden | None, strata: Strata | None = None) -> Values:
    """Of what each trial says of the mean accuracy, the variance that comes of not having looked at all images."""
    of_trials = sampled.within_variances(trials, golden)
    if strata is None or not strata.is_split:
        return of_trials
    return np.array(strata.weights)[np.maximum(0, counts_of(trials, "stratum"))] ** 2 * of_trials


def _weighed(found: Values, trials: Sequence[Trial], strata: Strata, without: float, expected: Sequence[float]) -> Said:
    weights = strata.weights
    centre = (1 - sum(strata.share)) * without + float(np.dot(strata.share, expected))
    low = centre + min(-w * x for w, x in zip(weights, expected, strict=True))
    high = centre + max(w * (1 - x) for w, x in zip(weights, expected, strict=True))
    drawn = counts_of(trials, "stratum")
    if (drawn == ABSENT).any():
        trial = trials[int(np.argmax(drawn == ABSENT))]
        raise ValueError(f"cell {trial.cell}: trial {trial.trial} was drawn in no stratum; the cell has strata")
    y = centre + np.array(weights)[drawn] * (found - np.array(expected)[drawn])
    return Said(np.clip((y - low) / (high - low), 0.0, 1.0), low, high - low)  # at the ends off by the last bit


def _expected(strata: Strata, golden: Golden | None, count: str) -> tuple[float, list[float]]:
    """What a memory without a flip gives, and what is expected in each stratum."""
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
