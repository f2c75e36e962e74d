"""What the trials of one cell say: mean accuracy, rates, quantiles and the worst trial, each with its interval.

A trial is one draw, also of a rate: the fraction of its images that end so. The columns `accuracy_ci_*` and
`*_rate_ci_*` are `stats.mean_interval`, `accuracy_median_ci_*` and `accuracy_q05_ci_*` `stats.quantile_interval`;
one without a number has too few trials to bound it on that side. `below_min_ci_high` bounds the fraction of all
trials that would come out worse than `accuracy_min`, the worst of these.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import pandas as pd

from faultbench import stats
from faultbench.errors import FaultbenchError
from faultbench.records import Trial
from faultbench.results_folder import LABELS, Manifest
from faultbench.stopping import Rule

OUTCOMES = {
    "sdc_rate": "n_sdc",
    "sdc_critical_rate": "n_sdc_critical",
    "due_rate": "n_due",
    "masked_rate": "n_masked",
}
"""Rate → the count it is of; each is the mean over trials of the fraction of images."""

QUANTILES = {"accuracy_median": 0.5, "accuracy_q05": 0.05}

INTERVALS = (
    *(f"{name}_ci_{end}" for name in (*QUANTILES, *OUTCOMES) for end in ("low", "high")),
    "below_min_ci_high",
)
"""Columns of intervals besides `accuracy_ci_*`."""


class Measured(Protocol):
    """What is measured over several cells of a campaign; `tables.Results` is one."""

    @property
    def manifest(self) -> Manifest:
        """What was asked for."""

    @property
    def cells(self) -> pd.DataFrame:
        """A row a cell, with LABELS, `ber` and `golden_accuracy`."""

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, with LABELS, `ber`, `trial`, `n_images` and `n_correct`."""


def curves(results: Measured) -> pd.DataFrame:
    """Accuracies with a row (`LABELS`, `trial`) for each trial number of a network and a column a BER, rising.

    A number that is not recorded at every BER of the campaign is left out.
    """
    bers = sorted(set(results.cells.ber))
    accuracies = results.trials.assign(accuracy=results.trials.n_correct / results.trials.n_images)
    wide = accuracies.pivot(index=[*LABELS, "trial"], columns="ber", values="accuracy")
    return wide.reindex(columns=bers).dropna()


def interval_kind(rule: Rule) -> str:
    """What the intervals of means are called: `betting`, or `betting-sequence` where the outcomes ended the trials."""
    return rule.interval_kind


def interval_text(rule: Rule) -> str:
    """For captions: "95% betting interval"."""
    return rule.interval_text


def measured(trials: Sequence[Trial], rule: Rule) -> dict[str, Any]:
    """Columns of `cells.csv`; FaultbenchError if the trials looked at different numbers of images.

    rule is what their number came from: where it hung on the outcomes, the intervals are of a kind that allows it.
    """
    images = {trial.n_images for trial in trials}
    if len(images) > 1:
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at {sorted(images)} images; runs were mixed")
    accuracies = [trial.n_correct / trial.n_images for trial in trials]
    return {
        "images": images.pop(),
        "accuracy_mean": stats.mean(accuracies),
        **_ends("accuracy", mean_interval(accuracies, rule)),
        **_quantiles(accuracies, rule),
        "accuracy_min": min(accuracies),
        "below_min_ci_high": stats.below_worst(len(trials), confidence=rule.confidence_a_look),
        **_rates(trials, rule),
        "flips_mean": stats.mean([trial.n_flips for trial in trials]),
    }


def mean_interval(fractions: Sequence[float], rule: Rule) -> stats.Interval:
    """The interval of the mean of what a cell's trials measured, in the order of their numbers."""
    return stats.mean_interval(fractions, confidence=rule.confidence, anytime=rule.until is not None)


def _quantiles(accuracies: Sequence[float], rule: Rule) -> dict[str, float]:
    columns = {}
    for name, q in QUANTILES.items():
        columns[name] = stats.quantile(accuracies, q)
        columns |= _ends(name, stats.quantile_interval(accuracies, q, confidence=rule.confidence_a_look))
    return columns


def _rates(trials: Sequence[Trial], rule: Rule) -> dict[str, float]:
    columns = {}
    for name, count in OUTCOMES.items():
        rates = [getattr(trial, count) / trial.n_images for trial in trials]
        columns[name] = stats.mean(rates)
        columns |= _ends(name, mean_interval(rates, rule))
    return columns


def _ends(name: str, interval: stats.Interval) -> dict[str, float]:
    """An infinite end is no number in a table of fractions."""
    ends = {f"{name}_ci_low": interval.low, f"{name}_ci_high": interval.high}
    return {column: end if math.isfinite(end) else math.nan for column, end in ends.items()}
