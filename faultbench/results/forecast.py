"""Forecast of the width of a cell's interval before its trials are run, and of the trials that halve it.

The recorded trials of a cell are repeated in their order up to the number asked for, as if the others came out like
them, and the interval is computed from these. With too few recorded trials the worst case is assumed: trials that are
alternately 0 and 1, which have the largest variance that fractions can have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.estimates import MeanEstimate, intervals

N_ENOUGH = 10
"""Fewest recorded trials of a cell that replace the worst case."""

_WORST = (0.0, 1.0)
_STEP = 1.1
"""Factor between numbers of trials that are tried."""
_AT_ONCE = 16
"""Numbers of trials whose intervals are computed together: a factor of 4.6, and halving takes about 4."""
N_REPEATED, N_STEPPED = 10_000, 3_000
"""Most trials in a computed interval of a sequence, and in one of a fixed number, which is computed trial by trial: one
of a billion would take hours. Beyond, the width is extrapolated."""

_MOST = 100
"""Largest factor of the number of trials that is tried to halve the interval."""


@dataclass(frozen=True)
class Forecast:
    """Expected half-width after n_trials; n_more trials would halve it, None if a hundred times as many would not.

    n_known is the number of recorded trials behind it, 0 for the worst case.
    """

    n_trials: int
    half_width: float
    n_more: int | None
    n_known: int


def forecast(rule: StoppingRule, accuracies: Sequence[float] | MeanEstimate) -> Forecast:
    """Return the forecast of a cell under the rule, given the accuracies of its recorded trials in their order."""
    estimate = accuracies if isinstance(accuracies, MeanEstimate) else MeanEstimate(np.asarray(accuracies))
    known = tuple(estimate.values.tolist()) if len(estimate.values) >= N_ENOUGH else _WORST
    if known is _WORST:
        return _forecast(rule, known, 0, 0.0, 1.0)
    return _forecast(rule, known, len(known), estimate.low, estimate.span)


@cache
def _forecast(rule: StoppingRule, known: tuple[float, ...], n_known: int, low: float, span: float) -> Forecast:
    scale = MeanEstimate(np.empty(0), low, span)
    n_trials, half_width = rule.n_max, math.inf
    for look in rule.looks:
        n_trials, half_width = look, _half_widths(rule, known, [look], scale)[0]
        if rule.until and half_width <= rule.until.accuracy_halfwidth:
            break
    return Forecast(n_trials, half_width, _n_more(rule, known, n_trials, half_width / 2, scale), n_known)


def _half_widths(
    rule: StoppingRule, known: tuple[float, ...], numbers: Sequence[int], scale: MeanEstimate
) -> list[float]:
    """Return the half-width after each number of trials; where it is not computed, it follows the power law before."""
    n_repeated = max(N_REPEATED if rule.is_sequence else N_STEPPED, len(known))
    computed = [n for n in numbers if n <= n_repeated]
    ends = [] if len(computed) == len(numbers) else [n_repeated // 2, n_repeated]
    estimates = [MeanEstimate(np.resize(np.array(known), n), scale.low, scale.span) for n in (*computed, *ends)]
    widths = [interval.half_width for interval in intervals(estimates, rule)]
    if not ends:
        return widths
    *widths, half, whole = widths
    power = min(1.0, max(0.0, math.log2(half / whole))) if whole else 0.0
    return [*widths, *(whole * math.pow(n_repeated / n, power) for n in numbers if n > n_repeated)]


def _n_more(
    rule: StoppingRule, known: tuple[float, ...], n_trials: int, goal: float, scale: MeanEstimate
) -> int | None:
    """Return how many more trials reach the half-width goal; None if `_MOST` times as many do not."""
    n_tried = n_trials
    while n_tried < _MOST * n_trials:
        numbers = [n_tried := math.ceil(_STEP * n_tried) for _ in range(_AT_ONCE)]
        for n, half_width in zip(numbers, _half_widths(rule, known, numbers, scale), strict=True):
            if half_width <= goal:
                return n - n_trials
    return None
