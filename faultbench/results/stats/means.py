"""Mean of fractions in 0..1, one per trial, and a confidence interval for it by betting.

Most trials are harmless and a few are disasters. A sample of few trials may hold no disaster at all; its standard
deviation is then useless, and t or bootstrap intervals miss the mean far more often than they claim. The interval here
holds for every distribution on [0, 1] and every n.

Hedged capital (I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting",
J. R. Stat. Soc. B 86, 2024; arXiv 2010.09686). To test whether the mean is m, bet against it: start with
capital 1 and stake on trial i a bet λ_i ≥ 0, chosen before x_i is seen, that x_i exceeds m:

    K_t(m) = Π_{i≤t} (1 + λ_i (x_i - m)),   0 ≤ λ_i ≤ c/m with c < 1, so that K_t > 0.

If the mean is m, every factor has expectation 1 given the past: K is a non-negative martingale, and by Ville's
inequality P(max_t K_t(m) ≥ 2/δ) ≤ δ/2. Every m whose capital reached 2/δ is rejected; the same with 1 - x against 1 - m
rejects from above. The true mean survives both with probability ≥ 1 - δ, the confidence.

Each factor falls in m, where λ_i is the bet and where it is the cap, c(x_i/m - 1); so the largest capital
falls in m too, the m that survive are one interval, and bisection finds its ends. Any bets are valid; good
ones make it narrow. With a_i = x_i - m small, ln K ≈ Σ(λ a_i - λ²a_i²/2) reaches ln(2/δ) after n trials
soonest at λ = √(2 ln(2/δ) / (n σ²)), for σ² the variance of the trials before, started from one imagined
trial of 1/2 with variance 1/4.

Adaptive numbers of trials. The bets above aim at a fixed n, so n must not depend on the outcomes. Bets without n give a
*confidence sequence*: Ville's inequality is about the maximum over all t, so the intervals of all t hold together with
probability ≥ 1 - δ, and the last one holds under any stopping rule. The paper's bets for it,
λ_t = √(2 ln(2/δ) / (t ln(1+t) σ²)), are too small for large t: after 1,000 trials their intervals are 1.5 to 2 times as
wide as those that aim at 1,000. Here the starting capital is split evenly over bettors that aim at n = 30, 60, 120, …:
a sum of martingales is a martingale, and it falls in m as each of them does, so all of the above holds. It costs at
most ln(10) of log-capital against the best bettor; on recorded trials it is 1.24 times as wide as the interval of a
fixed n after 30 trials, 1.12 after 100 and 1.02 after 1,000 (medians over 56 distributions; at most 1.43).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE

_CAP = 0.95
"""c above; the paper uses 1/2 and 3/4. If disasters are rare, every bet is at the cap, and with 0.95 the interval of 30
trials is a third narrower than with 1/2; if trials spread widely, there is no difference from 100 trials on. With a cap
of 1, one trial at 0 would make the capital 0 for ever."""

_AIMS = tuple(30 * 2**i for i in range(10))
"""Numbers of trials that the bettors of a confidence sequence aim at."""

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
    x, log_target = _checked(values), _log_target(confidence)
    bets = _bets(x, log_target, anytime=anytime)
    low, high = _n_steps_rejected(x, bets, log_target), _n_steps_rejected(1 - x, bets, log_target)
    # Trials that become better and better can reject their own mean on the way; a wider interval is valid too.
    return Interval(min(low / _STEPS, mean(x)), max((_STEPS - high) / _STEPS, mean(x)))


def log_capital(values: Values, m: float, *, anytime: bool = False) -> float:
    """Return the largest log-capital of betting against a mean of m, of the richer of both sides.

    By Ville's inequality min(1, 2 exp(-it)) is a p-value of the mean being m. It is at most 1 - CONFIDENCE if
    `mean_interval` leaves m out.
    """
    x = _checked(values)
    bets = _bets(x, _log_target(CONFIDENCE), anytime=anytime)
    return max(_largest_log_capital(x, bets, m), _largest_log_capital(1 - x, bets, 1 - m))


def one_sided_p(values: Values, m: float, *, anytime: bool = False) -> float:
    """Return a p-value of the mean being at most m: the inverse of the largest capital of betting on more, at most 1.

    m lies between 0 and 1. If the mean is at most m, the capital is a non-negative supermartingale.
    """
    x = _checked(values)
    bets = _bets(x, _log_target(CONFIDENCE), anytime=anytime)
    return min(1.0, math.exp(-_largest_log_capital(x, bets, m)))


def _checked(values: Values) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not ((x >= 0) & (x <= 1)).all():
        raise ValueError("an interval needs at least one value, all of them in 0..1")
    return x


def _log_target(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return math.log(2 / (1 - confidence))


def _bets(x: NDArray[np.float64], log_target: float, *, anytime: bool) -> NDArray[np.float64]:
    """Return λ_1..λ_n before the cap, a row per bettor; x and 1 - x have the same, since their variances are equal."""
    n_seen = np.arange(2, len(x) + 2)  # with the imagined trial
    means = (0.5 + np.cumsum(x)) / n_seen
    variances = (0.25 + np.cumsum((x - means) ** 2)) / n_seen
    before = np.concatenate(([0.25], variances[:-1]))
    aims = np.array(_AIMS if anytime else (len(x),))
    return np.asarray(np.sqrt(2 * log_target / (aims[:, np.newaxis] * before)))


def _n_steps_rejected(x: NDArray[np.float64], bets: NDArray[np.float64], log_target: float) -> int:
    """Return the largest k for which a mean of k/_STEPS or less is rejected, 0 if none is."""
    rejected, kept = 0, _STEPS
    while kept - rejected > 1:
        middle = (rejected + kept) // 2
        if _largest_log_capital(x, bets, middle / _STEPS) >= log_target:
            rejected = middle
        else:
            kept = middle
    return rejected


def _largest_log_capital(x: NDArray[np.float64], bets: NDArray[np.float64], m: float) -> float:
    """Return the largest log-capital that betting on more than m reaches, over all trials."""
    each = np.log1p(np.minimum(bets, _CAP / m) * (x - m)).cumsum(axis=1)
    if len(each) == 1:
        return float(each.max())
    richest = each.max(axis=0)  # subtracted before exp, which would overflow
    return float((richest + np.log(np.exp(each - richest).mean(axis=0))).max())
