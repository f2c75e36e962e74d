"""Attribution: which flips make trials fail, by layer, bit and direction.

A trial fails when it loses `FAILING_DROP` of the golden accuracy or more. In each cell, the trials that hold at least
one flip of a kind (a layer's weights, bit 30, 0→1) are compared with those that hold none: the share of each that fails
has the interval of `stats.rate_intervals`, their difference that of `stats.difference_intervals`. Under `bernoulli`
flips are independent, so the difference is the effect of such a flip. It cannot exceed the share of trials that would
pass without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.flip_rows import COUNT_COLUMNS, CountedCell, counted_rows
from faultbench.results.flip_counts import ACCURACY_UNIT, FAILING_DROP, FOLDER, FlipCounts, Outcomes, load_counts
from faultbench.results.folder import LABELS, CellEntry

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
    return counted_rows(counted_cells(results, entries))


def counted_cells(results: CampaignTables, entries: Sequence[CellEntry] | None = None) -> list[CountedCell]:
    """Return the cells with counted trials, of all or of those of entries, in the order of the manifest's labels."""
    chosen = results.manifest.sorted_cells if entries is None else entries
    golden = _golden_accuracies(results, chosen)
    outcomes = _outcomes(results, golden)
    counts_of = load_counts(results.folder / FOLDER, {entry.subject for entry in chosen}, outcomes)
    trials = {cell: part for cell, part in results.trials.groupby("cell", sort=False) if cell in counts_of}
    return [
        CountedCell(
            {**dict(zip(LABELS, entry.labels, strict=True)), "ber": entry.ber},
            counts,
            trials[entry.cell].n_images.mean(),
            _accuracies(trials[entry.cell], counts),
            golden[entry.cell],
        )
        for entry in chosen
        if (counts := counts_of.get(entry.cell))
    ]


def _accuracies(trials: pd.DataFrame, counts: FlipCounts) -> NDArray[np.float64]:
    """Return the accuracies of the counted trials, rounded as in the sums of their counts."""
    accuracies = trials.accuracy[trials.trial.isin(counts.trials)].to_numpy(dtype=np.float64)
    return np.round(ACCURACY_UNIT * accuracies) / ACCURACY_UNIT


def _golden_accuracies(results: CampaignTables, entries: Sequence[CellEntry]) -> dict[str, float]:
    known = results.cells.set_index([*LABELS, "ber"]).golden_accuracy.to_dict()
    return {entry.cell: known[(*entry.labels, entry.ber)] for entry in entries}


def _outcomes(results: CampaignTables, golden: Mapping[str, float]) -> Mapping[str, Outcomes]:
    """Return cell → trial number → whether the trial failed, as `flip_counts.has_failed` defines it."""
    trials = results.trials[results.trials.cell.isin(list(golden))]
    lost = trials.cell.map(golden).astype(np.float64) - trials.accuracy
    failed = (lost.round(12) >= FAILING_DROP).tolist()
    outcomes: dict[str, dict[int, bool]] = {cell: {} for cell in golden}
    for cell, trial, has_failed in zip(trials.cell.tolist(), trials.trial.tolist(), failed, strict=True):
        outcomes[cell][trial] = has_failed
    return outcomes
