"""Harm of each kind of flip: the mean accuracy lost with such a flip against without, tested for the whole map.

*One BER per kind.* The flips of a trial at a low BER are among those of the same trial at a higher one, so the BERs of
a campaign are the same memories again. Each kind of flip is judged at one BER. Of N trials let m hold such a flip, and
let q be the share of the golden accuracy that is lost in the mean. The BER with the largest m (1 − m/N) ln(1/q) is
taken: there many trials hold the flip, and few would have failed anyway. This choice looks at how many trials hold the
flip and at accuracies, never at the accuracies of those that hold it.

*The test.* If a kind of flip changes no accuracy, whichever flips accompany it, then the trials that hold it are a
random sample of the cell's trials, whatever the accuracies are: flips of different bits are independent. The p-value is
that of a mean as low as that of the sample, see `stats.subsets`. Given the accuracies, the samples of different
harmless kinds are independent of each other and of those of harmful kinds, so the procedure of Y. Benjamini and
Y. Hochberg (J. R. Stat. Soc. B 57, 1995) keeps the expected share of harmless kinds among the harmful ones that it
names below `FALSE_DISCOVERIES`. That holds for fault models that flip bits independently (bernoulli); a model that
fixes the number of flips makes kinds dependent, though hardly. The rows of the whole memory overlap those of the
layers, so they are a family of their own.

*The ends* are of two kinds, since a map makes two kinds of claims. `lost_at_least` is what the flip cost the trials
that hold it in the mean, at least: `stats.least_effects`, which assumes that such a flip raises no accuracy. For R
harmful ones of K kinds its confidence is 1 − `FALSE_DISCOVERIES`·R/K: the expected share of those ends that miss, among
those of harmful kinds, is at most `FALSE_DISCOVERIES` (Y. Benjamini and D. Yekutieli, J. Am. Stat. Assoc. 100, 2005).
`lost_at_most` is for all memories with such a flip, also those that no trial drew, so that few trials exclude nothing:
the difference of the outer ends of the two means (`stats.mean_ends`), each at half the error. For kinds that are not
told to be harmful the confidence of either end is `CONFIDENCE_IF_NOT`, for each by itself.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results import stats
from faultbench.results.analysis.flip_rows import FLIP, CountedCell, counted_rows
from faultbench.results.flip_counts import WHOLE_MEMORY
from faultbench.results.folder import LABELS

FALSE_DISCOVERIES = 0.05
"""Largest expected share of harmless kinds of flips among those that a map shows as harmful."""

CONFIDENCE_IF_NOT = 0.99
"""Confidence of either end of a kind that is not told to be harmful."""

SMALL_LOSS = 0.1
"""Largest upper end of a loss that counts as small, as a share of the accuracy without the flip.

In points, every loss would be small where nearly all accuracy is gone already.
"""

COLUMNS = (
    *LABELS, *FLIP, "ber", "trials", "trials_with", "accuracy_with", "accuracy_without", "lost", "lost_at_least",
    "lost_at_most", "confidence", "p_value", "p_adjusted", "harmful",
)  # fmt: skip

_STEPS = 1_000_000
_DIGITS = 4
"""Interval ends are rounded outwards to 1e-6 and p-values to 4 digits, so that every machine prints the same."""


def harms(cells: Sequence[CountedCell]) -> pd.DataFrame:
    """Return a row for each kind of flip that occurred in each network; the columns are `COLUMNS`.

    lost is the mean accuracy without such a flip minus that with one, at the BER of the row; NaN if all trials hold
    one. confidence is that of either end. p_adjusted is that of Benjamini and Hochberg; harmful where it is at most
    `FALSE_DISCOVERIES`.
    """
    if not cells:
        return pd.DataFrame(columns=list(COLUMNS)).astype({"harmful": "bool"})
    rows = _at_one_ber(cells)
    rows = rows.assign(lost=rows.accuracy_without - rows.accuracy_with)
    rows = _with_ends(_adjusted(_with_p_values(rows, cells)), cells)
    return rows[list(COLUMNS)].reset_index(drop=True)


def is_small(lost_at_most: NDArray[np.float64], accuracy_without: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether a large loss is excluded, element by element; False for NaN."""
    return np.asarray(lost_at_most <= SMALL_LOSS * accuracy_without)


