"""What a trial says of all images of its cell, whether it looked at all of them or at a sample in two strata.

Of N images the golden run has N_r right and N_w wrong; a trial looked at n_r and n_w of them, drawn without
replacement. With k_r and k_w of those ending in some way, the fraction of all images that do is estimated by

    x = (N_r / N) k_r / n_r + (N_w / N) k_w / n_w,

which is unbiased, lies in 0..1, and is exact where n_r = N_r and n_w = N_w (stratified sampling: W. G. Cochran,
"Sampling Techniques", 3rd ed. 1977, section 5.3). Its variance, given the trial's faults, is estimated without bias by

    Σ (N_s / N)² (1 - n_s / N_s) p_s (1 - p_s) / (n_s - 1),   p_s = k_s / n_s,

over the strata of two images or more (section 5.6); from one image there is no telling.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.trial_columns import ABSENT, counts_of

Values = NDArray[np.float64]
"""One a trial."""

Ends = tuple[int, int]
"""Of the images that the golden run has right, and of those that it has wrong."""


def accuracy(trial: Trial, golden: Golden | None) -> float:
    """The fraction of all images of the cell that the trial has right; golden may be None if it looked at all."""
    return fraction(trial, golden, "n_correct")


def fraction(trial: Trial, golden: Golden | None, count: str) -> float:
    """The fraction of all images that end in one way: `n_correct`, `n_masked`, `n_sdc`, `n_sdc_critical`, `n_due`."""
    if trial.n_golden_correct is None:
        return int(getattr(trial, count)) / trial.n_images
    strata = zip(_weights(golden), _ends(trial, count), _looked(trial), strict=True)
    # Two weights may add up to more than 1 by the last bit.
    return min(1.0, sum(weight * ends / n for weight, ends, n in strata if n))


def fractions(trials: Sequence[Trial], golden: Golden | None, count: str) -> Values:
    """The same of every trial."""
    if is_sampled(trials):
        return np.array([fraction(trial, golden, count) for trial in trials])
    return counts_of(trials, count) / counts_of(trials, "n_images")


def wrong_rates(trials: Sequence[Trial], golden: Golden | None) -> Values:
    """The fraction of all images that each trial puts otherwise than the golden run: SDC and DUE."""
    if is_sampled(trials):
        return np.minimum(1.0, fractions(trials, golden, "n_sdc") + fractions(trials, golden, "n_due"))
    return (counts_of(trials, "n_sdc") + counts_of(trials, "n_due")) / counts_of(trials, "n_images")


def is_sampled(trials: Sequence[Trial]) -> bool:
    """Whether some of the trials looked at some of the images only."""
    return bool((counts_of(trials, "n_golden_correct") != ABSENT).any())


def within_variances(trials: Sequence[Trial], golden: Golden | None) -> Values:
    """`within_variance` of every trial."""
    if not is_sampled(trials):
        return np.zeros(len(trials))
    return np.array([within_variance(trial, golden) for trial in trials])


def within_variance(trial: Trial, golden: Golden | None) -> float:
    """Estimated variance of the trial's accuracy that comes from not having looked at all images; 0 if it did."""
    if trial.n_golden_correct is None or golden is None:
        return 0.0
    sizes = (golden.n_correct, golden.n_images - golden.n_correct)
    found = 0.0
    for size, right, n in zip(sizes, _ends(trial, "n_correct"), _looked(trial), strict=True):
        if n > 1:
            p = right / n
            found += (size / golden.n_images) ** 2 * (1 - n / size) * p * (1 - p) / (n - 1)
    return found


def _weights(golden: Golden | None) -> tuple[float, float]:
    if golden is None:
        raise ValueError("a trial over some of the images means nothing without its golden run")
    right = golden.n_correct / golden.n_images
    return right, 1 - right


def _looked(trial: Trial) -> Ends:
    n_right = trial.n_golden_correct or 0
    return n_right, trial.n_images - n_right


def _ends(trial: Trial, count: str) -> Ends:
    n_due = trial.n_due_critical or 0
    n_kept = _looked(trial)[0] - trial.n_sdc_critical - n_due
    of_right = {"n_correct": n_kept, "n_masked": n_kept, "n_due": n_due}.get(count, trial.n_sdc_critical)
    return of_right, getattr(trial, count) - of_right
