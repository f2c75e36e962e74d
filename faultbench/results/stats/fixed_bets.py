"""Bets against a mean that aim at a fixed number of trials: the hedge of a claim that pays if the mean is larger.

To test at level δ whether the mean of n values x_i in 0..1 is at most m, let p_0 = δ g with g = Φ(z), and stake

    p_i = p_{i-1} + B_i (x_i - m),   0 ≤ B_i ≤ c p_{i-1}/m,   c < 1,

where B_i may depend on x_1 … x_{i-1}. If the mean is at most m, p is a non-negative supermartingale, so by Ville's
inequality it ever reaches g with probability at most p_0/g = δ. The mean is rejected as soon as p reaches g.

The bet. If the sum of the r values left were normal with variance σ² r, then a claim that pays 1 if it exceeds a
level would be worth p = Φ(u), and the hedge that copies it is its slope in the sum, φ(u)/(σ√r) = φ(Φ⁻¹(p))/(σ√r). It
spends all that the level allows on the final sum, where bets on growth leave most of it unspent. For values in 0..1,

    B_i = min(c p/m, h(p) / max(√(κ_i m(1-m) r_i), z(1-m))),   h(p) = φ(Φ⁻¹(p)),

where κ_i is the variance of the values before over mean(1-mean), both with an imagined value of 1/2 and variance 1/4.
The variance is scaled to m, as the claim has to be hedged in the world where the mean is m. A twentieth of p lies in an
account of its own, which is always at its cap c/m: it wins when values hardly vary.

Order. p_i falls in m and rises with p_0. With x between 0 and 1, the slopes of p + B(p, m)(x - m) show this by
induction if

    -1/(1-m) ≤ ∂B/∂p ≤ 1/m   and   -1/m ≤ ∂ln B/∂m ≤ 1/(1-m).

At the cap, ∂B/∂p = c/m and ∂ln B/∂m = -1/m. Else h is concave with h(0) = 0, so that ∂B/∂p ≤ B/p ≤ c/m; its slope is
least at p = g, -z over at least z(1-m); and the denominator's logarithm has a slope between -1/(1-m) and 1/(2m). So
all m that are rejected lie on one side, bisection finds the end of the interval, and the least level that rejects m is
a p-value: at most half of the error exactly if that side of the interval leaves m out. `h` is interpolated linearly
between points of the curve, which keeps it concave.

Bets that aim at what is left of the level and of the trials are an idea of V. Voráček and F. Orabona, "STaR-Bets:
Sequential Target-Recalculating Bets for Tighter Confidence Intervals", 2025 (arXiv 2505.22422). In this notation theirs
are √(2 ln(1/p)) p/(σ√r), with the variance of the values; p then neither falls in m nor rises with the level, and on
recorded trials the intervals are wider (`docs/benchmarks/coverage.md`).
"""

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

_CAP = 0.99
"""c above. With a cap of 1, one value at 0 would make p 0 for ever."""
_Z = 0.5
"""z above: a larger one hedges the last trials less and rejects at a larger p."""
_GOAL = NormalDist().cdf(_Z)
AT_CAP = 0.05
"""Part of p that always bets at the cap, if nothing else is asked for."""
_POINTS = np.concatenate(([0.0], np.geomspace(1e-12, 0.01, 80), np.linspace(0.01, 1.0, 160)[1:-1], [1.0]))
_SLOPES = np.array([0.0, *(NormalDist().pdf(NormalDist().inv_cdf(p)) for p in _POINTS[1:-1]), 0.0])
_ROWS, _MOST_TRIED = 2000, 63
"""Rows that are tried side by side, and those of one sample: up to about a thousand, a step costs numpy's overhead."""
_LEVELS = np.minimum(1.0, 0.025 * 2.0 ** (-np.arange(-1363, 9000) / 256))
"""Levels that p-values are rounded up to, steps of 0.3 % down to 6e-13. A side of a 95 % interval has one of them."""


