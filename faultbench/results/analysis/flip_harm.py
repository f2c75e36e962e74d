"""Attribution: which flips make trials fail. Layer, bit and direction, trials that hold such a flip against the others.

A trial fails when it loses `FAILING_DROP` of the golden accuracy or more. Of a cell, of the trials that hold at least
one flip of a kind (a layer's weights, bit 30, 0→1) a share fails, and of the others another; each has the interval of
`stats.rate_intervals`, their difference that of `stats.difference_intervals`. Under `bernoulli` flips know nothing of
one another, so that the difference is what such a flip does; it is no larger than the failures that are left to cause.

*Harm* puts the BERs of a network together. Let N trials of a BER hold no such flip in n_0 and some in n_1 cases, and
let c of the n_0 and a of the n_1 pass. If a flip lets a memory that is good otherwise pass with probability 1 - h, the
same at every BER, a/n_1 estimates (1 - h)·c/n_0. Over the BERs, as N. Mantel and W. Haenszel pool ratios (J. Natl.
Cancer Inst. 22, 1959; K. J. Rothman and S. Greenland, Modern Epidemiology, 1998, 15):

    h = 1 - Σ a n_0/N  /  Σ c n_1/N.

The denominator counts the trials with such a flip that would pass were it harmless, the numerator those that do; a
BER at which all trials fail adds nothing to either. The interval of h is about right, not guaranteed: with q_i = c/n_0
of each BER, n_1 such trials are taken for Σ n_1 q / q̄ independent ones, q̄ = Σ n_1 q² / Σ n_1 q, that pass with
probability (1 - h) q̄, q̄ as if it were known; Clopper and Pearson's ends of that probability give those of h. That the
BERs share their flips, and that q̄ is counted too, would make it wider. At `CERTAIN` a harm is *told* where the lower
end is above 0; where it is not, but the upper end is `EXCLUDED` at most, a large one is *excluded*; elsewhere the
trials do not tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results import stats
from faultbench.results.analysis.cell_summary import Measured
from faultbench.results.flip_counts import FAILING_DROP, FOLDER, PARTS, FlipCounts, Outcomes, load
from faultbench.results.folder import LABELS, CellEntry

CERTAIN = 0.99
"""Confidence of the intervals of harms: a map has hundreds of them, and few shall be told by chance."""

EXCLUDED = 0.5
"""A harm that is not told is small where its interval ends here or lower."""

FLIP = ("layer", "kind", "bit", "direction")
DIRECTIONS = ("0→1", "1→0")

COUNTED = (
    *LABELS, "ber", "position", *FLIP, "drop", "trials", "images", "flips",
    "trials_with", "failed_with", "trials_without", "failed_without", "accuracy_with", "accuracy_without",
)  # fmt: skip
COLUMNS = (
    *COUNTED,
    *(f"{name}{end}" for name in ("rate_with", "rate_without", "difference") for end in ("", "_ci_low", "_ci_high")),
    "confidence",
)  # fmt: skip

TEXTS = (*LABELS, "layer", "kind", "direction")
"""Columns of texts."""


@dataclass(frozen=True)
class CountedCell:
    """A cell's labels and BER, what its trials held, and how many images a trial looked at in the mean."""

    labels: Mapping[str, Any]
    counts: FlipCounts
    n_images: float


class Attributable(Measured, Protocol):
    """What is read here besides; `tables.Results` is one."""

    @property
    def folder(self) -> Path:
        """The results folder."""

    @property
    def counted(self) -> pd.DataFrame:
        """What `counted` gives, read once."""


def attributions(results: Attributable, entries: Sequence[CellEntry] | None = None) -> pd.DataFrame:
    """A row for each kind of flip that occurred in each cell, or in those of entries; its columns are `COLUMNS`.

    trials is how many of the cell's trials are counted: `faultbench run` counts those that it finds recorded. position
    is the layer's and kind's place in the order of execution, from 0. Texts are categories, as in `counted`.
    """
    rows = results.counted if entries is None else counted(results, entries)
    if rows.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    return with_rates(rows, results.manifest.rule.confidence_a_look)[list(COLUMNS)]


