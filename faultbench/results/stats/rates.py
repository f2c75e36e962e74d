"""Rates of failing trials and differences of two rates, with intervals that hold for any number of trials.

Of n trials that each fail with probability p, independent of one another, the number that fails is binomial. The
interval of a rate is that of Clopper and Pearson (Biometrika 26, 1934): it leaves out every p under which that few, or
that many, failures have at most the probability δ/2. Its ends are quantiles of beta distributions.

The difference of two rates lies in [low_1 - high_0, high_1 - low_0] if both rates lie in their intervals. With
confidence 1 - δ/2 for each, that has probability ≥ 1 - δ for all rates and numbers of trials. The interval is wider
than Newcombe's (Stat. Med. 17, 1998), which are right on average and not for every rate.
"""

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE

_STEPS = 1_000_000
"""Interval ends are rounded outwards to 1e-6, so that every machine prints the same digits."""

Counts = NDArray[np.int64]
Fractions = NDArray[np.float64]


def rate_intervals(
    n_failed: Counts, n_trials: Counts, *, confidence: float = CONFIDENCE
) -> tuple[Fractions, Fractions]:
    """Return low and high ends for the rates n_failed / n_trials, element by element; 0 and 1 without trials.

    ValueError unless each n_failed is in 0..n_trials.
    """
    if (n_failed < 0).any() or (n_failed > n_trials).any():
        raise ValueError("a rate needs 0 to n_trials failures")
    # Pairs are joined to one number each: rows of pairs are slow to sort.
    base = int(n_failed.max(initial=0)) + 1
    pairs, place = np.unique(n_trials * base + n_failed, return_inverse=True)
    low, high = _rate_ends(pairs % base, pairs // base, confidence=confidence)
    return low[place], high[place]


def _rate_ends(n_failed: Counts, n_trials: Counts, *, confidence: float) -> tuple[Fractions, Fractions]:
    from scipy.special import betaincinv  # takes a third of a second, which readers of other tables save

    n_passed, tail = n_trials - n_failed, (1 - confidence) / 2
    # A beta distribution needs both parameters above 0; where one is not, the end is 0 or 1 anyway.
    low = np.where(n_failed > 0, betaincinv(np.where(n_failed > 0, n_failed, 1), n_passed + 1, tail), 0.0)
    high = np.where(n_passed > 0, betaincinv(n_failed + 1, np.where(n_passed > 0, n_passed, 1), 1 - tail), 1.0)
    return np.floor(low * _STEPS) / _STEPS, np.ceil(high * _STEPS) / _STEPS


def difference_intervals(
    first: tuple[Counts, Counts], second: tuple[Counts, Counts], *, confidence: float = CONFIDENCE
) -> tuple[Fractions, Fractions]:
    """Return low and high ends of the first rate minus the second; each rate is given as n_failed and n_trials."""
    half = (1 + confidence) / 2
    (low_1, high_1), (low_0, high_0) = (rate_intervals(*rate, confidence=half) for rate in (first, second))
    # Both ends are multiples of a step; rounding removes the error of the subtraction.
    return np.round((low_1 - high_0) * _STEPS) / _STEPS, np.round((high_1 - low_0) * _STEPS) / _STEPS
