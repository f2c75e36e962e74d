"""Number of images per trial, if the campaign leaves it open: the best one by the first trials of the cell.

Let σ_b² be the variance of the trials' true accuracies and σ_w² that of one image within a trial. Then n trials on m
images each estimate the mean with variance (σ_b² + σ_w² / m) / n. If a trial costs c images in addition to the m that
it runs, the variance for equal work is least at

    m = √(c σ_w² / σ_b²)

(W. G. Cochran, "Sampling Techniques", 3rd ed. 1977, section 10.6). Both variances come from the first trials of a cell.
c comes from counts of the network's work, not from a clock: the images of a trial must not depend on the machine.
"""

from collections.abc import Sequence
from math import log2, sqrt

import numpy as np

from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.results.image_samples import fractions, within_variances
from faultbench.results.journal.records import Golden, Trial

PILOT_IMAGES = 16
"""Number of images of each of a cell's first trials."""

FEWEST, MOST = 4, 512
"""Limits of the number of images per trial."""

_LEAST_BETWEEN = 1 / 16
"""Least variance between trials that is assumed, as a share of that within: the pilot is too small to tell less."""

TRIAL_S, STEP_S = 1e-3, 1.2e-5
"""Seconds that a trial takes in addition to inference, and each step of a network in addition to its arithmetic."""

MACS_PER_S, BYTES_PER_S = 3e10, 8e9
"""Multiply-accumulates and bytes of weights per second of one core; `benchmarks/sampling.py` measures all four."""


def trial_overhead_images(*, n_steps: int, macs: int, n_weights: int) -> float:
    """Return c, the cost of a trial in addition to its images, in images; macs are multiply-accumulates per image."""
    fixed_s = TRIAL_S + STEP_S * n_steps + 4 * n_weights / BYTES_PER_S
    return fixed_s * MACS_PER_S / macs


def choose_n_images(pilot: Sequence[Trial], golden: Golden, *, overhead_images: float) -> int:
    """Return the number of images, a power of two, for trials after the pilot: the first `N_PILOT` trials of a cell.

    overhead_images is the cost c of a trial in addition to its images.
    """
    if len(pilot) < N_PILOT:
        raise ValueError(f"{len(pilot)} trials are no pilot; it takes {N_PILOT}")
    within = float(np.mean(within_variances(pilot, golden)))
    between = float(np.var(fractions(pilot, golden, "n_correct"), ddof=1)) - within
    if not within:
        return FEWEST
    ratio = within * np.mean([trial.n_images for trial in pilot]) / max(between, _LEAST_BETWEEN * within)
    return int(2 ** round(log2(min(max(sqrt(overhead_images * ratio), FEWEST), MOST))))
