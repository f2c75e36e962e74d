"""Bets against a mean for any number of trials: capital that grows, with intervals that hold at every look.

Hedged capital (I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting",
J. R. Stat. Soc. B 86, 2024; arXiv 2010.09686). To test whether the mean is m, bet against it: start with
capital 1 and stake on trial i a bet λ_i ≥ 0, chosen before x_i is seen, that x_i exceeds m:

    K_t(m) = Π_{i≤t} (1 + λ_i (x_i - m)),   0 ≤ λ_i ≤ c/m with c < 1, so that K_t > 0.

If the mean is at most m, K is a non-negative supermartingale, and by Ville's inequality P(max_t K_t(m) ≥ 1/δ) ≤ δ.
The inequality is about the maximum over all t, so the intervals of all t hold together, and the last one holds under
any stopping rule: a *confidence sequence*.

Each factor falls in m, where λ_i is the bet and where it is the cap, c(x_i/m - 1); so the largest capital
falls in m too, the m that survive are one interval, and bisection finds its end. Any bets are valid; good
ones make it narrow. With a_i = x_i - m small, ln K ≈ Σ(λ a_i - λ²a_i²/2) reaches ln(1/δ) after n trials
soonest at λ = √(2 ln(1/δ) / (n σ²)), for σ² the variance of the trials before, started from one imagined
trial of 1/2 with variance 1/4.

The paper's bets for sequences, λ_t = √(2 ln(1/δ) / (t ln(1+t) σ²)), are too small for large t: after 1,000 trials their
intervals are 1.5 to 2 times as wide as those of bets that aim at 1,000. Here the starting capital is split evenly over
bettors that aim at n = 30, 60, 120, …: a sum of martingales is a martingale, and it falls in m as each of them does, so
all of the above holds. It costs at most ln(10) of log-capital against the best bettor.
"""

import math

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

_CAP = 0.95
"""c above; the paper uses 1/2 and 3/4. If disasters are rare, every bet is at the cap, and with 0.95 the interval of 30
trials is a third narrower than with 1/2; if trials spread widely, there is no difference from 100 trials on. With a cap
of 1, one trial at 0 would make the capital 0 for ever."""

_AIMS = np.array([30 * 2**i for i in range(10)])
"""Numbers of trials that the bettors aim at."""

_LEVEL = 0.025
"""Level that the bets for p-values aim at."""


def least_mean(values: Rows, level: float, n_steps: int) -> int:
    """Return the largest k for which a mean of at most k/n_steps is rejected at this level, 0 if none is."""
    bets, goal = _bets(values, level), -math.log(level)
    rejected, kept = 0, n_steps
    while kept - rejected > 1:
        middle = (rejected + kept) // 2
        if _largest_log_capital(values, bets, middle / n_steps) >= goal:
            rejected = middle
        else:
            kept = middle
    return rejected


def least_level(values: Rows, mean: float) -> float:
    """Return a p-value of the mean being at most a given one: the inverse of the largest capital, at most 1."""
    return min(1.0, math.exp(-_largest_log_capital(values, _bets(values, _LEVEL), mean)))


def _bets(values: Rows, level: float) -> Rows:
    """Return λ_1..λ_n before the cap, a row per bettor; x and 1 - x have the same, since their variances are equal."""
    n_seen = np.arange(2, len(values) + 2)  # with the imagined trial
    means = (0.5 + np.cumsum(values)) / n_seen
    variances = (0.25 + np.cumsum((values - means) ** 2)) / n_seen
    before = np.concatenate(([0.25], variances[:-1]))
    return np.asarray(np.sqrt(-2 * math.log(level) / (_AIMS[:, np.newaxis] * before)))


def _largest_log_capital(values: Rows, bets: Rows, m: float) -> float:
    """Return the largest log-capital that betting on more than m reaches, over all trials."""
    each = np.log1p(np.minimum(bets, _CAP / m) * (values - m)).cumsum(axis=1)
    richest = each.max(axis=0)  # subtracted before exp, which would overflow
    return float((richest + np.log(np.exp(each - richest).mean(axis=0))).max())
