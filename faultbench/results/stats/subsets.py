"""Random subsets of known values: whether chance explains a low mean, and how much an effect lowered it.

*Whether chance explains it.* Of N known values in 0..1, n are drawn without replacement. For every convex f, the
expectation of f of their sum is at most that of n draws with replacement (W. Hoeffding, J. Am. Stat. Assoc. 58, 1963,
Theorem 4), so Chernoff's bound for independent draws holds for the subset as well. With M(λ) = Σ exp(−λ x_i) / N,

    P(mean of the subset ≤ t)  ≤  exp(n (λ t + ln M(λ)))    for every λ ≥ 0.

The mean of the values that are left is determined by that of the subset, so the smaller of the two sets is judged. The
smallest bound over a fixed list of λ is taken.

*How much an effect lowered it.* Let the members of a random subset be lowered by effects e_i ≥ 0, and let y_i be the N
values without them: y_i = x_i + e_i in the subset, x_i elsewhere. The y_i do not depend on the subset, so the bound
above holds for them, with an M that is at most that of the x_i. Hence with probability ≥ 1 − δ

    mean of y in the subset  >  (−ln M(λ) − ln(1/δ)/n) / λ,

and less the observed mean t this is a lower end of the mean effect on the members. For n ≤ N/2 it is above 0 if and
only if the p-value of the subset itself is below δ.

*Means beyond the subset.* The mean m of n independent values in 0..1 with expectation μ satisfies
P(m ≥ t) ≤ exp(−n KL(t, μ)) for t > μ, and the same below, with KL(t, μ) = t ln(t/μ) + (1−t) ln((1−t)/(1−μ))
(Theorem 1 of the same paper). The ends are where n·KL(m, μ) reaches ln(1/error). They need no single value.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RATES = np.geomspace(1e-2, 1e5, 300)
"""Values of λ."""

_N_HALVINGS = 60


def low_subset_p_values(values: Floats, sizes: NDArray[np.int64], means: Floats) -> Floats:
    """Return, for each subset, an upper bound of the probability that a random one of its size has as low a mean.

    values are the N known values in 0..1; sizes are in 1..N. ValueError for anything else.
    """
    _require_in_range(values, sizes)
    n_left = len(values) - sizes
    left = (values.sum() - sizes * means) / np.maximum(n_left, 1)
    below = -sizes * _exponents(values, means)
    above = -n_left * _exponents(1 - values, 1 - left)
    return np.exp(np.where(n_left == 0, 0.0, np.where(sizes <= n_left, below, above)))


def least_effects(values: Floats, sizes: NDArray[np.int64], means: Floats, *, error: Floats | float) -> Floats:
    """Return, for each subset, a lower end of the mean effect that lowered its values, which are among the N values.

    values are in 0..1 with and without the effect, which is assumed to raise none; sizes are in 1..N. It misses with
    probability `error` at most. ValueError for values and sizes out of range.
    """
    _require_in_range(values, sizes)
    allowed = (-np.log(error) / sizes)[:, None]
    least, moments = _log_moments(values)
    low: Floats = np.max((-moments - allowed) / _RATES, axis=1) + least - means
    return low


def mean_ends(means: Floats, sizes: NDArray[np.int64], *, error: Floats | float) -> tuple[Floats, Floats]:
    """Return the ends of the expectation of values in 0..1, given the mean of each number of them; 0 and 1 for none.

    Each end misses with probability `error` at most.
    """
    limit = -np.log(error) / np.maximum(sizes, 1)
    known = np.where(sizes > 0, means, 0.5)
    low, high = _end(known, limit, outside=0.0), _end(known, limit, outside=1.0)
    return np.where(sizes > 0, low, 0.0), np.where(sizes > 0, high, 1.0)


def _require_in_range(values: Floats, sizes: NDArray[np.int64]) -> None:
    n_values = len(values)
    if len(sizes) and not (sizes.min() >= 1 and sizes.max() <= n_values):
        raise ValueError(f"sizes of subsets of {n_values} values have to be in 1..{n_values}")
    if n_values and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("values have to be in 0..1")


def _exponents(values: Floats, means: Floats) -> Floats:
    """Return the largest −λ t − ln M(λ) for each mean t; 0 if t is not below the values' mean."""
    least, moments = _log_moments(values)
    best: Floats = np.max(-np.outer(np.maximum(means - least, 0), _RATES) - moments, axis=1)
    return np.maximum(best, 0)


def _log_moments(values: Floats) -> tuple[float, Floats]:
    """Return the least value, and ln M(λ) of the values less it: no exponential is above 1, and M never underflows."""
    different, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    return float(different[0]), np.log(np.exp(-np.outer(_RATES, different - different[0])) @ shares)


def _end(means: Floats, limit: Floats, *, outside: float) -> Floats:
    """Return the expectation between the mean and `outside` at which the divergence reaches the limit."""
    inner, outer = means.copy(), np.full_like(means, outside)
    for _ in range(_N_HALVINGS):
        middle = (inner + outer) / 2
        is_beyond = _divergence(means, middle) > limit
        inner, outer = np.where(is_beyond, inner, middle), np.where(is_beyond, middle, outer)
    return outer


def _divergence(means: Floats, expected: Floats) -> Floats:
    from scipy.special import rel_entr  # takes a third of a second, which readers of other tables save

    divergence: Floats = rel_entr(means, expected) + rel_entr(1 - means, 1 - expected)
    return divergence
