"""Mean of fractions in 0..1, one per trial, with confidence intervals and p-values by betting.

Most trials are harmless and a few are disasters. A sample of few trials may hold no disaster at all; its standard
deviation is then useless, and t or bootstrap intervals miss the mean far more often than they claim. The intervals here
hold for every distribution on [0, 1] and every n: a mean m is left out if bets against it win too much. Bets that x
exceeds m reject small means, the same bets with 1 - x against 1 - m reject large ones, each side at half of the error.

`fixed_bets` aims at a number of trials that does not depend on the outcomes. `sequence_bets` has no such number, and
its intervals, which are wider, hold under any stopping rule. `docs/benchmarks/coverage.md` compares them with others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats import fixed_bets, sequence_bets

_STEPS = 1_000_000
"""Interval ends are rounded outwards to 1e-6, so that every machine prints the same digits."""

Values = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Confidence interval, both ends included; an end is infinite if the trials do not bound that side."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Return half of the length."""
        return (self.high - self.low) / 2


def mean(values: Values) -> float:
    """Return the mean, summed exactly: it does not depend on the order of the values."""
    return math.fsum(np.asarray(values).tolist()) / len(values)  # a list of floats takes a third of the time


def mean_interval(values: Values, *, confidence: float = CONFIDENCE, anytime: bool = False) -> Interval:
    """Return an interval that holds the mean of the values' distribution with at least this confidence.

    values are fractions in 0..1, one per trial, in the order of the trials' numbers, which must not depend on outcomes.
    The sample mean always lies inside. The number of values must not depend on outcomes unless anytime is given: then
    the interval is one of a confidence sequence, and holds under any stopping rule.
    """
    return mean_intervals([values], confidence=confidence, anytime=anytime)[0]


def mean_intervals(
    samples: Sequence[Values], *, confidence: float = CONFIDENCE, anytime: bool = False
) -> list[Interval]:
    """Return the `mean_interval` of each of several samples; many together take little longer than one."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    if not samples:
        return []
    checked, level = [_checked(sample) for sample in samples], (1 - confidence) / 2
    both = [*checked, *(1 - x for x in checked)]
    if anytime:
        rejected = [sequence_bets.least_mean(x, level, _STEPS) for x in both]
    else:
        rejected = fixed_bets.least_means(both, level, _STEPS)
    lows, highs = rejected[: len(samples)], rejected[len(samples) :]
    # Trials that become better and better can reject their own mean on the way; a wider interval is valid too.
    return [
        Interval(min(low / _STEPS, mean(x)), max((_STEPS - high) / _STEPS, mean(x)))
        for x, low, high in zip(checked, lows, highs, strict=True)
    ]


def one_sided_p_values(
    samples: Sequence[Values], means: Sequence[float], *, anytime: bool = False, at_cap: float = fixed_bets.AT_CAP
) -> list[float]:
    """Return for each sample a p-value of its mean being at most a given one, which lies between 0 and 1.

    Twice the smaller one of x with m and of 1 - x with 1 - m is a p-value of the mean being m. It is at most
    1 - CONFIDENCE if and only if m lies outside of `mean_interval` before rounding. at_cap is the part of a fixed bet
    that stays at its cap: more of it finds small differences that are always there, less of it rare large ones.
    """
    checked = [_checked(sample) for sample in samples]
    if anytime:
        return [sequence_bets.least_level(x, m) for x, m in zip(checked, means, strict=True)]
    return fixed_bets.least_levels(checked, means, at_cap=at_cap) if checked else []


def _checked(values: Values) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not ((x >= 0) & (x <= 1)).all():
        raise ValueError("an interval needs at least one value, all of them in 0..1")
    return x
