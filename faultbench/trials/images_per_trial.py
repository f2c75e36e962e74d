"""How many images a trial looks at where the campaign leaves it open: as its cell's first trials say that it pays.

With σ_b² the variance of trials' own accuracies and σ_w² that of one image within a trial, n trials on m images each
estimate the mean with variance (σ_b² + σ_w² / m) / n. Where a trial costs as much as c images beside those it looks
at, the variance for equal work is least at

    m = √(c σ_w² / σ_b²)

(W. G. Cochran, "Sampling Techniques", 3rd ed. 1977, section 10.6). Both variances come from the first trials of a cell;
c from counts of the network's work, not from a clock: which images a trial looks at must not depend on the machine.
"""

from collections.abc import Sequence
from math import log2, sqrt

import numpy as np

from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.results.image_samples import fractions, within_variances
from faultbench.results.journal.records import Golden, Trial

PILOT_IMAGES = 16
"""Images that each of a cell's first trials looks at."""

FEWEST, MOST = 4, 512

_NOTICEABLE = 1 / 16
"""Of the variance between trials not less is assumed than so much of that within: so few trials tell no more."""

TRIAL_S, STEP_S = 1e-3, 1.2e-5
"""Seconds that a trial takes beside inference, and each step of a network beside its arithmetic."""

MACS_PER_S, BYTES_PER_S = 3e10, 8e9
"""Multiply-accumulates and bytes of weights that one core gets through; `benchmarks/sampling.py` measures all four."""


def trial_in_images(*, n_steps: int, macs: int, n_weights: int) -> float:
    """c, what a trial costs beside its images, in images: n_steps calls, n_weights words, macs an image."""
    fixed_s = TRIAL_S + STEP_S * n_steps + 4 * n_weights / BYTES_PER_S
    return fixed_s * MACS_PER_S / macs


def images_a_trial(pilot: Sequence[Trial], golden: Golden, *, trial_in_images: float) -> int:
    """A power of two for the trials of a cell after its first ones, `N_PILOT`, which are the pilot."""
    if len(pilot) < N_PILOT:
        raise ValueError(f"{len(pilot)} trials are no pilot; it takes {N_PILOT}")
    within = float(np.mean(within_variances(pilot, golden)))
    between = float(np.var(fractions(pilot, golden, "n_correct"), ddof=1)) - within
    if not within:
        return FEWEST
    ratio = within * np.mean([trial.n_images for trial in pilot]) / max(between, _NOTICEABLE * within)
    return int(2 ** round(log2(min(max(sqrt(trial_in_images * ratio), FEWEST), MOST))))
