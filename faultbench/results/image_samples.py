"""Estimates over all images of a cell from one trial, which looked at all of them or at a sample in two strata.

Of N images the golden run has N_r right and N_w wrong; a trial looked at n_r and n_w of them, drawn without
replacement. If k_r and k_w of these have some outcome, the fraction of all images with that outcome is estimated by

    x = (N_r / N) k_r / n_r + (N_w / N) k_w / n_w,

which is unbiased, lies in 0..1, and is exact where n_r = N_r and n_w = N_w (stratified sampling: W. G. Cochran,
"Sampling Techniques", 3rd ed. 1977, section 5.3). Its variance, given the trial's faults, is estimated without bias by

    Σ (N_s / N)² (1 - n_s / N_s) p_s (1 - p_s) / (n_s - 1),   p_s = k_s / n_s,

over the strata of two images or more (section 5.6); one image alone gives no estimate.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.trial_columns import counts_of
from faultbench.results.journal.trial_rules import ABSENT

Values = NDArray[np.float64]
"""One value per trial."""

SplitCount = tuple[int, int]
"""Counts among the images that the golden run has right, and among those that it has wrong."""


def trial_accuracy(trial: Trial, golden: Golden | None) -> float:
    """Return the fraction of all images that the trial has right; golden may be None if it looked at all of them."""
    return fraction(trial, golden, "n_correct")


def fraction(trial: Trial, golden: Golden | None, count: str) -> float:
    """Return the fraction of all images in a count: `n_correct`, `n_masked`, `n_sdc`, `n_sdc_critical` or `n_due`."""
    if trial.n_golden_correct is None:
        return int(getattr(trial, count)) / trial.n_images
    strata = zip(_weights(golden), _split_count(trial, count), _split_images(trial), strict=True)
    # Rounding can make the sum of two weights exceed 1.
    return min(1.0, sum(weight * counted / n for weight, counted, n in strata if n))


def fractions(trials: Sequence[Trial], golden: Golden | None, count: str) -> Values:
    """Return `fraction` of every trial."""
    if looks_at_sample(trials):
        return np.array([fraction(trial, golden, count) for trial in trials])
    return counts_of(trials, count) / counts_of(trials, "n_images")


def wrong_rates(trials: Sequence[Trial], golden: Golden | None) -> Values:
    """Return the fraction of all images that differ from the golden run in each trial: SDC and DUE."""
    if looks_at_sample(trials):
        return np.minimum(1.0, fractions(trials, golden, "n_sdc") + fractions(trials, golden, "n_due"))
    return (counts_of(trials, "n_sdc") + counts_of(trials, "n_due")) / counts_of(trials, "n_images")


def looks_at_sample(trials: Sequence[Trial]) -> bool:
    """Return whether some of the trials looked at a sample of the images."""
    return bool((counts_of(trials, "n_golden_correct") != ABSENT).any())


def within_variances(trials: Sequence[Trial], golden: Golden | None) -> Values:
    """Return `within_variance` of every trial."""
    if not looks_at_sample(trials):
        return np.zeros(len(trials))
    return np.array([within_variance(trial, golden) for trial in trials])


def within_variance(trial: Trial, golden: Golden | None) -> float:
    """Return the estimated variance that sampling of images adds to the trial's accuracy; 0 without sampling."""
    if trial.n_golden_correct is None or golden is None:
        return 0.0
    sizes = (golden.n_correct, golden.n_images - golden.n_correct)
    variance = 0.0
    for size, right, n in zip(sizes, _split_count(trial, "n_correct"), _split_images(trial), strict=True):
        if n > 1:
            p = right / n
            variance += (size / golden.n_images) ** 2 * (1 - n / size) * p * (1 - p) / (n - 1)
    return variance


def _weights(golden: Golden | None) -> tuple[float, float]:
    if golden is None:
        raise ValueError("a trial over some of the images means nothing without its golden run")
    right = golden.n_correct / golden.n_images
    return right, 1 - right


def _split_images(trial: Trial) -> SplitCount:
    """Return the numbers of images that the trial looked at."""
    n_right = trial.n_golden_correct or 0
    return n_right, trial.n_images - n_right


def _split_count(trial: Trial, count: str) -> SplitCount:
    """Return the images of a count, split by the golden run."""
    n_due = trial.n_due_critical or 0
    n_kept = _split_images(trial)[0] - trial.n_sdc_critical - n_due
    of_right = {"n_correct": n_kept, "n_masked": n_kept, "n_due": n_due}.get(count, trial.n_sdc_critical)
    return of_right, getattr(trial, count) - of_right
