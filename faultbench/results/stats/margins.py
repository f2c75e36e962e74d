"""Tests whether a mean drop is larger or smaller than a margin, by betting on pairs of trials that met the same flips.

Let d = first - second be the drop of a pair. No pair gains more than g, so d lies in -g..1 and h = (g + d)/(g + 1) in
0..1; its mean belongs to the drop, and m = (g + margin)/(g + 1) to the margin. Without an assumption g is 1. "The drop
is at most the margin" is E h ≤ m, and "the drop is at least the margin" is E(1 - h) ≤ 1 - m. Each has a one-sided
p-value by the bets of `means`, which holds for any distribution and any number of trials; only one side is bet on, so
there is no factor 2. A small p of the first is a regression, a small p of the second says that the margin is kept. If
neither is small, the trials do not decide.

With g = 1, 100 pairs that all lose 2 points hardly show that anything is lost: a memory in a hundred could gain all of
it back. If a memory is known never to gain more than 10 points, 24 of them do.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats import fixed_bets
from faultbench.results.stats.means import Values, one_sided_p_values

_AT_CAP = 0.25
"""Part of the bets at their cap: a change that costs every memory a little is as common as one that breaks a few."""
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


def margin_test(
    first: Values, second: Values, margin: float, *, max_gain: float = 1.0, anytime: bool = False
) -> MarginTest:
    """Test the drop of the mean from first to second, pairs in the order of their trials, against the margin.

    margin is a fraction, 0 to less than 1. max_gain, more than 0 to 1, is known beforehand: no pair gains more. As for
    `mean_interval`, the number of pairs must not depend on outcomes unless anytime is given.
    """
    drops, m = _scaled(first, second, max_gain), _scaled_margin(margin, max_gain)
    return MarginTest(*one_sided_p_values([drops, 1 - drops], [m, 1 - m], anytime=anytime, at_cap=_AT_CAP))


def n_to_decide(
    first: Values,
    second: Values,
    margin: float,
    *,
    max_gain: float = 1.0,
    n_tests: int = 1,
    confidence: float = CONFIDENCE,
) -> int | None:
    """Estimate how many pairs decide on which side of the margin the drop is, if further pairs are like these.

    The pairs are repeated in their order; n_tests is the number of tests that share the chance of a false alarm. The
    result is None if `MOST_PAIRS` do not decide.
    """
    drops, m, delta = _scaled(first, second, max_gain), _scaled_margin(margin, max_gain), 1 - confidence
    numbers = list(_numbers(len(drops)))
    for some in ([n for n in numbers if n <= _MANY_PAIRS], [n for n in numbers if n > _MANY_PAIRS]):
        if not some:
            continue
        repeated, count = [np.resize(drops, n) for n in some], len(some)
        # Both sides in one call: what takes time is the number of steps.
        found = fixed_bets.rejections(
            [*repeated, *(1 - each for each in repeated)],
            [m] * count + [1 - m] * count,
            [delta / n_tests] * count + [delta] * count,
            at_cap=_AT_CAP,
        )
        for n, is_more, is_less in zip(some, found[:count], found[count:], strict=True):
            if is_more or is_less:
                return n
    return None


def _numbers(n_pairs: int) -> Iterator[int]:
    while n_pairs < MOST_PAIRS:
        n_pairs = min(MOST_PAIRS, math.ceil(_STEP * n_pairs))
        yield n_pairs


def _scaled(first: Values, second: Values, max_gain: float) -> NDArray[np.float64]:
    """Return the drops, scaled so that 0..1 stands for -max_gain..1."""
    if not 0 < max_gain <= 1:
        raise ValueError(f"a largest gain must be more than 0 and at most 1, not {max_gain}")
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"trials are compared in pairs, not {x.shape} with {y.shape}")
    drops = (max_gain + x - y) / (max_gain + 1)
    if (drops < -1e-12).any():
        raise ValueError(f"a pair gains {float((y - x).max())}, more than {max_gain}")
    return np.clip(drops, 0, 1)  # rounding can carry a value past an end


def _scaled_margin(margin: float, max_gain: float) -> float:
    if not 0 <= margin < 1:
        raise ValueError(f"a margin must be at least 0 and less than 1, not {margin}")
    return (max_gain + margin) / (max_gain + 1)
