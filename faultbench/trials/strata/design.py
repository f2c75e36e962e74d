"""Design of strata: how the trials of a cell are allocated to strata, and whether that pays, from the pilot.

Of N bits h are hazards. The number K of hazards that flip at BER p is binomial, and the other N - h bits flip
independently of K. So with b(k) = C(h, k) p^k (1 - p)^(h - k), all exactly known,

    P(stratum j) = Σ b(k) over its k,   and for the first, K = 0 with a flip elsewhere, b(0) · (1 - (1 - p)^(N - h)).

Neyman's allocation draws stratum j in proportion to P_j σ_j, where σ_j is the standard deviation of trials within it
(W. G. Cochran, "Sampling Techniques", 3rd ed. 1977, section 5.5). But a trial of a rarely drawn stratum has a large
weight, and a valid interval must allow for the worst case there. So the allocation is mixed with the plain shares, in
the proportion with the shortest expected interval. Its half-width after n trials is about 2.1 √(V / n) + L S / 2n,
where V is the variance of a trial's contribution to the mean, S the span of possible contributions, and L = ln(2/δ)
(see `stats.fixed_bets`). Wrong expectations make intervals wider and have no other effect.

An allocation that would widen any printed interval is left out, those of the rates too: an outcome that never occurs
gets a wider interval from large weights. If no allocation is left, or strata by hazards do not pay, there is still one
stratum of all memories with a flip, as the probability of the others is known exactly. Its trials are plain ones that
have a flip, and every interval is narrower by that probability, so it cannot lose.
"""

import math
from collections.abc import Sequence

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from faultbench.trials.strata.expectations import Expected, Floats, Outcome, expected_outcomes

WORTHWHILE = 1.2
"""Least factor by which strata must be expected to reduce the variance. Otherwise trials are plain ones."""

MOST_HAZARDS = 500.0
"""Largest expected number of flipped hazards. With more of them, their number tells nothing about a trial."""

_STEP = 1.4
"""Factor between the starts of consecutive strata. The first strata are single numbers of hazards."""

_RARE = 1e-3
"""Strata at either end that are together less likely than this become one."""

_UNSURE = 0.25
"""Assumed relative error of an expected loss."""


_PLAIN_PARTS = tuple(part / 20 for part in range(1, 21))

_LOG_TARGET = math.log(2 / (1 - CONFIDENCE))
_TOLERANCE = 1.001
"""Factor by which an interval may be wider, for the rounding of allocations to parts of `TOTAL`."""
_DEVIATIONS = 2.1
"""Standard errors in the half-width of an interval of many trials."""


def design_strata(cell: str, hazards: Hazards, ber: float, n_images: int | None, n_trials: int) -> Strata:
    """Return the strata of a cell that is to have n_trials trials; none if they do not pay.

    n_images is the number per trial, None for all images.
    """
    h, n_bits = hazards.n_hazards, hazards.n_bits
    if h * ber > MOST_HAZARDS:
        return _plain(cell, hazards, 1.0, 1.0)
    pmf = binomial(h, ber)
    first = _stratum_starts(pmf) if h and any(row[0] for row in hazards.points) else [0]
    expected = expected_outcomes(hazards, ber, pmf, first, n_images)
    share = stratum_probabilities(pmf, first, other_flip=-math.expm1((n_bits - h) * math.log1p(-ber)))
    any_flip = -math.expm1(n_bits * math.log1p(-ber))
    drawn = _allocate(share, expected, n_trials) if len(first) > 1 else None
    gain, variance_gain = _gains(share, drawn, expected, n_trials) if drawn else (1.0, 1.0)
    if drawn and variance_gain >= WORTHWHILE and _is_narrower(share, drawn, any_flip, expected, n_trials):
        lost, due = expected.lost.round(6).tolist(), expected.due.round(6).tolist()
        shares = tuple(share.tolist())
        return Strata(cell, n_bits, h, tuple(first), shares, tuple(drawn), lost, due, gain, variance_gain)
    if any_flip * WORTHWHILE <= 1:
        lost_by_flip, due_by_flip = (round(float(share @ each / any_flip), 6) for each in (expected.lost, expected.due))
        gains = round(1 / any_flip, 3)
        return Strata(cell, n_bits, h, (0,), (any_flip,), (TOTAL,), (lost_by_flip,), (due_by_flip,), gains, gains)
    return _plain(cell, hazards, gain, variance_gain)


def binomial(n: int, p: float) -> Floats:
    """Return P(K = k) from k = 0 up to where less than 1e-15 is left. n·p must be at most `MOST_HAZARDS`."""
    terms = [math.exp(n * math.log1p(-p))]
    while len(terms) <= n and (len(terms) <= n * p + 1 or terms[-1] > 1e-18):
        k = len(terms)
        terms.append(terms[-1] * (n - k + 1) / k * p / (1 - p))
    return np.array(terms)


