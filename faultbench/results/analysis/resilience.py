"""Resilience: the area under accuracy against BER, one number in 0..1 for the whole curve.

Where trial k had the accuracies a_1 … a_n at the BERs p_1 < … < p_n of the campaign, its area is the trapezoid
over log10 p, divided by the width of the curve:

    A_k = Σ_i (a_i + a_{i+1}) / 2 · log10(p_{i+1} / p_i)  /  log10(p_n / p_1)

It is the trial's mean accuracy when every decade counts alike: the golden accuracy if no flip costs an image. A
BER more between two others makes it finer, not heavier; areas over other spans are other numbers.

A trial number stands for one faulty memory; under `bernoulli` its flips at a BER are among those at the next. So
its accuracies belong together and the number is one draw of A: the interval of the mean area is
`measures.mean_interval` over the numbers, never something made of the intervals of the cells.

The area is our choice. FT-ClipAct (arXiv 1912.00941) compares thresholds by the area under accuracy against the
rank of the rate, which changes with the rates listed. How ProAct's abstract (arXiv 2406.06313) measures its "6.4×"
resilience is not known to us, so that figure cannot be held against these.
"""

import numpy as np
import pandas as pd

from faultbench.results import stats
from faultbench.results.analysis.cell_summary import Measured, curves, images_per_trial, mean_interval
from faultbench.results.folder import LABELS


def areas(results: Measured) -> pd.DataFrame:
    """A row for each trial number of each protected network: `LABELS`, `trial` and `area`, in that order.

    A number that is not recorded at every BER of the campaign has none; nor has any where there is only one BER.
    """
    found = curves(results)
    if len(found.columns) == 1:
        return pd.DataFrame(columns=[*LABELS, "trial", "area"])
    decades = np.log10(found.columns.to_numpy(dtype=np.float64))
    area = np.trapezoid(found, decades, axis=1) / (decades[-1] - decades[0])
    # Rounding may carry a trial without a wrong image past 1.
    return found.index.to_frame(index=False).assign(area=np.clip(area, 0, 1))


def resiliences(results: Measured) -> pd.DataFrame:
    """A row for each fault model of each protected network that has areas.

    Its columns are `LABELS`, `n_areas`, `resilience`, the mean area, `resilience_ci_low` and `…_high`, and
    `images_per_trial`.
    """
    rows, images = [], images_per_trial(results)
    for labels, area in areas(results).groupby([*LABELS], sort=False).area:
        interval = mean_interval(area.to_list(), results.manifest.rule)
        rows.append((*labels, len(area), stats.mean(area.to_numpy()), interval.low, interval.high, images[labels]))
    names = ("n_areas", "resilience", "resilience_ci_low", "resilience_ci_high", "images_per_trial")
    return pd.DataFrame(rows, columns=[*LABELS, *names])
