"""Paired comparison of two networks that met the same flips: mean difference, interval, p-value, gain of pairing.

The differences d of pairs lie in -1..1, and (1 + d)/2 in 0..1, so `mean_interval` holds for its mean, whatever the
distribution. The p-value comes from the same bets: it is twice the least level at which one side rejects a mean
difference of 0, and at most 1 - confidence exactly if the interval leaves 0 out. A sign-flip test has more power if
pairs differ little and always in the same direction, but it only refutes that the networks are alike. That does not
mean that the means differ, unless rare disasters are ruled out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.means import Interval, Values, mean, mean_intervals, one_sided_p_values


@dataclass(frozen=True)
class MeanDifference:
    """Mean of second - first over pairs of trials.

    variance_ratio is how many times as many trials two independent runs need for the same variance: (Var first + Var
    second) / Var (second - first). It is infinite if the difference does not vary but the trials do, NaN if nothing
    varies.
    """

    mean: float
    interval: Interval
    p: float
    variance_ratio: float


@dataclass(frozen=True)
class Pairs:
    """Accuracies of two networks in pairs, in the order of their trials' numbers.

    ends are the least and the largest difference, second - first, that a pair can have, known beforehand; the
    difference of the means always lies in -1..1.
    """

    first: Values
    second: Values
    ends: tuple[float, float] = (-1.0, 1.0)


def mean_difference(
    first: Values,
    second: Values,
    *,
    confidence: float = CONFIDENCE,
    anytime: bool = False,
    ends: tuple[float, float] = (-1.0, 1.0),
) -> MeanDifference:
    """Estimate the difference of the means from pairs of accuracies; ends are those of `Pairs`.

    The number of pairs must not depend on outcomes unless anytime is given, as for `mean_interval`.
    """
    return mean_differences([Pairs(first, second, ends)], confidence=confidence, anytime=anytime)[0]


def mean_differences(
    pairs: Sequence[Pairs], *, confidence: float = CONFIDENCE, anytime: bool = False
) -> list[MeanDifference]:
    """Estimate the `mean_difference` of each of several sets of pairs; many together take little longer than one."""
    scaled, zeros = [_scaled(each) for each in pairs], [-each.ends[0] / _span(each) for each in pairs]
    intervals = mean_intervals(scaled, confidence=confidence, anytime=anytime)
    above = one_sided_p_values(scaled, zeros, anytime=anytime)
    below = one_sided_p_values([1 - x for x in scaled], [1 - zero for zero in zeros], anytime=anytime)
    return [
        _mean_difference(each, interval, min(1.0, 2 * min(p_values)))
        for each, interval, *p_values in zip(pairs, intervals, above, below, strict=True)
    ]


def _span(pairs: Pairs) -> float:
    return pairs.ends[1] - pairs.ends[0]


def _scaled(pairs: Pairs) -> NDArray[np.float64]:
    """Return the differences, scaled so that 0..1 stands for the ends."""
    x, y = np.asarray(pairs.first, dtype=np.float64), np.asarray(pairs.second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    return np.clip((y - x - pairs.ends[0]) / _span(pairs), 0, 1)  # rounding can carry a value past an end


def _mean_difference(pairs: Pairs, interval: Interval, p: float) -> MeanDifference:
    x, y = np.asarray(pairs.first, dtype=np.float64), np.asarray(pairs.second, dtype=np.float64)
    low, span = pairs.ends[0], _span(pairs)
    return MeanDifference(
        min(1.0, max(-1.0, mean(y - x))),
        Interval(max(-1.0, span * interval.low + low), min(1.0, span * interval.high + low)),
        p,
        _ratio(float(x.var() + y.var()), float((y - x).var())),
    )


def _ratio(independent: float, paired: float) -> float:
    # Differences of equal trials are equal except for their last bits.
    if paired > 1e-24:
        return independent / paired
    return math.inf if independent > 1e-24 else math.nan
