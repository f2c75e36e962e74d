"""Means of random subsets: whether chance explains a low one, and an interval that needs no single value.

*Whether chance explains it.* Of N known values in 0..1, n are drawn without replacement. For every convex f, the
expectation of f of their sum is at most that of n draws with replacement (W. Hoeffding, J. Am. Stat. Assoc. 58, 1963,
Theorem 4), so Chernoff's bound for independent draws holds for the subset as well:

    P(mean of the subset ≤ t)  ≤  exp(n · inf_λ≥0 [λ t + ln E exp(−λ X)]),    X one of the N values.

The mean of the values that are left is determined by that of the subset, so the smaller of the two sets is judged. Each
λ gives a valid bound; the smallest over a fixed list of them is taken.

*An interval without single values.* The mean m of n independent values in 0..1 with expectation μ satisfies
P(m ≥ t) ≤ exp(−n KL(t, μ)) for t > μ, and the same below, with KL(t, μ) = t ln(t/μ) + (1−t) ln((1−t)/(1−μ))
(Theorem 1 of the same paper). The ends are where n·KL(m, μ) reaches ln(1/error).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RATES = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 300)])
"""Values of λ."""

_N_HALVINGS = 60


def low_subset_p_values(values: Floats, sizes: NDArray[np.int64], means: Floats) -> Floats:
    """Return, for each subset, an upper bound of the probability that a random one of its size has as low a mean.

    values are the N known values in 0..1; sizes are in 1..N. ValueError for anything else.
    """
    n_values = len(values)
    if len(sizes) and not (sizes.min() >= 1 and sizes.max() <= n_values):
        raise ValueError(f"sizes of subsets of {n_values} values have to be in 1..{n_values}")
    if n_values and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("values have to be in 0..1")
    n_left = n_values - sizes
    left = (values.sum() - sizes * means) / np.maximum(n_left, 1)
    below = -sizes * _exponents(values, means)
    above = -n_left * _exponents(1 - values, 1 - left)
    return np.exp(np.where(n_left == 0, 0.0, np.where(sizes <= n_left, below, above)))


def mean_ends(means: Floats, sizes: NDArray[np.int64], *, error: Floats | float) -> tuple[Floats, Floats]:
    """Return the ends of the expectation of values in 0..1, given the mean of each number of them; 0 and 1 for none.

    Each end misses with probability `error` at most.
    """
    limit = -np.log(error) / np.maximum(sizes, 1)
    known = np.where(sizes > 0, means, 0.5)
    low, high = _end(known, limit, outside=0.0), _end(known, limit, outside=1.0)
    return np.where(sizes > 0, low, 0.0), np.where(sizes > 0, high, 1.0)


def _exponents(values: Floats, means: Floats) -> Floats:
    """Return sup over the list of λ of −λ t − ln E exp(−λ X) for each mean t; 0 if t is not below the values' mean."""
    different, counts = np.unique(values, return_counts=True)
    least = different[0]
    # Relative to the least value no exponential is above 1, and the expectation never underflows.
    moments = np.log(np.exp(-np.outer(_RATES, different - least)) @ (counts / len(values)))
    above_least = np.maximum(means - least, 0)
    best: Floats = np.max(-np.outer(above_least, _RATES) - moments, axis=1)
    return np.maximum(best, 0)


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
