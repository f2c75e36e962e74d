"""Rows of flip counts as tables hold them: a row for each kind of flip in each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results.flip_counts import ACCURACY_UNIT, FAILING_DROP, FlipCounts
from faultbench.results.folder import LABELS

FLIP = ("layer", "kind", "bit", "direction")
DIRECTIONS = ("0→1", "1→0")

COUNT_COLUMNS = (
    *LABELS, "ber", "position", *FLIP, "drop", "trials", "images", "flips",
    "trials_with", "failed_with", "trials_without", "failed_without", "accuracy_with", "accuracy_without",
)  # fmt: skip


@dataclass(frozen=True)
class CountedCell:
    """Labels and BER of a cell, the flip counts of its trials, and the mean number of images per trial.

    accuracies are those of the counted trials, in no order that tells which flips they held.
    """

    labels: Mapping[str, Any]
    counts: FlipCounts
    n_images: float
    accuracies: NDArray[np.float64]
    golden_accuracy: float


def counted_rows(cells: Sequence[CountedCell]) -> pd.DataFrame:
    """Return the rows of cells, one cell after the other; their columns are `COUNT_COLUMNS`."""
    if not cells:
        return pd.DataFrame(columns=list(COUNT_COLUMNS))
    numbers = np.concatenate([cell.counts.rows for cell in cells])
    n_rows = [len(cell.counts.rows) for cell in cells]
    columns = _key_columns(cells, n_rows, numbers) | _count_columns(cells, n_rows, numbers)
    return pd.DataFrame(columns)[list(COUNT_COLUMNS)]


def _key_columns(cells: Sequence[CountedCell], n_rows: Sequence[int], numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Return the columns that name a row: the cell's labels and BER, and the kind of flip."""
    owner, bit, held = numbers.T[:3]
    return {
        **{name: _repeated([cell.labels[name] for cell in cells], n_rows) for name in LABELS},
        "ber": _of_cells([cell.labels["ber"] for cell in cells], n_rows),
        "position": owner,
        **_owners(cells, n_rows, owner),
        "bit": bit,
        "direction": _categories(held, DIRECTIONS),
    }


def _count_columns(cells: Sequence[CountedCell], n_rows: Sequence[int], numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Return the columns of counts and accuracies, of the trials with the flip and of those without."""
    flips, n_with, failed_with, right_with = numbers.T[3:]
    n_trials = _of_cells([len(cell.counts.trials) for cell in cells], n_rows)
    n_without = n_trials - n_with
    right_without = _of_cells([cell.counts.n_right for cell in cells], n_rows) - right_with
    return {
        "drop": FAILING_DROP,
        "trials": n_trials,
        "images": _of_cells([cell.n_images for cell in cells], n_rows),
        "flips": flips,
        "trials_with": n_with,
        "failed_with": failed_with,
        "trials_without": n_without,
        "failed_without": _of_cells([cell.counts.n_failed for cell in cells], n_rows) - failed_with,
        "accuracy_with": right_with / (n_with * ACCURACY_UNIT),
        "accuracy_without": right_without / np.where(n_without > 0, n_without * ACCURACY_UNIT, np.nan),
    }


def _of_cells(values: Sequence[float], n_rows: Sequence[int]) -> NDArray[Any]:
    """Return the value of each row's cell."""
    return np.repeat(np.array(values), n_rows)


def _repeated(values: Sequence[str], n_rows: Sequence[int]) -> "pd.Categorical[str]":
    known = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return _categories(np.repeat([known[value] for value in values], n_rows), list(known))


def _categories(codes: NDArray[np.int64], texts: Sequence[str]) -> "pd.Categorical[str]":
    return pd.Categorical.from_codes(codes, pd.Index(texts))


def _owners(
    cells: Sequence[CountedCell], n_rows: Sequence[int], owner: NDArray[np.int64]
) -> "dict[str, pd.Categorical[str]]":
    """Return the columns `layer` and `kind`, given each row's place among the owners of its cell."""
    together = [pair for cell in cells for pair in cell.counts.owners]
    first = np.cumsum([0, *(len(cell.counts.owners) for cell in cells[:-1])])
    place = np.repeat(first, n_rows) + owner
    return {
        name: _repeated(list(texts), [1] * len(texts)).take(place)
        for name, texts in zip(("layer", "kind"), zip(*together, strict=True), strict=True)
    }
