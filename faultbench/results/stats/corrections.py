"""Corrections of the p-values of several tests: for any error at all, and for the share of errors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that any true hypothesis of all is below δ with probability ≤ δ.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979: the k-th smallest of n
    is multiplied by n + 1 - k, and is at least the corrected value of every smaller one. Any dependence is allowed.
    """
    n, adjusted, largest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected so that of all that are below δ an expected share ≤ δ belongs to true hypotheses.

    Y. Benjamini and Y. Hochberg (J. R. Stat. Soc. B 57, 1995): the k-th smallest of n is multiplied by n/k, and is at
    most the corrected value of every larger one. The p-values of true hypotheses have to be independent of each other
    and of the other p-values.
    """
    order = np.argsort(p_values, kind="stable")
    n = len(p_values)
    scaled = p_values[order] * n / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted
