"""Data frames of a results folder: a row per cell, per trial and per protected network.

Module `cell_summary` says what the columns of a cell mean and how their intervals are made. `interval` names the kind
of interval of means and rates; `confidence` is that of all intervals.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faultbench.results.analysis.cell_summary import (
    INTERVALS,
    NOT_DUE,
    OUTCOMES,
    SAMPLING,
    TrialsOfCell,
    interval_kind,
    summarise_cells,
)
from faultbench.results.folder import LABELS, CellEntry, ResultsFolder
from faultbench.results.image_samples import fractions, wrong_rates
from faultbench.results.journal.records import Golden, Overhead, Trial
from faultbench.results.journal.trial_columns import TrialColumns
from faultbench.results.journal.trial_rules import ABSENT

NETWORK = LABELS[:-1]
"""Labels of a protected network; fault models share it and its overheads."""

_LABEL_TYPES = dict.fromkeys(LABELS, "str")

CELL_TYPES = {
    "campaign": "str",
    **_LABEL_TYPES,
    "ber": "float64",
    "n_bits": "Int64",
    "trials": "int64",
    "images": "Int64",
    "golden_accuracy": "float64",
    "accuracy_mean": "float64",
    "accuracy_ci_low": "float64",
    "accuracy_ci_high": "float64",
    "accuracy_median": "float64",
    "accuracy_q05": "float64",
    "accuracy_min": "float64",
    **dict.fromkeys(OUTCOMES, "float64"),
    "flips_mean": "float64",
    "limited": "bool",
    **dict.fromkeys(INTERVALS, "float64"),
    "interval": "str",
    "confidence": "float64",
    **dict.fromkeys(SAMPLING, "float64"),
    **dict.fromkeys(NOT_DUE, "float64"),
}
TRIAL_TYPES = {
    "campaign": "str",
    "cell": "str",
    **_LABEL_TYPES,
    "ber": "float64",
    "trial": "int64",
    "n_flips": "int64",
    "n_images": "int64",
    "n_correct": "int64",
    "n_masked": "int64",
    "n_sdc": "int64",
    "n_sdc_critical": "int64",
    "n_due": "int64",
    "flips_digest": "str",
    "n_golden_correct": "Int64",
    "n_due_critical": "Int64",
    "accuracy": "float64",
    "wrong_rate": "float64",
    "stratum": "Int64",
}
OVERHEAD_TYPES = {
    **dict.fromkeys(NETWORK, "str"),
    "parameters": "int64",
    "bounds": "int64",
    "extra_bits": "int64",
    "memory_overhead_pct": "float64",
    "macs": "int64",
    "latency_ratio": "float64",
    "latency_ratio_ci_low": "float64",
    "latency_ratio_ci_high": "float64",
    "fit_seconds": "float64",
    "fit_epochs": "int64",
    "fit_injections": "int64",
    "bounds_to_maxima": "float64",
}


def cells_frame(folder: ResultsFolder, entries: Sequence[CellEntry]) -> pd.DataFrame:
    """Return a row for each of these cells of the manifest, in their order."""
    return _frame(_cell_rows(folder, entries), CELL_TYPES)


def trials_frame(folder: ResultsFolder) -> pd.DataFrame:
    """Return a row for every trial, sorted by cell and number."""
    entries = folder.manifest.sorted_cells
    of_cells = [folder.trials[entry.cell] for entry in entries]
    trials = TrialColumns.joined(of_cells)
    # One dict of labels per cell: one per trial would take as long as reading the journal.
    named = pd.DataFrame([_named(folder, entry) for entry in entries]).astype({"campaign": "str", **_LABEL_TYPES})
    rows = named.loc[np.repeat(np.arange(len(entries)), [*map(len, of_cells)])].reset_index(drop=True)
    fields = {name: _column(trials, name) for name in Trial.__match_args__ if name not in rows}
    frame = rows.assign(**fields, **_fractions(folder, entries))
    return frame[list(TRIAL_TYPES)].astype(TRIAL_TYPES)


def _column(trials: TrialColumns, name: str) -> Any:
    column = trials.column(name)
    return pd.arrays.IntegerArray(column, column == ABSENT) if TRIAL_TYPES[name] == "Int64" else column


def overhead_frame(folder: ResultsFolder) -> pd.DataFrame:
    """Return a row for every protected network whose overheads are recorded."""
    return _frame(_overhead_rows(folder), OVERHEAD_TYPES)


def _frame(rows: Iterable[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)


def _named(folder: ResultsFolder, entry: CellEntry) -> dict[str, Any]:
    labels = dict(zip(LABELS, entry.labels, strict=True))
    return {"campaign": folder.manifest.campaign, **labels, "ber": entry.ber}


def _cell_rows(folder: ResultsFolder, entries: Sequence[CellEntry]) -> Iterable[dict[str, Any]]:
    measured = _measured(folder, [entry for entry in entries if folder.trials[entry.cell]])
    for entry in entries:
        yield {
            **_named(folder, entry),
            **_golden(folder.golden(entry)),
            **measured.get(entry.cell, {}),
            "trials": len(folder.trials[entry.cell]),
            "limited": folder.n_missing(entry.cell) > 0 or bool(folder.quarantined[entry.cell]),
            "interval": interval_kind(folder.manifest.rule, folder.strata(entry)),
            "confidence": folder.manifest.rule.confidence,
        }


def _measured(folder: ResultsFolder, entries: Sequence[CellEntry]) -> dict[str, dict[str, Any]]:
    """Return cell → the columns that its trials give."""
    cells = [TrialsOfCell(folder.trials[each.cell], folder.golden(each), folder.strata(each)) for each in entries]
    summaries = summarise_cells(cells, folder.manifest.rule)
    return {entry.cell: summary for entry, summary in zip(entries, summaries, strict=True)}


def _golden(golden: Golden | None) -> dict[str, Any]:
    if golden is None:
        return {}
    return {
        "n_bits": golden.n_bits,
        "images": golden.n_images,
        "golden_accuracy": golden.n_correct / golden.n_images,
    }


def _fractions(folder: ResultsFolder, entries: Sequence[CellEntry]) -> dict[str, Any]:
    """Return for each trial the fractions of its cell's images that are right, and that differ from the golden run."""
    pairs = [(folder.trials[entry.cell], folder.golden(entry)) for entry in entries]
    return {
        "accuracy": np.concatenate([fractions(*pair, "n_correct") for pair in pairs]),
        "wrong_rate": np.concatenate([wrong_rates(*pair) for pair in pairs]),
    }


def _overhead_rows(folder: ResultsFolder) -> Iterable[dict[str, Any]]:
    # Fault models share overheads: the first measured one of a network stands for all.
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in folder.manifest.sorted_cells:
        overhead = folder.journal.overheads.get(entry.subject)
        labels = {label: getattr(entry, label) for label in NETWORK}
        if overhead:
            percent = _memory_overhead_pct(overhead)
            rows.setdefault(tuple(labels.values()), {**labels, **overhead.to_record(), "memory_overhead_pct": percent})
    return rows.values()


def _memory_overhead_pct(overhead: Overhead) -> float:
    # A bound is stored in the same format as a parameter, so words compare as bits would.
    return 100 * overhead.bounds / overhead.parameters
