"""Summary of the trials of one cell: mean accuracy, rates, quantiles and the worst trial, each with its interval.

A trial is one draw of a rate: the fraction of its images with that outcome. The columns `accuracy_ci_*` and
`*_rate_ci_*` come from `stats.mean_interval`, `accuracy_median_ci_*` and `accuracy_q05_ci_*` from
`stats.quantile_interval`. An end is empty if there are too few trials to bound that side. `below_min_ci_high` is an
upper bound of the fraction of all trials that are worse than `accuracy_min`, the worst recorded trial.

`accuracy_not_due` is the accuracy among the images that are no DUE: the mean number of correct images over the mean
number of images with finite logits. Its interval is `stats.ratio_interval`; it is empty unless there is a DUE and a
fixed number of plain trials looked at all images.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.estimates import MeanEstimate, estimate_mean, intervals, within_variances
from faultbench.results.folder import LABELS
from faultbench.results.image_samples import Values, fractions, looks_at_sample
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
"""Rate → its count; a rate is the mean over trials of the count's fraction of images."""

QUANTILES = {"accuracy_median": 0.5, "accuracy_q05": 0.05}

INTERVALS = (
    *(f"{name}_ci_{end}" for name in (*QUANTILES, *OUTCOMES) for end in ("low", "high")),
    "below_min_ci_high",
)
"""Columns of interval ends besides `accuracy_ci_*`."""

NOT_DUE = ("accuracy_not_due", "accuracy_not_due_ci_low", "accuracy_not_due_ci_high")
"""Columns of the accuracy among images that are no DUE."""

SAMPLING = ("images_per_trial", "variance_trials", "variance_images")
"""Columns of the mean number of images per trial, and of the variances between trials and between images."""


def curves(results: CampaignTables) -> pd.DataFrame:
    """Return accuracies: a row (`LABELS`, `trial`) for each trial number of a network, a column per BER, rising.

    A number that is not recorded at every BER of the campaign has no row. If trials were drawn in strata there are no
    rows, since trials of one number then have different memories.
    """
    bers = sorted(set(results.cells.ber))
    trials = results.trials if results.trials.stratum.isna().all() else results.trials.head(0)
    wide = trials.pivot(index=[*LABELS, "trial"], columns="ber", values="accuracy")
    return wide.reindex(columns=bers).dropna()


def images_per_trial(results: CampaignTables) -> dict[Any, float]:
    """Return values of `LABELS` → the mean number of images per trial over the network's cells."""
    means: dict[Any, float] = results.cells.groupby([*LABELS]).images_per_trial.mean().to_dict()
    return means


def interval_kind(rule: StoppingRule, strata: Strata | None = None) -> str:
    """Return the name of the intervals of means: `betting`, or `betting-sequence` if outcomes ended the trials.

    For trials drawn in strata it is `stratified-…`.
    """
    return f"stratified-{rule.interval_kind}" if strata and strata.is_split else rule.interval_kind


@dataclass(frozen=True)
class TrialsOfCell:
    """Trials of one cell, with their golden run (None is allowed for plain trials over all images) and strata."""

    trials: Sequence[Trial]
    golden: Golden | None
    strata: Strata | None = None


def summarise_cells(cells: Sequence[TrialsOfCell], rule: StoppingRule) -> list[dict[str, Any]]:
    """Return columns of `cells.csv`; FaultbenchError if plain trials looked at different numbers of images.

    rule is the rule that ended the trials: if it looks at outcomes, the intervals are of a kind that allows it. There
    are no quantiles and no worst trial if trials looked at a sample of the images, since a trial's own accuracy is then
    an estimate. There are none of trials drawn in strata either, since these are no fair sample of memories.
    """
    of_cells = [_estimates(cell) for cell in cells]
    ends = iter(intervals([estimate for estimates in of_cells for estimate in estimates.values()], rule))
    return [
        _summarise(cell, estimates, {name: next(ends) for name in estimates}, rule)
        for cell, estimates in zip(cells, of_cells, strict=True)
    ]