class _Bets:
    """Values of several samples, and the spread that the bet on each value assumes, aligned at their last values."""

    def __init__(self, samples: Sequence[Rows], at_cap: float = AT_CAP) -> None:
        self._at_cap = at_cap
        n_values = np.array([len(sample) for sample in samples])
        self._starts = n_values.max() - n_values
        self._values = np.zeros((n_values.max(), len(samples)))
        self._spreads = np.ones_like(self._values)
        for column, (sample, start) in enumerate(zip(samples, self._starts, strict=True)):
            self._values[start:, column] = sample
            self._spreads[start:, column] = _spreads(sample)

    def rejected(self, columns: NDArray[np.intp], means: Rows, levels: Rows) -> NDArray[np.bool_]:
        """Return for each row whether its sample rejects, at its level, that the mean is at most the row's."""
        hedged, capped = (1 - self._at_cap) * _GOAL * levels, self._at_cap * _GOAL * levels
        cap, deviation, least = _CAP / means, np.sqrt(means * (1 - means)), _Z * (1 - means)
        starts, done = self._starts[columns], hedged + capped >= _GOAL
        last_start = starts.max()
        for step in range(starts.min(), len(self._values)):
            excess = self._values[step, columns] - means
            if step < last_start:
                excess[step < starts] = 0.0  # the row's first value comes later
            width = np.maximum(self._spreads[step, columns] * deviation, least)
            hedged += np.minimum(cap * hedged, np.interp(hedged, _POINTS, _SLOPES) / width) * excess
            capped = np.minimum(capped * (1 + cap * excess), 1.0)  # beyond the goal, growth would overflow
            done |= hedged + capped >= _GOAL
        return done


def rejections(
    samples: Sequence[Rows], means: Sequence[float], levels: Sequence[float], *, at_cap: float = AT_CAP
) -> list[bool]:
    """Return for each sample whether it rejects at its level that its mean is at most a given one, within 0..1."""
    found = _Bets(samples, at_cap).rejected(np.arange(len(samples)), np.array(means), np.array(levels))
    return [bool(is_rejected) for is_rejected in found]


def least_means(samples: Sequence[Rows], level: float, n_steps: int) -> list[int]:
    """Return for each sample the largest k for which a mean of k/n_steps is rejected at this level, 0 if none is."""
    bets = _Bets(samples)

    def rejected(columns: NDArray[np.intp], ks: NDArray[np.int64]) -> NDArray[np.bool_]:
        means = np.maximum(ks, 1) / n_steps  # 0 is no mean to bet against, and `_last` knows it to be rejected
        return bets.rejected(columns, means, np.full(len(ks), level))

    return [int(k) for k in _last(rejected, len(samples), n_steps)]


def least_levels(samples: Sequence[Rows], means: Sequence[float], *, at_cap: float = AT_CAP) -> list[float]:
    """Return for each sample the least level at which it rejects that its mean is at most a given one: a p-value.

    Rounded up to the next of `_LEVELS`. Each mean lies between 0 and 1.
    """
    bets, of_samples = _Bets(samples, at_cap), np.array(means, dtype=np.float64)

    def rejected(columns: NDArray[np.intp], places: NDArray[np.int64]) -> NDArray[np.bool_]:
        return bets.rejected(columns, of_samples[columns], _LEVELS[places])

    return [float(level) for level in _LEVELS[_last(rejected, len(samples), len(_LEVELS))]]


def _last(
    is_true: Callable[[NDArray[np.intp], NDArray[np.int64]], NDArray[np.bool_]], n_samples: int, end: int
) -> NDArray[np.int64]:
    """Return for each sample the last k < end of which something is true, as it is of 0 and of all before that k."""
    true, false = np.zeros(n_samples, dtype=np.int64), np.full(n_samples, end, dtype=np.int64)
    n_tried = min(_MOST_TRIED, max(1, _ROWS // n_samples))
    fractions = np.arange(1, n_tried + 1)
    while (false - true).max() > 1:
        tried = true[:, np.newaxis] + (false - true)[:, np.newaxis] * fractions // (n_tried + 1)
        columns = np.repeat(np.arange(n_samples), n_tried)
        found = is_true(columns, tried.ravel()).reshape(tried.shape) | (tried == true[:, np.newaxis])
        n_true = np.logical_and.accumulate(found, axis=1).sum(axis=1)
        ends = np.column_stack((true, tried, false))
        rows = np.arange(n_samples)
        true, false = ends[rows, n_true], ends[rows, n_true + 1]
    return true


def _spreads(values: Rows) -> Rows:
    """Return √(κ_i r_i) for each value."""
    n_seen = np.arange(1, len(values) + 1)  # with the imagined value
    sums = np.concatenate(([0.5], 0.5 + np.cumsum(values)[:-1]))
    squares = np.concatenate(([0.5], 0.5 + np.cumsum(values**2)[:-1]))
    means = sums / n_seen
    share = (squares / n_seen - means**2) / (means * (1 - means))
    return np.asarray(np.sqrt(np.clip(share, 0.0, 1.0) * np.arange(len(values), 0, -1)))
