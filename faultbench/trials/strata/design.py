"""Design of strata: how the trials of a cell are allocated to strata, and whether that pays, from the pilot.

Of N bits h are hazards. The number K of hazards that flip at BER p is binomial, and the other N - h bits flip
independently of K. So with b(k) = C(h, k) p^k (1 - p)^(h - k), all exactly known,

    P(stratum j) = Σ b(k) over its k,   and for the first, K = 0 with a flip elsewhere, b(0) · (1 - (1 - p)^(N - h)).

Neyman's allocation draws stratum j in proportion to P_j σ_j, where σ_j is the standard deviation of trials within it
(W. G. Cochran, "Sampling Techniques", 3rd ed. 1977, section 5.5). But a trial of a rarely drawn stratum has a large
weight, and a valid interval must allow for the worst case there. So the allocation is mixed with the plain shares, in
the proportion with the shortest expected interval. Its half-width is about √(2 L V / n) + L S / 2n, where V is the
variance of a trial's contribution to the mean, S the span of possible contributions, and L = ln(2/δ) (see
`stats.means`). Wrong expectations make intervals wider and have no other effect.
"""

import math
from collections.abc import Sequence

import numpy as np

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from faultbench.trials.strata.expectations import Expected, Floats, expected_outcomes

N_TRIALS = 300
"""Number of trials that the allocation assumes. The true number of a cell must not change how its trials are drawn."""

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


def design_strata(cell: str, hazards: Hazards, ber: float, n_images: int | None) -> Strata:
    """Return the strata of a cell; none if they do not pay. n_images is the number per trial, None for all images."""
    h, n_bits = hazards.n_hazards, hazards.n_bits
    if not h or h * ber > MOST_HAZARDS or not any(row[0] for row in hazards.points):
        return _plain(cell, hazards, 1.0, 1.0)
    pmf = binomial(h, ber)
    first = _stratum_starts(pmf)
    expected = expected_outcomes(hazards, ber, pmf, first, n_images)
    share = stratum_probabilities(pmf, first, other_flip=-math.expm1((n_bits - h) * math.log1p(-ber)))
    drawn = _allocate(share, expected)
    gain, variance_gain = _gains(share, drawn, expected)
    if variance_gain < WORTHWHILE or gain < 1:
        return _plain(cell, hazards, gain, variance_gain)
    lost, due = expected.lost.round(6).tolist(), expected.due.round(6).tolist()
    return Strata(cell, n_bits, h, tuple(first), tuple(share.tolist()), tuple(drawn), lost, due, gain, variance_gain)


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


def _allocate(share: Floats, expected: Expected) -> list[int]:
    """Return how often each stratum is drawn, of `TOTAL` draws."""
    plain, neyman = share / share.sum(), share * np.sqrt(expected.variance)
    neyman = neyman / neyman.sum()
    mixed = [_in_parts_of_total(part * plain + (1 - part) * neyman) for part in _PLAIN_PARTS]
    return min(mixed, key=lambda drawn: round(_half_width(*_contribution(share, drawn, expected)), 9))


def _in_parts_of_total(fractions: Floats) -> list[int]:
    """Return the fractions in whole parts of `TOTAL`, each at least 1; the largest takes what rounding leaves."""
    parts = np.maximum(np.rint(fractions * TOTAL), 1).astype(int)
    parts[parts.argmax()] += TOTAL - parts.sum()
    return [int(part) for part in parts]


def _contribution(share: Floats, drawn: Sequence[int], expected: Expected) -> tuple[float, float]:
    """Return the variance and the span of a trial's contribution to the mean, C + w_j (x - x_j)."""
    weights = share * TOTAL / np.array(drawn)
    error_squared = (_UNSURE * expected.lost) ** 2
    right = 1 - expected.lost
    variance = float((share * weights * (expected.variance + error_squared)).sum())
    return variance, float(max(weights * (1 - right)) - min(-weights * right))


def _gains(share: Floats, drawn: Sequence[int], expected: Expected) -> tuple[float, float]:
    """Return how many times as many plain trials are expected to give the same interval, and the same variance."""
    mean = float(share @ expected.lost)
    plain = float(share @ (expected.variance + expected.lost**2)) - mean**2
    variance, span = _contribution(share, drawn, expected)
    width = _half_width(variance, span)
    # width = √(a / n) + b / n, solved for n.
    a, b = 2 * _LOG_TARGET * plain, _LOG_TARGET / 2
    n_plain = ((math.sqrt(a) + math.sqrt(a + 4 * width * b)) / (2 * width)) ** 2
    return round(n_plain / N_TRIALS, 3), round(plain / variance, 3)


def _half_width(variance: float, span: float) -> float:
    return math.sqrt(2 * _LOG_TARGET * variance / N_TRIALS) + _LOG_TARGET * span / (2 * N_TRIALS)
