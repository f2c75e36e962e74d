"""Rules that the golden run of a cell sets for the counts of its trials.

Of N images the golden run has G right. A trial over all of them keeps c = G - s - d of these, where s are critical
SDCs and d are DUEs, and mends m = n_correct - c others, at most as many as it has SDCs that are not critical. d is not
recorded; a trial is possible if some d ≥ 0 makes it so. A trial over a sample looked at some images of both kinds.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.trial_rules import ABSENT


def fit_golden_run(trials: Any, golden: Any, per_trial: int | None = None) -> NDArray[np.bool_]:
    """Return which trials their golden run allows; fields of trials and golden are arrays, one entry per trial.

    per_trial is the number of images per trial that the campaign asks for, None if it gives no number.
    """
    is_plain = trials.n_golden_correct == ABSENT
    possible: NDArray[np.bool_] = np.where(is_plain, _plain(trials, golden), _sampled(trials, golden, per_trial))
    return np.asarray(possible & (trials.n_flips <= golden.n_bits))


def _plain(trials: Any, golden: Any) -> NDArray[np.bool_]:
    n_wrong = golden.n_images - golden.n_correct
    n_mendable = trials.n_sdc - trials.n_sdc_critical
    n_left = golden.n_correct - trials.n_sdc_critical  # c + d
    n_lost = n_left - trials.n_correct  # d - m
    fewest = np.maximum.reduce([np.zeros_like(n_lost), n_lost, trials.n_due - (n_wrong - n_mendable)])
    most = np.minimum.reduce([trials.n_due, n_left, n_lost + n_mendable])
    return np.asarray((trials.n_images == golden.n_images) & (fewest <= most))


def _sampled(trials: Any, golden: Any, per_trial: int | None) -> NDArray[np.bool_]:
    n_wrong = golden.n_images - golden.n_correct
    n_looked_wrong = trials.n_images - trials.n_golden_correct
    of_right = (trials.n_golden_correct <= golden.n_correct) & ((trials.n_golden_correct > 0) | (golden.n_correct == 0))
    of_wrong = (n_looked_wrong <= n_wrong) & ((n_looked_wrong > 0) | (n_wrong == 0))
    wanted = trials.n_images == (trials.n_images if per_trial is None else np.minimum(per_trial, golden.n_images))
    return np.asarray(of_right & of_wrong & wanted)
