"""What the trials of one cell say: mean accuracy, rates, quantiles and the worst trial, each with its interval.

A trial is one draw, also of a rate: the fraction of its images that end so. The columns `accuracy_ci_*` and
`*_rate_ci_*` are `stats.mean_interval`, `accuracy_median_ci_*` and `accuracy_q05_ci_*` `stats.quantile_interval`;
one without a number has too few trials to bound it on that side. `below_min_ci_high` bounds the fraction of all
trials that would come out worse than `accuracy_min`, the worst of these.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from faultbench.campaign.stopping_rule import Rule
from faultbench.results import stats
from faultbench.results.estimates import Said, accuracies, said, within_variances
from faultbench.results.folder import LABELS, Manifest
from faultbench.results.image_samples import Values, is_sampled
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import counts_of
from faultbench.system.errors import FaultbenchError

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

SAMPLING = ("images_per_trial", "variance_trials", "variance_images")
"""Columns of how many of the images a trial looked at, in the mean, and of what trials and images vary by."""


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
        """A row a trial, with LABELS, `ber`, `trial` and `accuracy`."""


def curves(results: Measured) -> pd.DataFrame:
    """Accuracies with a row (`LABELS`, `trial`) for each trial number of a network and a column a BER, rising.

    A number that is not recorded at every BER of the campaign is left out. There are none where trials were drawn in
    strata: those of one number are of different memories then.
    """
    bers = sorted(set(results.cells.ber))
    trials = results.trials if results.trials.stratum.isna().all() else results.trials.head(0)
    wide = trials.pivot(index=[*LABELS, "trial"], columns="ber", values="accuracy")
    return wide.reindex(columns=bers).dropna()


def images_per_trial(results: Measured) -> dict[Any, float]:
    """Values of `LABELS` → how many images a trial of the network looked at, the mean over its cells."""
    found: dict[Any, float] = results.cells.groupby([*LABELS]).images_per_trial.mean().to_dict()
    return found


def interval_kind(rule: Rule, strata: Strata | None = None) -> str:
    """What the intervals of means are called: `betting`, or `betting-sequence` where the outcomes ended the trials.

    `stratified-…` where they were drawn in strata.
    """
    return f"stratified-{rule.interval_kind}" if strata and strata.is_split else rule.interval_kind


def interval_text(rule: Rule) -> str:
    """For captions: "95% betting interval"."""
    return rule.interval_text


def measured(
    trials: Sequence[Trial], golden: Golden | None, rule: Rule, strata: Strata | None = None
) -> dict[str, Any]:
    """Columns of `cells.csv`; FaultbenchError if trials over all images looked at different numbers of them.

    golden, which plain trials over all images can do without, is their golden run. rule is what their number came from:
    where it hung on the outcomes, the intervals are of a kind that allows it. What some of the images say of a trial
    is right in the mean only: of such trials quantiles and the worst are not given. Nor are they of trials drawn in
    strata, which are no fair sample of memories; flips_mean is then what is expected.
    """
    of_accuracy = accuracies(trials, golden, strata)
    is_split = strata is not None and strata.is_split
    return {
        **_images(trials, golden),
        "accuracy_mean": of_accuracy.mean,
        **_ends("accuracy", of_accuracy.interval(rule)),
        **({} if is_split or is_sampled(trials) else _of_single_trials(of_accuracy.values, rule)),
        **_rates(trials, golden, rule, strata),
        **_variances(of_accuracy, trials, within_variances(trials, golden, strata)),
        **({} if is_split else {"flips_mean": stats.mean(counts_of(trials, "n_flips").tolist())}),
    }


def _images(trials: Sequence[Trial], golden: Golden | None) -> dict[str, float]:
    looked = counts_of(trials, "n_images").tolist()
    if golden and is_sampled(trials):
        return {"images": golden.n_images, "images_per_trial": stats.mean(looked)}
    if len(different := sorted(set(looked))) > 1:
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at {different} images; runs were mixed")
    return {"images": looked[0], "images_per_trial": looked[0]}


def _of_single_trials(accuracies: stats.Values, rule: Rule) -> dict[str, float]:
    n_below = stats.below_worst(len(accuracies), confidence=rule.confidence_a_look)
    return {**_quantiles(accuracies, rule), "accuracy_min": min(accuracies), "below_min_ci_high": n_below}


def _variances(of_accuracy: Said, trials: Sequence[Trial], within: Values) -> dict[str, float]:
    """Of what trials say of the mean, and of one image within a trial: the latter only where trials looked at a few."""
    if len(trials) < 2:
        return {}
    between = max(0.0, float(np.var(of_accuracy.unscaled, ddof=1)) - stats.mean(within))
    of_one = within * counts_of(trials, "n_images")
    return {"variance_trials": between, **({"variance_images": stats.mean(of_one)} if is_sampled(trials) else {})}


def mean_interval(fractions: Sequence[float], rule: Rule) -> stats.Interval:
    """The interval of the mean of what a cell's trials measured, in the order of their numbers."""
    return stats.mean_interval(fractions, confidence=rule.confidence, anytime=rule.until is not None)


def _quantiles(accuracies: stats.Values, rule: Rule) -> dict[str, float]:
    columns = {}
    for name, q in QUANTILES.items():
        columns[name] = stats.quantile(accuracies, q)
        columns |= _ends(name, stats.quantile_interval(accuracies, q, confidence=rule.confidence_a_look))
    return columns


def _rates(trials: Sequence[Trial], golden: Golden | None, rule: Rule, strata: Strata | None) -> dict[str, float]:
    columns = {}
    for name, count in OUTCOMES.items():
        rates = said(trials, golden, strata, count=count)
        columns[name] = rates.mean
        columns |= _ends(name, rates.interval(rule))
    return columns


def _ends(name: str, interval: stats.Interval) -> dict[str, float]:
    """An infinite end is no number in a table of fractions."""
    ends = {f"{name}_ci_low": interval.low, f"{name}_ci_high": interval.high}
    return {column: end if math.isfinite(end) else math.nan for column, end in ends.items()}
