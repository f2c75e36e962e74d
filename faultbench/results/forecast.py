"""How wide a cell's interval will be, before its trials are run, and what half the width would cost.

From a cell's recorded trials: they are repeated in their order up to the number asked for, as if the rest came out
like them, and the interval is made of these. Without enough of them the worst case: trials that are all or nothing
by turns, which have the largest variance that fractions can have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from faultbench.campaign.stopping_rule import Rule
from faultbench.results.estimates import Said

N_ENOUGH = 10
"""Trials from which on a cell's own say more than the worst case."""

_WORST = (0.0, 1.0)
_STEP = 1.1
"""Numbers of trials are tried in steps of ten per cent."""
_MOST = 100
"""Times as many trials: where those do not halve the interval, nothing practical does."""


@dataclass(frozen=True)
class Forecast:
    """The half-width expected after n_trials; n_more would halve it, None if a hundred times as many would not.

    n_known is how many recorded trials say so, 0 for the worst case.
    """

    n_trials: int
    half_width: float
    n_more: int | None
    n_known: int


def forecast(rule: Rule, accuracies: Sequence[float] | Said) -> Forecast:
    """What to expect of a cell under the rule, given the accuracies of its recorded trials in their order."""
    given = accuracies if isinstance(accuracies, Said) else Said(np.asarray(accuracies))
    known = tuple(given.values.tolist()) if len(given.values) >= N_ENOUGH else _WORST
    if known is _WORST:
        return _forecast(rule, known, 0, 0.0, 1.0)
    return _forecast(rule, known, len(known), given.low, given.span)


@cache
def _forecast(rule: Rule, known: tuple[float, ...], n_known: int, low: float, span: float) -> Forecast:
    scale = Said(np.empty(0), low, span)
    n_trials, half_width = rule.n_max, math.inf
    for look in rule.looks:
        n_trials, half_width = look, _half_width(rule, known, look, scale)
        if rule.until and half_width <= rule.until.accuracy_halfwidth:
            break
    return Forecast(n_trials, half_width, _n_more(rule, known, n_trials, half_width / 2, scale), n_known)


def _half_width(rule: Rule, known: tuple[float, ...], n_trials: int, scale: Said) -> float:
    return replace(scale, values=np.resize(np.array(known), n_trials)).interval(rule).half_width


def _n_more(rule: Rule, known: tuple[float, ...], n_trials: int, goal: float, scale: Said) -> int | None:
    n_tried = n_trials
    while n_tried < _MOST * n_trials:
        n_tried = math.ceil(_STEP * n_tried)
        if _half_width(rule, known, n_tried, scale) <= goal:
            return n_tried - n_trials
    return None
