"""Two networks that met the same flips: the mean difference, an interval for it, a p-value, what pairing saved.

The differences of pairs lie in -1..1, and half of 1 + d in 0..1, so `mean_interval` holds for its mean whatever
its distribution. The p-value is of that betting, too: were the mean difference 0, the capital of either side would
be a non-negative martingale that starts at 1, and by Ville's inequality it ever reaches K with probability ≤ 1/K;
so p = 2/K for the richer of both sides, at most 1. It is small just where the interval leaves 0 out. A sign-flip
test would have more power where pairs differ little and always the same way, but what it refutes is that the
networks are alike; that the means differ does not follow as long as a disaster in hundred trials is not ruled out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.means import Interval, Values, log_capital, mean, mean_interval


@dataclass(frozen=True)
class Difference:
    """Of second - first, over pairs of trials."""

    mean: float
    interval: Interval
    p: float
    variance_ratio: float
    """How many times as many trials two independent runs would need for the same variance: (Var first + Var second)
    / Var (second - first); infinite where the difference never varies but the trials do, NaN where nothing does."""


def difference(
    first: Values,
    second: Values,
    *,
    confidence: float = CONFIDENCE,
    anytime: bool = False,
    ends: tuple[float, float] = (-1.0, 1.0),
) -> Difference:
    """What pairs of accuracies, in the order of their trials' numbers, say of the difference of the means.

    Their number must not be chosen by looking at them, unless anytime, as for `mean_interval`. ends are the least and
    the largest difference that a pair can have, known beforehand; that of the means lies in -1..1 whatever they are.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    low, span = ends[0], ends[1] - ends[0]
    scaled = np.clip((y - x - low) / span, 0, 1)  # clipped by the last bit, if at all
    interval = mean_interval(scaled, confidence=confidence, anytime=anytime)
    return Difference(
        min(1.0, max(-1.0, mean(y - x))),
        Interval(max(-1.0, span * interval.low + low), min(1.0, span * interval.high + low)),
        min(1.0, 2 * math.exp(-log_capital(scaled, -low / span, anytime=anytime))),
        _ratio(float(x.var() + y.var()), float((y - x).var())),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values with which it holds for all together that a true hypothesis is below δ with probability ≤ δ.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979: the k-th smallest
    of n times n + 1 - k, but not below a smaller one's, whatever their dependence.
    """
    n, adjusted, largest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _ratio(independent: float, paired: float) -> float:
    # Differences of equal trials are equal but for their last bits.
    if paired > 1e-24:
        return independent / paired
    return math.inf if independent > 1e-24 else math.nan