def with_rates(rows: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of `counted` with the shares that failed, their difference and the intervals of these."""
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


def counted(results: Attributable, entries: Sequence[CellEntry] | None = None) -> pd.DataFrame:
    """The same rows with the columns `COUNTED` alone: counts and what follows from them without a statistic.

    Texts are categories: of a quarter of a million rows none is compared letter by letter.
    """
    chosen = results.manifest.sorted_cells if entries is None else entries
    found = load(results.folder / FOLDER, {entry.subject for entry in chosen}, _outcomes(results, chosen))
    images = results.trials.groupby("cell").n_images.mean().to_dict()
    cells = [
        CountedCell({**dict(zip(LABELS, entry.labels, strict=True)), "ber": entry.ber}, counts, images[entry.cell])
        for entry in chosen
        if (counts := found.get(entry.cell))
    ]
    return counted_rows(cells)


def harms(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of `counted` or `attributions`, one for each kind of flip on each network: `LABELS` and `FLIP`.

    Then `harm` with `harm_ci_low` and `harm_ci_high`, NaN to 1 where no such trial would pass anyway; `expected`, how
    many would; `trials_with` and `failed_with` of all BERs.
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
    """Ends of 1 - h."""
    expected, passed = (pooled[name].to_numpy(dtype=np.float64) for name in ("expected", "passed"))
    usual = np.divide(pooled.squared, expected, out=np.ones_like(expected), where=expected > 0)
    n_trials = expected / usual
    low, high = stats.rate_ends(np.minimum(passed, n_trials), n_trials, confidence=CERTAIN)
    return low / usual, high / usual


def _outcomes(results: Attributable, entries: Sequence[CellEntry]) -> Mapping[str, Outcomes]:
    """Cell → number → whether the trial failed, as `flip_counts.fails` has it."""
    known = results.cells.set_index([*LABELS, "ber"]).golden_accuracy.to_dict()
    golden = {entry.cell: known[(*entry.labels, entry.ber)] for entry in entries}
    trials = results.trials[results.trials.cell.isin(list(golden))]
    lost = trials.cell.map(golden).astype(np.float64) - trials.accuracy
    failed = (lost.round(12) >= FAILING_DROP).tolist()
    found: dict[str, dict[int, bool]] = {cell: {} for cell in golden}
    for cell, trial, has_failed in zip(trials.cell.tolist(), trials.trial.tolist(), failed, strict=True):
        found[cell][trial] = has_failed
    return found


def counted_rows(cells: Sequence[CountedCell]) -> pd.DataFrame:
    """The rows of cells one after the other; their columns are `COUNTED`."""
    if not cells:
        return pd.DataFrame(columns=list(COUNTED))
    numbers = np.concatenate([cell.counts.rows for cell in cells])
    owner, bit, held, flips, n_with, failed_with, right_with = numbers.T
    n_rows = [len(cell.counts.rows) for cell in cells]

    def of_cells(values: Iterable[Any]) -> NDArray[Any]:
        return np.repeat(np.array(list(values)), n_rows)

    n_trials = of_cells(len(cell.counts.trials) for cell in cells)
    n_without = n_trials - n_with
    right_without = of_cells(cell.counts.n_right for cell in cells) - right_with
    columns = {
        **{name: _repeated([cell.labels[name] for cell in cells], n_rows) for name in LABELS},
        "ber": of_cells(cell.labels["ber"] for cell in cells),
        "position": owner,
        **_owners(cells, n_rows, owner),
        "bit": bit,
        "direction": _categories(held, DIRECTIONS),
        "drop": FAILING_DROP,
        "trials": n_trials,
        "images": of_cells(cell.n_images for cell in cells),
        "flips": flips,
        "trials_with": n_with,
        "failed_with": failed_with,
        "trials_without": n_without,
        "failed_without": of_cells(cell.counts.n_failed for cell in cells) - failed_with,
        "accuracy_with": right_with / (n_with * PARTS),
        "accuracy_without": right_without / np.where(n_without > 0, n_without * PARTS, np.nan),
    }
    return pd.DataFrame(columns)[list(COUNTED)]


def _repeated(values: Sequence[str], n_rows: Sequence[int]) -> "pd.Categorical[str]":
    known = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return _categories(np.repeat([known[value] for value in values], n_rows), list(known))


def _categories(codes: NDArray[np.int64], texts: Sequence[str]) -> "pd.Categorical[str]":
    return pd.Categorical.from_codes(codes, pd.Index(texts))


def _owners(
    cells: Sequence[CountedCell], n_rows: Sequence[int], owner: NDArray[np.int64]
) -> "dict[str, pd.Categorical[str]]":
    """The columns `layer` and `kind`, given each row's place among the owners of its cell."""
    together = [found for cell in cells for found in cell.counts.owners]
    first = np.cumsum([0, *(len(cell.counts.owners) for cell in cells[:-1])])
    place = np.repeat(first, n_rows) + owner
    return {
        name: _repeated(list(texts), [1] * len(texts)).take(place)
        for name, texts in zip(("layer", "kind"), zip(*together, strict=True), strict=True)
    }
