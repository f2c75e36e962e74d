"""What n trials say of all trials: means, quantiles, worst trials and differences, with intervals that hold.

A trial is one draw: its images share its flips, so n trials of m images are n observations, never n·m.
"""

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.margins import MarginTest, margin_test, n_to_decide
from faultbench.results.stats.means import Interval, Values, log_capital, mean, mean_interval
from faultbench.results.stats.paired import Difference, difference, holm
from faultbench.results.stats.quantiles import below_worst, quantile, quantile_interval
from faultbench.results.stats.rates import difference_intervals, rate_ends, rate_intervals

__all__ = [
    "CONFIDENCE",
    "Difference",
    "Interval",
    "MarginTest",
    "Values",
    "below_worst",
    "difference",
    "difference_intervals",
    "holm",
    "log_capital",
    "margin_test",
    "mean",
    "mean_interval",
    "n_to_decide",
    "quantile",
    "quantile_interval",
    "rate_ends",
    "rate_intervals",
]
