"""Statistics of n trials: means, quantiles, worst trials, rates and differences, with guaranteed intervals.

A trial is one draw: its images share its flips, so n trials of m images are n observations, not n·m.
"""

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.margins import MarginTest, margin_test, n_to_decide
from faultbench.results.stats.means import Interval, Values, log_capital, mean, mean_interval
from faultbench.results.stats.paired import MeanDifference, holm, mean_difference
from faultbench.results.stats.quantiles import below_worst, quantile, quantile_interval
from faultbench.results.stats.rates import difference_intervals, rate_ends, rate_intervals

__all__ = [
    "CONFIDENCE",
    "Interval",
    "MarginTest",
    "MeanDifference",
    "Values",
    "below_worst",
    "difference_intervals",
    "holm",
    "log_capital",
    "margin_test",
    "mean",
    "mean_difference",
    "mean_interval",
    "n_to_decide",
    "quantile",
    "quantile_interval",
    "rate_ends",
    "rate_intervals",
]