def _at_one_ber(cells: Sequence[CountedCell]) -> pd.DataFrame:
    """Return the counts of each kind of flip at the BER that tells most; `cell` is the number of its cell."""
    number = np.repeat(np.arange(len(cells)), [len(cell.counts.rows) for cell in cells])
    rows = counted_rows(cells).assign(cell=number)
    lost = np.array([_share_lost(cell) for cell in cells])
    telling = rows.trials_with * (1 - rows.trials_with / rows.trials) * -np.log(lost[number])
    ranked = rows.assign(telling=telling).sort_values("telling", ascending=False, kind="stable")
    return ranked.drop_duplicates([*LABELS, *FLIP]).sort_index()


def _share_lost(cell: CountedCell) -> float:
    """Return the mean share of the golden accuracy that is lost, at least that of one trial more than there are."""
    n_trials = len(cell.accuracies)
    lost = 1 - stats.mean(cell.accuracies) / cell.golden_accuracy if cell.golden_accuracy > 0 else 1.0
    return float(np.clip(lost, 1 / (n_trials + 1), 1))


def _with_p_values(rows: pd.DataFrame, cells: Sequence[CountedCell]) -> pd.DataFrame:
    p_values = np.ones(len(rows))
    for places, part, accuracies in _by_cell(rows, cells):
        sizes, means = part.trials_with.to_numpy(), part.accuracy_with.to_numpy()
        p_values[places] = stats.low_subset_p_values(accuracies, sizes, means)
    return rows.assign(p_value=_rounded(p_values))


def _by_cell(
    rows: pd.DataFrame, cells: Sequence[CountedCell]
) -> Iterator[tuple[NDArray[np.int64], pd.DataFrame, NDArray[np.float64]]]:
    """Yield the places and rows of each cell, and the accuracies of its trials."""
    for number in rows.cell.unique().tolist():
        places = np.flatnonzero(rows.cell == number)
        yield places, rows.iloc[places], cells[number].accuracies


def _adjusted(rows: pd.DataFrame) -> pd.DataFrame:
    def adjust(p_values: "pd.Series[float]") -> NDArray[np.float64]:
        return stats.benjamini_hochberg(np.asarray(p_values, dtype=np.float64))

    family = [*(rows[name] for name in LABELS), rows.layer == WHOLE_MEMORY[0]]
    adjusted = rows.p_value.groupby(family, sort=False, observed=True).transform(adjust)
    harmful = adjusted <= FALSE_DISCOVERIES
    told = harmful.groupby(family, sort=False, observed=True).transform("mean")
    confidence = np.where(harmful, 1 - FALSE_DISCOVERIES * told, CONFIDENCE_IF_NOT)
    return rows.assign(p_adjusted=_rounded(adjusted.to_numpy()), harmful=harmful, confidence=confidence)


def _with_ends(rows: pd.DataFrame, cells: Sequence[CountedCell]) -> pd.DataFrame:
    error = 1 - rows.confidence.to_numpy()
    least = np.empty(len(rows))
    for places, part, accuracies in _by_cell(rows, cells):
        sizes, means = part.trials_with.to_numpy(), part.accuracy_with.to_numpy()
        least[places] = stats.least_effects(accuracies, sizes, means, error=error[places])
    low_with, high_without = (
        stats.mean_ends(rows[f"accuracy_{side}"].to_numpy(), rows[f"trials_{side}"].to_numpy(), error=error / 2)[end]
        for end, side in enumerate(("with", "without"))
    )
    most = high_without - low_with
    return rows.assign(lost_at_least=np.floor(least * _STEPS) / _STEPS, lost_at_most=np.ceil(most * _STEPS) / _STEPS)


def _rounded(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(f"{p_value:.{_DIGITS}g}") for p_value in p_values.tolist()])
