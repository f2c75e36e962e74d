"""Statistics of n trials: means, quantiles, worst trials, rates and differences, with guaranteed intervals.

A trial is one draw: its images share its flips, so n trials of m images are n observations, not n·m.
"""

from faultbench.campaign.stopping_rule import CONFIDENCE
from faultbench.results.stats.corrections import benjamini_hochberg, holm
from faultbench.results.stats.margins import MOST_PAIRS, MarginTest, margin_test, n_to_decide
from faultbench.results.stats.means import Interval, Values, mean, mean_interval, mean_intervals, one_sided_p_values
from faultbench.results.stats.paired import MeanDifference, Pairs, mean_difference, mean_differences
from faultbench.results.stats.quantiles import below_worst, quantile, quantile_interval
from faultbench.results.stats.rates import difference_intervals, rate_intervals
from faultbench.results.stats.ratios import ratio_interval
from faultbench.results.stats.subsets import least_effects, low_subset_p_values, mean_ends

__all__ = [
    "CONFIDENCE",
    "MOST_PAIRS",
    "Interval",
    "MarginTest",
    "MeanDifference",
    "Pairs",
    "Values",
    "below_worst",
    "benjamini_hochberg",
    "difference_intervals",
    "holm",
    "least_effects",
    "low_subset_p_values",
    "margin_test",
    "mean",
    "mean_difference",
    "mean_differences",
    "mean_ends",
    "mean_interval",
    "mean_intervals",
    "n_to_decide",
    "one_sided_p_values",
    "quantile",
    "quantile_interval",
    "rate_intervals",
    "ratio_interval",
]
