"""Tests whether a mean drop is larger or smaller than a margin, by betting on pairs of trials that met the same flips.

Let d = first - second be the drop of a pair, in -1..1, and h = (1 + d)/2 in 0..1; its mean is (1 + drop)/2, and
m = (1 + margin)/2 belongs to the margin. Against "the drop is at most the margin", which is E h ≤ m, stake
λ_i ≥ 0, chosen before h_i is seen, that h_i exceeds m:

    K_t = Π_{i≤t} (1 + λ_i (h_i - m)),   0 ≤ λ_i ≤ c/m, c < 1.

Under the hypothesis E[λ_i (h_i - m)] ≤ 0, so K is a non-negative supermartingale that starts at 1, and by Ville's
inequality P(max_t K_t ≥ 1/p) ≤ p: 1/max K is a p-value, for any distribution and any number of trials. Only one
side is bet on, so there is no factor 2 as in `means`, which has the same bets. "The drop is at least the margin" is
E(1 - h) ≤ 1 - m: the same test with 1 - h against 1 - m. A small p of the first is a regression, a small p of the
second says that the margin is kept. If neither is small, the trials do not decide.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.means import Values, one_sided_p

_STEP = 1.1
"""Factor between numbers of pairs that are tried."""
_MOST = 200_000
"""Most pairs that are tried; a gate that takes more is not run at every change."""


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
    return _test(_halves(first, second), margin, anytime=anytime)


def n_to_decide(
    first: Values, second: Values, margin: float, *, n_tests: int = 1, confidence: float = CONFIDENCE
) -> int | None:
    """Estimate how many pairs decide on which side of the margin the drop is, if further pairs are like these.

    The pairs are repeated in their order; n_tests is the number of tests that share the chance of a false alarm. The
    result is None if 200,000 pairs do not decide.
    """
    halves, delta = _halves(first, second), 1 - confidence
    n_tried = len(halves)
    while n_tried < _MOST:
        n_tried = math.ceil(_STEP * n_tried)
        test = _test(np.resize(halves, n_tried), margin, anytime=False)
        if test.p_within * n_tests <= delta or test.p_beyond <= delta:
            return n_tried
    return None


def _halves(first: Values, second: Values) -> NDArray[np.float64]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    return np.asarray((1 + x - y) / 2)


def _test(halves: NDArray[np.float64], margin: float, *, anytime: bool) -> MarginTest:
    if not 0 <= margin < 1:
        raise ValueError(f"a margin must be at least 0 and less than 1, not {margin}")
    m = (1 + margin) / 2
    return MarginTest(one_sided_p(halves, m, anytime=anytime), one_sided_p(1 - halves, 1 - m, anytime=anytime))