def _estimates(cell: TrialsOfCell) -> dict[str, MeanEstimate]:
    counts = {"accuracy": "n_correct", **OUTCOMES}
    return {name: estimate_mean(cell.trials, cell.golden, cell.strata, count=count) for name, count in counts.items()}


def _summarise(
    cell: TrialsOfCell, estimates: Mapping[str, MeanEstimate], ends: Mapping[str, stats.Interval], rule: StoppingRule
) -> dict[str, Any]:
    trials, golden, strata = cell.trials, cell.golden, cell.strata
    of_accuracy, is_split = estimates["accuracy"], strata is not None and strata.is_split
    columns = {"accuracy_mean": of_accuracy.mean, **_ends("accuracy", ends["accuracy"])}
    if not is_split and not looks_at_sample(trials):
        columns |= _of_single_trials(of_accuracy.values, rule)
    for name in OUTCOMES:
        columns |= {name: estimates[name].mean, **_ends(name, ends[name])}
    columns |= _not_due(cell, columns["accuracy_mean"], columns["due_rate"], rule)
    columns |= _variances(of_accuracy, trials, within_variances(trials, golden, strata))
    if not is_split:
        columns["flips_mean"] = stats.mean(counts_of(trials, "n_flips").tolist())
    return {**_images(trials, golden), **columns}


def _not_due(cell: TrialsOfCell, accuracy: float, due_rate: float, rule: StoppingRule) -> dict[str, float]:
    """Return the accuracy among the images that are no DUE; nothing if all are."""
    if due_rate >= 1:
        return {}
    columns = {"accuracy_not_due": min(1.0, accuracy / (1 - due_rate))}
    is_plain = not (cell.strata and cell.strata.is_split) and not looks_at_sample(cell.trials) and not rule.is_sequence
    if due_rate and is_plain:
        correct, due = (fractions(cell.trials, cell.golden, count) for count in ("n_correct", "n_due"))
        finite = np.maximum(1 - due, correct)  # rounding can make it less
        columns |= _ends("accuracy_not_due", stats.ratio_interval(correct, finite, confidence=rule.confidence))
    return columns


def _images(trials: Sequence[Trial], golden: Golden | None) -> dict[str, float]:
    looked = counts_of(trials, "n_images").tolist()
    if golden and looks_at_sample(trials):
        return {"images": golden.n_images, "images_per_trial": stats.mean(looked)}
    if len(different := sorted(set(looked))) > 1:
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at {different} images; runs were mixed")
    return {"images": looked[0], "images_per_trial": looked[0]}


def _of_single_trials(accuracies: stats.Values, rule: StoppingRule) -> dict[str, float]:
    n_below = stats.below_worst(len(accuracies), confidence=rule.confidence_per_look)
    return {**_quantiles(accuracies, rule), "accuracy_min": min(accuracies), "below_min_ci_high": n_below}


def _variances(of_accuracy: MeanEstimate, trials: Sequence[Trial], within: Values) -> dict[str, float]:
    """Return the variance between trials and, if trials looked at samples, that between images within a trial."""
    if len(trials) < 2:
        return {}
    between = max(0.0, float(np.var(of_accuracy.unscaled, ddof=1)) - stats.mean(within))
    of_one = within * counts_of(trials, "n_images")
    return {"variance_trials": between, **({"variance_images": stats.mean(of_one)} if looks_at_sample(trials) else {})}


def _quantiles(accuracies: stats.Values, rule: StoppingRule) -> dict[str, float]:
    columns = {}
    for name, q in QUANTILES.items():
        columns[name] = stats.quantile(accuracies, q)
        columns |= _ends(name, stats.quantile_interval(accuracies, q, confidence=rule.confidence_per_look))
    return columns


def _ends(name: str, interval: stats.Interval) -> dict[str, float]:
    """Return the columns of an interval; an infinite end becomes NaN, an empty field."""
    ends = {f"{name}_ci_low": interval.low, f"{name}_ci_high": interval.high}
    return {column: end if math.isfinite(end) else math.nan for column, end in ends.items()}
