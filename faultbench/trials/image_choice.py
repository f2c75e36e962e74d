"""Which test images a trial looks at: a few, drawn anew for each trial, in two strata that the golden run makes.

Most of what a trial's accuracy varies by is which bits were hit, not which images were looked at, so a hundred
trials on 32 images each say more of the mean accuracy than three on 1,000 (two-stage sampling; W. G. Cochran,
"Sampling Techniques", 3rd ed. 1977, chapters 10 and 11). The images are drawn without replacement, and apart from those
that the golden run has right and those that it has wrong: `sampled` weights the two by their true shares, so that a
harmless trial measures exactly the golden accuracy, whatever its images. That is the golden run on all images as
control variate, and the estimate stays in 0..1.
"""

import numpy as np
from numpy.typing import NDArray

from faultbench.system.random_streams import generator


def subset(seed: int, trial: int, golden_right: NDArray[np.bool_], n_images: int) -> NDArray[np.int64]:
    """Indices, ascending, of about n_images images for a trial; golden_right tells the strata apart.

    It depends on the seed, the trial's number and the strata only. More images hold the fewer ones, and two networks
    that are right on nearly the same images meet nearly the same.
    """
    order = generator(f"{seed}/images/{trial}").permutation(len(golden_right))
    n_golden_right = int(np.count_nonzero(golden_right))
    n_right, n_wrong = shares(n_golden_right, len(order) - n_golden_right, n_images)
    found = _firsts(order[: 64 * n_images], golden_right, n_right, n_wrong)
    if len(found) < n_right + n_wrong:  # one of the strata is small: go through all images
        found = _firsts(order, golden_right, n_right, n_wrong)
    return np.sort(found).astype(np.int64)


def _firsts(order: NDArray[np.int64], golden_right: NDArray[np.bool_], n_right: int, n_wrong: int) -> NDArray[np.int64]:
    """So many of each stratum, or as many as there are, in this order."""
    right = golden_right[order]
    return np.concatenate([order[right][:n_right], order[~right][:n_wrong]])


def shares(n_right: int, n_wrong: int, n_images: int) -> tuple[int, int]:
    """How many images of each stratum are drawn: as many as its share, but at least one wherever there are any."""
    n_images = min(n_images, n_right + n_wrong)
    if not n_right or not n_wrong:
        return min(n_images, n_right), min(n_images, n_wrong)
    n_drawn = round(n_images * n_wrong / (n_right + n_wrong))
    n_drawn = min(max(n_drawn, 1), max(n_images - 1, 1))
    return min(max(n_images - n_drawn, 1), n_right), n_drawn
