"""Attribution: which flips make trials fail, by layer, bit and direction.

A trial fails when it loses `FAILING_DROP` of the golden accuracy or more. In each cell, the trials that hold at least
one flip of a kind (a layer's weights, bit 30, 0→1) are compared with those that hold none: the share of each that fails
has the interval of `stats.rate_intervals`, their difference that of `stats.difference_intervals`. Under `bernoulli`
flips are independent, so the difference is the effect of such a flip. It cannot exceed the share of trials that would
pass without it.

*Harm* pools the BERs of a network. Of N trials at a BER, let n_0 hold no such flip and n_1 hold some, and let c of the
n_0 and a of the n_1 pass. If a memory that would pass without the flip passes with it with probability 1 - h, the same
at every BER, then a/n_1 estimates (1 - h)·c/n_0. Over the BERs, as N. Mantel and W. Haenszel pool ratios (J. Natl.
Cancer Inst. 22, 1959; K. J. Rothman and S. Greenland, Modern Epidemiology, 1998, 15):

    h = 1 - Σ a n_0/N  /  Σ c n_1/N.

The denominator counts the trials with such a flip that would pass if it were harmless, the numerator those that pass. A
BER at which all trials fail adds nothing to either. The interval of h is approximate, not guaranteed: with q_i = c/n_0
at each BER, the n_1 trials are taken for Σ n_1 q / q̄ independent ones, q̄ = Σ n_1 q² / Σ n_1 q, that pass with
probability (1 - h) q̄, and q̄ is taken as known. Clopper and Pearson's ends of that probability give those of h. The
interval ignores that the BERs share their flips and that q̄ is estimated too; both would make it wider. At
`HARM_CONFIDENCE` a harm is *significant* if the lower end is above 0. If it is not, but the upper end is at most
`SMALL_HARM`, a large harm is *excluded*. Otherwise the trials do not decide.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.flip_rows import COUNT_COLUMNS, FLIP, CountedCell, counted_rows
from faultbench.results.flip_counts import FAILING_DROP, FOLDER, Outcomes, load_counts
from faultbench.results.folder import LABELS, CellEntry

HARM_CONFIDENCE = 0.99
"""Confidence of the intervals of harms: a map has hundreds of them, and few should differ from 0 by chance."""

SMALL_HARM = 0.5
"""Largest upper end of the interval of a harm that counts as small."""

COLUMNS = (
    *COUNT_COLUMNS,
    *(f"{name}{end}" for name in ("rate_with", "rate_without", "difference") for end in ("", "_ci_low", "_ci_high")),
    "confidence",
)  # fmt: skip

TEXT_COLUMNS = (*LABELS, "layer", "kind", "direction")


def attributions(rows: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the rows of `count_flips` with rates and their intervals; the columns are `COLUMNS`.

    trials is how many of the cell's trials are counted: `faultbench run` counts those that it finds recorded. position
    is the place of the layer and kind in the order of execution, from 0. Texts are categories, as in `count_flips`.
    """
    return pd.DataFrame(columns=list(COLUMNS)) if rows.empty else with_rates(rows, confidence)[list(COLUMNS)]


def with_rates(rows: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return rows of `count_flips` with the shares that failed, their difference, and the intervals of all three."""
    with_it, without = ((rows[f"failed_{side}"], rows[f"trials_{side}"]) for side in ("with", "without"))
    columns: dict[str, Any] = {}
    for name, (n_failed, n_trials) in {"rate_with": with_it, "rate_without": without}.items():
        columns[name] = n_failed / n_trials.where(n_trials > 0)
        low, high = stats.rate_intervals(n_failed.to_numpy(), n_trials.to_numpy(), confidence=confidence)
        columns |= {f"{name}_ci_low": low, f"{name}_ci_high": high}
    pairs = [(n_failed.to_numpy(), n_trials.to_numpy()) for n_failed, n_trials in (with_it, without)]
    low, high = stats.difference_intervals(*pairs, confidence=confidence)
    columns["difference"] = columns["rate_with"] - columns["rate_without"]
    columns |= {"difference_ci_low": low, "difference_ci_high": high}
    return rows.assign(**columns, confidence=confidence)


def count_flips(results: CampaignTables, entries: Sequence[CellEntry] | None = None) -> pd.DataFrame:
    """Return a row for each kind of flip that occurred in each cell, or in the cells of entries.

    The columns are `COUNT_COLUMNS`. Texts are categories, so that no row of a quarter of a million is compared letter
    by letter.
    """
    chosen = results.manifest.sorted_cells if entries is None else entries
    counts_of = load_counts(results.folder / FOLDER, {entry.subject for entry in chosen}, _outcomes(results, chosen))
    images = results.trials.groupby("cell").n_images.mean().to_dict()
    cells = [
        CountedCell({**dict(zip(LABELS, entry.labels, strict=True)), "ber": entry.ber}, counts, images[entry.cell])
        for entry in chosen
        if (counts := counts_of.get(entry.cell))
    ]
    return counted_rows(cells)


def harms(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the harm of each kind of flip on each network, pooled over the BERs of rows of `count_flips`.

    Columns are `LABELS`, `FLIP`, `harm`, `harm_ci_low` and `harm_ci_high`, `expected`, `trials_with` and `failed_with`.
    expected is how many trials with such a flip would pass if it were harmless; harm is NaN if none would.
    """
    passed = rows.trials_with - rows.failed_with
    share = (rows.trials_without - rows.failed_without) / rows.trials_without.where(rows.trials_without > 0, 1)
    shared = rows.trials_without / rows.trials
    weighted = rows[[*LABELS, *FLIP, "trials_with", "failed_with"]].assign(
        passed=passed * shared,
        expected=rows.trials_with * share * shared,
        squared=rows.trials_with * share**2 * shared,
    )
    pooled = weighted.groupby([*LABELS, *FLIP], sort=False, observed=True).sum().reset_index()
    low, high = _pass_shares(pooled)
    return pooled.assign(
        harm=(1 - pooled.passed / pooled.expected.where(pooled.expected > 0)).clip(0, 1),
        harm_ci_low=np.clip(1 - high, 0, 1),
        harm_ci_high=np.clip(1 - low, 0, 1),
    )


def _pass_shares(pooled: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the interval of 1 - h."""
    expected, passed = (pooled[name].to_numpy(dtype=np.float64) for name in ("expected", "passed"))
    usual = np.divide(pooled.squared, expected, out=np.ones_like(expected), where=expected > 0)
    n_trials = expected / usual
    low, high = stats.rate_ends(np.minimum(passed, n_trials), n_trials, confidence=HARM_CONFIDENCE)
    return low / usual, high / usual


def _outcomes(results: CampaignTables, entries: Sequence[CellEntry]) -> Mapping[str, Outcomes]:
    """Return cell → trial number → whether the trial failed, as `flip_counts.has_failed` defines it."""
    known = results.cells.set_index([*LABELS, "ber"]).golden_accuracy.to_dict()
    golden = {entry.cell: known[(*entry.labels, entry.ber)] for entry in entries}
    trials = results.trials[results.trials.cell.isin(list(golden))]
    lost = trials.cell.map(golden).astype(np.float64) - trials.accuracy
    failed = (lost.round(12) >= FAILING_DROP).tolist()
    outcomes: dict[str, dict[int, bool]] = {cell: {} for cell in golden}
    for cell, trial, has_failed in zip(trials.cell.tolist(), trials.trial.tolist(), failed, strict=True):
        outcomes[cell][trial] = has_failed
    return outcomes
