"""Tests whether a mean drop is larger or smaller than a margin, by betting on pairs of trials that met the same flips.

Let d = first - second be the drop of a pair, in -1..1, and h = (1 + d)/2 in 0..1; its mean is (1 + drop)/2, and
m = (1 + margin)/2 belongs to the margin. "The drop is at most the margin" is E h ≤ m, and "the drop is at least the
margin" is E(1 - h) ≤ 1 - m. Each has a one-sided p-value by the bets of `means`, which holds for any distribution and
any number of trials; only one side is bet on, so there is no factor 2. A small p of the first is a regression, a small
p of the second says that the margin is kept. If neither is small, the trials do not decide.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats import fixed_bets
from faultbench.results.stats.means import Values, one_sided_p_values

_STEP = 1.1
"""Factor between numbers of pairs that are tried."""
MOST_PAIRS = 20_000
"""Most pairs that are tried; a gate that takes more is not run at every change."""
_MANY_PAIRS = 2_000
"""Pairs up to which all numbers are tried at once; to try more takes most of a second."""


@dataclass(frozen=True)
class MarginTest:
    """P-values of a drop of at most the margin, and of a drop of at least the margin."""

    p_within: float
    p_beyond: float


def margin_test(first: Values, second: Values, margin: float, *, anytime: bool = False) -> MarginTest:
    """Test the drop of the mean from first to second, pairs in the order of their trials, against the margin.

    margin is a fraction, 0 to less than 1. As for `mean_interval`, the number of pairs must not depend on outcomes
    unless anytime is given.
    """
    halves, m = _halves(first, second), _scaled_margin(margin)
    return MarginTest(*one_sided_p_values([halves, 1 - halves], [m, 1 - m], anytime=anytime))


def n_to_decide(
    first: Values, second: Values, margin: float, *, n_tests: int = 1, confidence: float = CONFIDENCE
) -> int | None:
    """Estimate how many pairs decide on which side of the margin the drop is, if further pairs are like these.

    The pairs are repeated in their order; n_tests is the number of tests that share the chance of a false alarm. The
    result is None if `MOST_PAIRS` do not decide.
    """
    halves, m, delta = _halves(first, second), _scaled_margin(margin), 1 - confidence
    n_tried = list(_numbers(len(halves)))
    for some in ([n for n in n_tried if n <= _MANY_PAIRS], [n for n in n_tried if n > _MANY_PAIRS]):
        drops = [np.resize(halves, n) for n in some]
        samples, means = [*drops, *(1 - drop for drop in drops)], [m] * len(some) + [1 - m] * len(some)
        found = (
            fixed_bets.rejections(samples, means, [delta / n_tests] * len(some) + [delta] * len(some)) if some else []
        )
        for n, is_more, is_less in zip(some, found, found[len(some) :], strict=False):
            if is_more or is_less:
                return n
    return None


def _numbers(n_pairs: int) -> Iterator[int]:
    while n_pairs < MOST_PAIRS:
        n_pairs = min(MOST_PAIRS, math.ceil(_STEP * n_pairs))
        yield n_pairs


def _halves(first: Values, second: Values) -> NDArray[np.float64]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    return np.asarray((1 + x - y) / 2)


def _scaled_margin(margin: float) -> float:
    if not 0 <= margin < 1:
        raise ValueError(f"a margin must be at least 0 and less than 1, not {margin}")
    return (1 + margin) / 2
