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

from faultbench.streams import generator


def subset(seed: int, trial: int, golden_right: NDArray[np.bool_], n_images: int) -> NDArray[np.int64]:
    """Indices, ascending, of about n_images images for a trial; golden_right tells the strata apart.

    It depends on the seed, the trial's number and the strata only. More images hold the fewer ones, and two networks
    that are right on nearly the same images meet nearly the same.
    """
    order = generator(f"{seed}/images/{trial}").permutation(len(golden_right))
    right, wrong = order[golden_right[order]], order[~golden_right[order]]
    n_right, n_wrong = shares(len(right), len(wrong), n_images)
    return np.sort(np.concatenate([right[:n_right], wrong[:n_wrong]])).astype(np.int64)


def shares(n_right: int, n_wrong: int, n_images: int) -> tuple[int, int]:
    """How many images of each stratum are drawn: as many as its share, but at least one wherever there are any."""
    n_images = min(n_images, n_right + n_wrong)
    if not n_right or not n_wrong:
        return min(n_images, n_right), min(n_images, n_wrong)
    n_drawn = round(n_images * n_wrong / (n_right + n_wrong))
    n_drawn = min(max(n_drawn, 1), max(n_images - 1, 1))
    return min(max(n_images - n_drawn, 1), n_right), n_drawn
