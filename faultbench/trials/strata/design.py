"""How a cell's trials are shared out among its strata, and whether that pays, from what the pilot found.

The number K of hazards that flip, h of them at BER p, is binomial; the N - h others flip or not whatever K is. So with
b(k) = C(h, k) p^k (1 - p)^(h - k), all exactly known,

    P(stratum j) = Σ b(k) over its k,   and of the first, K = 0 with a flip elsewhere, b(0) · (1 - (1 - p)^(N - h)).

Neyman's allocation draws a stratum as often as P_j σ_j says (W. G. Cochran, "Sampling Techniques", 3rd ed. 1977,
section 5.5), for σ_j the spread of trials within it. What is rarely drawn weighs much, though, and an interval that
holds must allow for a disaster there; so the allocation is mixed with plain shares, as much as makes the expected
interval least: about √(2 L V / n) for the variance V of what a trial says, and L S / 2n for the span S of what it may
say, with L = ln(2/δ) (see `stats.means`). Wrong expectations cost width, and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.journal.strata import TOTAL, Hazards, Row, Strata

N_TRIALS = 300
"""That the allocation aims at: how many a cell gets in the end must not change how its trials are drawn."""

WORTHWHILE = 1.2
"""Where strata are not expected to cut the variance so many times, or would widen intervals, trials are plain ones."""

MOST_HAZARDS = 500.0
"""Hazards expected to flip, from which on how many they are says nothing of a trial."""

_STEP = 1.4
"""Strata are single numbers of hazards at first; from then on each begins so many times as high as the one before."""

_RARE = 1e-3
"""Strata that are together less likely than this, at either end, are one."""

_UNSURE = 0.25
"""Of an expected loss, by how much it may be wrong."""

_SPREAD = 0.02
"""Not less is assumed for σ_j, however alike a few probes were."""

_PLAIN_PARTS = tuple(part / 20 for part in range(1, 21))

_LOG_TARGET = math.log(2 / (1 - CONFIDENCE))

Floats = NDArray[np.float64]


def designed(cell: str, hazards: Hazards, ber: float, n_images: int | None) -> Strata:
    """The strata of a cell; none where they do not pay. n_images is how many a trial looks at, None for all."""
    h, n_bits = hazards.n_hazards, hazards.n_bits
    if not h or h * ber > MOST_HAZARDS or not any(row[0] for row in hazards.points):
        return _plain(cell, hazards, 1.0, 1.0)
    pmf = binomial(h, ber)
    first = _first(pmf)
    expected = _expected(hazards, ber, pmf, first, n_images)
    share = shares(pmf, first, other_flip=-math.expm1((n_bits - h) * math.log1p(-ber)))
    drawn = _allocated(share, expected)
    gain, variance_gain = _gains(share, drawn, expected)
    if variance_gain < WORTHWHILE or gain < 1:
        return _plain(cell, hazards, gain, variance_gain)
    lost, due = expected.lost.round(6).tolist(), expected.due.round(6).tolist()
    return Strata(cell, n_bits, h, tuple(first), tuple(share.tolist()), tuple(drawn), lost, due, gain, variance_gain)


def binomial(n: int, p: float) -> Floats:
    """P(K = k) from k = 0 on, to where less than 1e-15 is left; n·p must be at most `MOST_HAZARDS`."""
    terms = [math.exp(n * math.log1p(-p))]
    while len(terms) <= n and (len(terms) <= n * p + 1 or terms[-1] > 1e-18):
        k = len(terms)
        terms.append(terms[-1] * (n - k + 1) / k * p / (1 - p))
    return np.array(terms)


def shares(pmf: Floats, first: Sequence[int], *, other_flip: float) -> Floats:
    """The probability of each stratum; other_flip is that of a flip that is no hazard."""
    found = np.array([math.fsum(part) for part in np.split(pmf, first[1:])])
    found[0] *= other_flip
    return found


@dataclass(frozen=True, eq=False)
class _Expected:
    """Of each stratum: the fraction of images turned, that of DUEs, and the variance of a trial's own."""

    lost: Floats
    due: Floats
    variance: Floats


def _plain(cell: str, hazards: Hazards, gain: float, variance_gain: float) -> Strata:
    return Strata(cell, hazards.n_bits, hazards.n_hazards, (), (), (), (), (), gain, variance_gain)


def _first(pmf: Floats) -> list[int]:
    """The least number of hazards of each stratum: 0, 1, …, then rarer; one at each end for what is rare."""
    starts = [0]
    while (following := max(starts[-1] + 1, math.ceil(_STEP * starts[-1]))) < len(pmf):
        starts.append(following)
    below, above = pmf.cumsum(), pmf[::-1].cumsum()[::-1]
    # The stratum of 0 is never merged with others: there alone a trial may be without a flip.
    kept = [start for start in starts[1:] if above[start] >= _RARE and below[start] >= _RARE]
    return [0, *sorted({1, *kept} if kept and kept[0] > 1 else kept or {1})]


