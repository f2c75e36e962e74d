"""Paired comparison of two networks that met the same flips: mean difference, interval, p-value, gain of pairing.

The differences d of pairs lie in -1..1, and (1 + d)/2 in 0..1, so `mean_interval` holds for its mean, whatever the
distribution. The p-value comes from the same betting: if the mean difference is 0, the capital of either side is a
non-negative martingale that starts at 1, and by Ville's inequality it reaches K with probability ≤ 1/K; so p = 2/K for
the richer of both sides, at most 1. It is small if and only if the interval leaves 0 out. A sign-flip test has more
power if pairs differ little and always in the same direction, but it only refutes that the networks are alike. That
does not mean that the means differ, unless rare disasters are ruled out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.means import Interval, Values, log_capital, mean, mean_interval


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


def mean_difference(
    first: Values,
    second: Values,
    *,
    confidence: float = CONFIDENCE,
    anytime: bool = False,
    ends: tuple[float, float] = (-1.0, 1.0),
) -> MeanDifference:
    """Estimate the difference of the means from pairs of accuracies, in the order of their trials' numbers.

    The number of pairs must not depend on outcomes unless anytime is given, as for `mean_interval`. ends are the least
    and the largest difference that a pair can have, known beforehand; the difference of the means always lies in -1..1.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    low, span = ends[0], ends[1] - ends[0]
    scaled = np.clip((y - x - low) / span, 0, 1)  # rounding can carry a value past an end
    interval = mean_interval(scaled, confidence=confidence, anytime=anytime)
    return MeanDifference(
        min(1.0, max(-1.0, mean(y - x))),
        Interval(max(-1.0, span * interval.low + low), min(1.0, span * interval.high + low)),
        min(1.0, 2 * math.exp(-log_capital(scaled, -low / span, anytime=anytime))),
        _ratio(float(x.var() + y.var()), float((y - x).var())),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that any true hypothesis of all is below δ with probability ≤ δ.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979: the k-th smallest of n
    is multiplied by n + 1 - k, and is at least the corrected value of every smaller one. Any dependence is allowed.
    """
    n, adjusted, largest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _ratio(independent: float, paired: float) -> float:
    # Differences of equal trials are equal except for their last bits.
    if paired > 1e-24:
        return independent / paired
    return math.inf if independent > 1e-24 else math.nan
