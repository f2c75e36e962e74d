"""Quantiles and the worst of n trials, with intervals by order statistics that hold for any distribution.

Let ξ be a q-quantile: P(X < ξ) ≤ q ≤ P(X ≤ ξ). Of n trials in rising order the l-th lies above ξ only if at
most l - 1 trials are ≤ ξ, which has at most the probability P(Bin(n, q) ≤ l - 1); the u-th lies below ξ only
if at least u are < ξ, at most P(Bin(n, q) ≥ u). With the largest l and the smallest u for which each is at
most δ/2, [x_l, x_u] holds ξ with probability ≥ 1 - δ, ties or not (H. A. David and H. N. Nagaraja, Order
Statistics, 2003, 7.1). With too few trials there is no such l or no such u, and the interval is unbounded there: with
95 % confidence a median needs 6 trials, and the lower end of a 5 % quantile needs 72.
"""

import math
from functools import cache

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.means import Interval, Values


def quantile(values: Values, q: float) -> float:
    """Return the q-quantile, interpolated linearly between the two nearest values, as pandas and numpy do."""
    return float(np.quantile(values, q))


def quantile_interval(values: Values, q: float, *, confidence: float = CONFIDENCE) -> Interval:
    """Return an interval for the q-quantile of the values' distribution; an end can be infinite."""
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    below, above = _ranks(len(ranked), q, 1 - confidence)
    return Interval(
        float(ranked[below - 1]) if below >= 1 else -math.inf,
        float(ranked[above - 1]) if above <= len(ranked) else math.inf,
    )


def below_worst(n_trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Return an upper bound, with this confidence, of the fraction of all trials worse than the worst of n_trials.

    If more than a fraction p of all trials are worse, none of n is worse with probability below (1 - p)^n.
    """
    return float(-math.expm1(math.log1p(-confidence) / n_trials))


@cache
def _ranks(n: int, q: float, delta: float) -> tuple[int, int]:
    """Return l and u, which count from 1; l is 0 and u is n + 1 if there is none."""
    if n < 1 or not 0 < q < 1 or not 0 < delta < 1:
        raise ValueError(f"a quantile's interval needs trials, and q and confidence between 0 and 1, not {n, q, delta}")
    at_most = np.cumsum([_binomial(n, k, q) for k in range(n + 1)])
    at_least = np.cumsum([_binomial(n, k, q) for k in range(n, -1, -1)])[::-1]
    n_low, n_high = int((at_most <= delta / 2).sum()), int((at_least <= delta / 2).sum())
    return n_low, n + 1 - n_high


def _binomial(n: int, k: int, q: float) -> float:
    """Return P(Bin(n, q) = k); importing scipy would cost every reader of tables a third of a second."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(q) + (n - k) * math.log1p(-q))
