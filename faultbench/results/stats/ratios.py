"""Interval for a ratio of means, such as the accuracy among the images that are no DUE.

Let c ≤ f be two fractions of each trial, and r = E c / E f. If r ≤ m, then E(c - m f) ≤ 0. As c - m f lies in -m..1,

    x = (c - m f + m) / (1 + m)

lies in 0..1, and its mean is at most m/(1 + m): a test by `fixed_bets` rejects m with probability at most δ. From
below, m is raised in steps until one is not rejected; the lower end is the step before it. If that end lies above r,
then the first step above r was rejected, so this happens with probability at most δ, whatever the order of the other
steps. The upper end is found in the same way from above.
"""

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats import fixed_bets
from faultbench.results.stats.means import Interval, Values

_STEPS = 1000
"""Steps of the ratio from 0 to 1."""


def ratio_interval(numerators: Values, denominators: Values, *, confidence: float = CONFIDENCE) -> Interval:
    """Return an interval that holds the ratio of the two means with at least this confidence.

    Both are fractions in 0..1, one per trial in the order of their numbers; a numerator is at most its denominator. The
    number of trials must not depend on outcomes. The ratio of the sample means always lies inside.
    """
    c, f = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if c.shape != f.shape or not len(c) or not ((c >= 0) & (c <= f) & (f <= 1)).all():
        raise ValueError("a ratio needs numerators of 0 up to their denominators, which are at most 1")
    level = (1 - confidence) / 2
    ratios = np.arange(1, _STEPS) / _STEPS
    scaled = [(c - m * f + m) / (1 + m) for m in ratios]
    below = fixed_bets.rejections(scaled, (ratios / (1 + ratios)).tolist(), [level] * len(ratios))
    above = fixed_bets.rejections([1 - x for x in scaled], (1 / (1 + ratios)).tolist(), [level] * len(ratios))
    n_below, n_above = (_leading(found) for found in (below, above[::-1]))
    ratio = c.sum() / f.sum() if f.any() else np.nan
    return Interval(float(np.fmin(n_below / _STEPS, ratio)), float(np.fmax((_STEPS - n_above) / _STEPS, ratio)))


def _leading(flags: list[bool]) -> int:
    """Return how many flags are true before the first that is not."""
    return (*flags, False).index(False)