def _expected(hazards: Hazards, ber: float, pmf: Floats, first: Sequence[int], n_images: int | None) -> _Expected:
    lost, due, variance = _curve(hazards.points, len(pmf))
    other = _others(hazards.points, (hazards.n_bits - hazards.n_hazards) * ber)
    lost, variance = 1 - (1 - lost) * (1 - other[0]), variance + other[1]
    if n_images is not None:
        variance = variance + lost * (1 - lost) / n_images
    means = [_mean(part, of) for of in (lost, due, variance + lost**2) for part in _parts(pmf, first)]
    of_lost, of_due, of_squares = np.split(np.array(means), 3)
    return _Expected(of_lost, of_due, np.maximum(of_squares - of_lost**2, _SPREAD**2))


def _parts(pmf: Floats, first: Sequence[int]) -> list[tuple[slice, Floats]]:
    ends = [*first[1:], len(pmf)]
    return [(slice(low, high), pmf[low:high]) for low, high in zip(first, ends, strict=True)]


def _mean(part: tuple[slice, Floats], values: Floats) -> float:
    where, weights = part
    return float(values[where] @ weights / weights.sum())


def _curve(points: Sequence[Row], n: int) -> tuple[Floats, Floats, Floats]:
    """Expected losses, DUEs and variances for 0, 1, …, n - 1 hazards: between the numbers probed along lines."""
    probed = [(0, 0.0, 0.0, 0.0), *((row[0], *_moments(row)) for row in points if row[0])]
    number, lost, due, variance = (np.array(column) for column in zip(*probed, strict=True))
    at = np.arange(n)
    return (
        np.interp(at, number, np.maximum.accumulate(lost)),
        np.interp(at, number, np.minimum(due, lost)),
        np.interp(at, number, variance),
    )


def _others(points: Sequence[Row], n_flips: float) -> tuple[float, float]:
    """Expected loss and its variance by other bits, so many of which flip."""
    probed = [
        (0, 0.0, 0.0),
        *((row[1], moments[0], moments[2]) for row in points if row[1] for moments in [_moments(row)]),
    ]
    number, lost, variance = (np.array(column) for column in zip(*probed, strict=True))
    return float(np.interp(n_flips, number, lost)), float(np.interp(n_flips, number, variance))


def _moments(row: Row) -> tuple[float, float, float]:
    """Mean loss and DUEs of the probes of a point, and the variance of the loss beyond that of their few images."""
    _, _, n_probes, n_images, turned, squared, due = row
    n_runs = n_probes * n_images
    mean = turned / n_runs
    variance = squared / n_images**2 / n_probes - mean**2
    within = (mean - squared / n_images / n_runs) / max(n_images - 1, 1)
    return mean, due / n_runs, max(variance - within, 0.0)


def _allocated(share: Floats, expected: _Expected) -> list[int]:
    """Of `TOTAL`, how often each stratum is drawn."""
    plain, neyman = share / share.sum(), share * np.sqrt(expected.variance)
    neyman = neyman / neyman.sum()
    mixed = [_whole(part * plain + (1 - part) * neyman) for part in _PLAIN_PARTS]
    return min(mixed, key=lambda drawn: round(_half_width(*_said(share, drawn, expected)), 9))


def _whole(fractions: Floats) -> list[int]:
    """In parts of `TOTAL`, each at least 1, the largest taking what rounding leaves."""
    parts = np.maximum(np.rint(fractions * TOTAL), 1).astype(int)
    parts[parts.argmax()] += TOTAL - parts.sum()
    return [int(part) for part in parts]


def _said(share: Floats, drawn: Sequence[int], expected: _Expected) -> tuple[float, float]:
    """Variance and span of what a trial says of the mean, C + w_j (x - x_j)."""
    weights = share * TOTAL / np.array(drawn)
    doubt = (_UNSURE * expected.lost) ** 2
    right = 1 - expected.lost
    variance = float((share * weights * (expected.variance + doubt)).sum())
    return variance, float(max(weights * (1 - right)) - min(-weights * right))


def _gains(share: Floats, drawn: Sequence[int], expected: _Expected) -> tuple[float, float]:
    """How many times as many plain trials are expected to give the same interval, and the same variance."""
    mean = float(share @ expected.lost)
    plain = float(share @ (expected.variance + expected.lost**2)) - mean**2
    variance, span = _said(share, drawn, expected)
    width = _half_width(variance, span)
    # width = √(a / n) + b / n, solved for n.
    a, b = 2 * _LOG_TARGET * plain, _LOG_TARGET / 2
    n_plain = ((math.sqrt(a) + math.sqrt(a + 4 * width * b)) / (2 * width)) ** 2
    return round(n_plain / N_TRIALS, 3), round(plain / variance, 3)


def _half_width(variance: float, span: float) -> float:
    return math.sqrt(2 * _LOG_TARGET * variance / N_TRIALS) + _LOG_TARGET * span / (2 * N_TRIALS)
