"""Resilience of a protected network: the area under accuracy against BER, one number in 0..1 for the whole curve.

Where trial k had the accuracies a_1 … a_n at the BERs p_1 < … < p_n of the campaign, its area is the trapezoid
over log10 p, divided by the width of the curve:

    A_k = Σ_i (a_i + a_{i+1}) / 2 · log10(p_{i+1} / p_i)  /  log10(p_n / p_1)

It is the trial's mean accuracy if every decade counts alike: the golden accuracy if no flip costs an image. Another
BER between two others makes it finer and gives the span no more weight. Areas over different spans do not compare.

A trial number stands for one faulty memory; under `bernoulli` its flips at a BER are among those at the next. So
its accuracies belong together, and the number is one draw of A: the interval of the mean area is that of
`stats.mean_interval` over the numbers. It cannot be made of the intervals of the cells.

The area is this project's choice. FT-ClipAct (arXiv 1912.00941) compares thresholds by the area under accuracy against
the rank of the rate, which changes with the rates listed. The abstract of ProAct (arXiv 2406.06313) does not say how
its "6.4×" resilience is measured, so that figure cannot be compared with these areas.
"""

import numpy as np
import pandas as pd

from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.cell_summary import curves, images_per_trial
from faultbench.results.estimates import MeanEstimate, intervals
from faultbench.results.folder import LABELS


def areas(results: CampaignTables) -> pd.DataFrame:
    """Return a row for each trial number of each protected network: `LABELS`, `trial` and `area`, in that order.

    A number that is not recorded at every BER of the campaign has no row. With only one BER there are no rows.
    """
    accuracies = curves(results)
    if len(accuracies.columns) == 1:
        return pd.DataFrame(columns=[*LABELS, "trial", "area"])
    decades = np.log10(accuracies.columns.to_numpy(dtype=np.float64))
    area = np.trapezoid(accuracies, decades, axis=1) / (decades[-1] - decades[0])
    # Rounding may carry a trial without a wrong image past 1.
    return accuracies.index.to_frame(index=False).assign(area=np.clip(area, 0, 1))


def resiliences(results: CampaignTables) -> pd.DataFrame:
    """Return a row for each fault model of each protected network that has areas.

    Its columns are `LABELS`, `n_areas`, `resilience`, the mean area, `resilience_ci_low` and `…_high`, and
    `images_per_trial`.
    """
    images = images_per_trial(results)
    by_network = areas(results).groupby([*LABELS], sort=False).area
    networks = {labels: MeanEstimate(area.to_numpy()) for labels, area in by_network}
    ends = intervals(list(networks.values()), results.manifest.rule)
    rows = [
        (*labels, len(estimate.values), stats.mean(estimate.values), interval.low, interval.high, images[labels])
        for (labels, estimate), interval in zip(networks.items(), ends, strict=True)
    ]
    names = ("n_areas", "resilience", "resilience_ci_low", "resilience_ci_high", "images_per_trial")
    return pd.DataFrame(rows, columns=[*LABELS, *names])