def stratum_probabilities(pmf: Floats, first: Sequence[int], *, other_flip: float) -> Floats:
    """Return the probability of each stratum; other_flip is the probability that some bit flips that is no hazard."""
    shares = np.array([math.fsum(part) for part in np.split(pmf, first[1:])])
    shares[0] *= other_flip
    return shares


def _plain(cell: str, hazards: Hazards, gain: float, variance_gain: float) -> Strata:
    return Strata(cell, hazards.n_bits, hazards.n_hazards, (), (), (), (), (), gain, variance_gain)


def _stratum_starts(pmf: Floats) -> list[int]:
    """Return the least number of hazards of each stratum: 0, 1, …, then wider steps, and one stratum per rare end."""
    starts = [0]
    while (following := max(starts[-1] + 1, math.ceil(_STEP * starts[-1]))) < len(pmf):
        starts.append(following)
    below, above = pmf.cumsum(), pmf[::-1].cumsum()[::-1]
    # The stratum of 0 is never merged with others: only there may a memory have no flip.
    kept = [start for start in starts[1:] if above[start] >= _RARE and below[start] >= _RARE]
    return [0, *sorted({1, *kept} if kept and kept[0] > 1 else kept or {1})]


def _allocate(share: Floats, expected: Expected, n_trials: int) -> list[int] | None:
    """Return how often each stratum is drawn, of `TOTAL` draws; None if every allocation would widen some interval."""
    plain, neyman = share / share.sum(), share * np.sqrt(expected.variance)
    neyman = neyman / neyman.sum()
    mixed = [_in_parts_of_total(part * plain + (1 - part) * neyman) for part in _PLAIN_PARTS]
    outcome = expected.outcomes["lost"]
    return min(
        (drawn for drawn in mixed if not _widens(share, drawn, expected, n_trials)),
        key=lambda drawn: round(_half_width(*_contribution(share, drawn, outcome), n_trials), 9),
        default=None,
    )


def _in_parts_of_total(fractions: Floats) -> list[int]:
    """Return the fractions in whole parts of `TOTAL`, each at least 1; the largest takes what rounding leaves."""
    parts = np.maximum(np.rint(fractions * TOTAL), 1).astype(int)
    parts[parts.argmax()] += TOTAL - parts.sum()
    return [int(part) for part in parts]


def _contribution(share: Floats, drawn: Sequence[int], outcome: Outcome) -> tuple[float, float]:
    """Return the variance and the span of a trial's contribution to the mean, C + w_j (x - x_j)."""
    weights = share * TOTAL / np.array(drawn)
    error_squared = (_UNSURE * outcome.mean) ** 2
    variance = float((share * weights * (outcome.variance + error_squared)).sum())
    return variance, float(max(weights * outcome.mean) + max(weights * (1 - outcome.mean)))


def _widens(share: Floats, drawn: Sequence[int], expected: Expected, n_trials: int) -> bool:
    """Return whether the interval of the accuracy or of a rate would be wider than that of plain trials."""
    return any(
        _half_width(*_contribution(share, drawn, outcome), n_trials)
        > _TOLERANCE * _half_width(_variance(share, outcome, 1.0), 1.0, n_trials)
        for outcome in expected.outcomes.values()
    )


def _is_narrower(share: Floats, drawn: Sequence[int], any_flip: float, expected: Expected, n_trials: int) -> bool:
    """Return whether the interval of the accuracy is no wider than that of trials with any flip."""
    outcome = expected.outcomes["lost"]
    with_flip = _half_width(any_flip**2 * _variance(share, outcome, any_flip), any_flip, n_trials)
    return _half_width(*_contribution(share, drawn, outcome), n_trials) <= with_flip


def _variance(share: Floats, outcome: Outcome, total: float) -> float:
    """Return the variance of trials of all memories of a total probability; those in no stratum lose nothing."""
    mean = float(share @ outcome.mean) / total
    return float(share @ (outcome.variance + outcome.mean**2)) / total - mean**2


def _gains(share: Floats, drawn: Sequence[int], expected: Expected, n_trials: int) -> tuple[float, float]:
    """Return how many times as many plain trials are expected to give the same interval, and the same variance."""
    outcome = expected.outcomes["lost"]
    plain, (variance, span) = _variance(share, outcome, 1.0), _contribution(share, drawn, outcome)
    width = _half_width(variance, span, n_trials)
    # width = √(a / n) + b / n, solved for n.
    a, b = _DEVIATIONS**2 * plain, _LOG_TARGET / 2
    n_plain = ((math.sqrt(a) + math.sqrt(a + 4 * width * b)) / (2 * width)) ** 2
    return round(n_plain / n_trials, 3), round(plain / variance, 3)


def _half_width(variance: float, span: float, n_trials: int) -> float:
    return _DEVIATIONS * math.sqrt(variance / n_trials) + _LOG_TARGET * span / (2 * n_trials)
