"""Choice of a few test images for each trial, drawn anew in two strata: those the golden run has right, and the others.

The accuracy of a trial varies mostly with the bits hit, less with the images used. So a hundred trials on 32 images
each tell more of the mean accuracy than three on 1,000 (two-stage sampling; W. G. Cochran, "Sampling Techniques", 3rd
ed. 1977, chapters 10 and 11). Images are drawn without replacement, in each stratum on its own. `image_samples` weights
the strata by their true shares, so that a harmless trial measures exactly the golden accuracy, whatever its images.
The golden run on all images thus serves as a control variate, and the estimate stays in 0..1.
"""

import numpy as np
from numpy.typing import NDArray

from faultbench.system.random_streams import generator


def choose_images(seed: int, trial: int, golden_right: NDArray[np.bool_], n_images: int) -> NDArray[np.int64]:
    """Return the indices, ascending, of about n_images images for a trial. golden_right tells the strata apart.

    The choice depends only on the seed, the trial number and the strata. A larger choice contains a smaller one. Two
    networks that are right on nearly the same images get nearly the same images.
    """
    order = generator(f"{seed}/images/{trial}").permutation(len(golden_right))
    n_golden_right = int(np.count_nonzero(golden_right))
    n_right, n_wrong = stratum_sizes(n_golden_right, len(order) - n_golden_right, n_images)
    chosen = _first_of_each(order[: 64 * n_images], golden_right, n_right, n_wrong)
    if len(chosen) < n_right + n_wrong:  # one of the strata is small: go through all images
        chosen = _first_of_each(order, golden_right, n_right, n_wrong)
    return np.sort(chosen).astype(np.int64)


def _first_of_each(
    order: NDArray[np.int64], golden_right: NDArray[np.bool_], n_right: int, n_wrong: int
) -> NDArray[np.int64]:
    """Return the first images of each stratum in this order, or all of a stratum that has fewer."""
    right = golden_right[order]
    return np.concatenate([order[right][:n_right], order[~right][:n_wrong]])


def stratum_sizes(n_right: int, n_wrong: int, n_images: int) -> tuple[int, int]:
    """Return how many images are drawn from each stratum: in proportion, but at least one from one that has any."""
    n_images = min(n_images, n_right + n_wrong)
    if not n_right or not n_wrong:
        return min(n_images, n_right), min(n_images, n_wrong)
    n_drawn = round(n_images * n_wrong / (n_right + n_wrong))
    n_drawn = min(max(n_drawn, 1), max(n_images - 1, 1))
    return min(max(n_images - n_drawn, 1), n_right), n_drawn
