"""Results as data frames and CSV files: one row a cell, a trial, a protected network.

Rows are sorted and every number is computed from counts in an order of its own, so the same records give the
same bytes whichever files they came from. Accuracies and rates are fractions in 0..1; `accuracy_ci_*` is the
95 % interval of `stats.mean_interval`, over trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from faultbench import stats
from faultbench.disk import replaced
from faultbench.errors import FaultbenchError
from faultbench.records import Golden, Overhead, Trial
from faultbench.results_folder import LABELS, CellEntry, Manifest, ResultsFolder, read_folder

NETWORK = LABELS[:-1]
"""The labels of a protected network; fault models share it, and what it costs."""

OUTCOMES = {
    "sdc_rate": "n_sdc",
    "sdc_critical_rate": "n_sdc_critical",
    "due_rate": "n_due",
    "masked_rate": "n_masked",
}
"""Rate → the count it is of; each is the mean over trials of the fraction of images."""

CELL_TYPES = {
    "campaign": "str",
    **dict.fromkeys(LABELS, "str"),
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
}
TRIAL_TYPES = {
    "campaign": "str",
    "cell": "str",
    **dict.fromkeys(LABELS, "str"),
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
}


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, eq=False)
class Results:
    """The results of one campaign, as its folder holds them now.

    cells has a row for every cell of the manifest: one without trials has NaN accuracies, one with fewer
    trials than asked for is `limited`. remarks says, a sentence each, what of the journal is not in the rows.
    """

    folder: Path
    manifest: Manifest
    cells: pd.DataFrame
    trials: pd.DataFrame
    overhead: pd.DataFrame
    remarks: tuple[str, ...]


def read_results(path: Path) -> Results:
    """The results at path, which is results/<campaign> or a folder that holds exactly one such."""
    folder = read_folder(path)
    return Results(
        folder.path,
        folder.manifest,
        _frame(_cell_rows(folder), CELL_TYPES),
        _frame(_trial_rows(folder), TRIAL_TYPES),
        _frame(_overhead_rows(folder), OVERHEAD_TYPES),
        tuple(folder.remarks),
    )


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write cells.csv, trials.csv and overhead.csv into folder and give their paths.

    Fractions are written so that they read back bit for bit; what is not known is an empty field.
    """
    frames = {"cells": results.cells, "trials": results.trials, "overhead": results.overhead}
    paths = [folder / f"{name}.csv" for name in frames]
    for path, frame in zip(paths, frames.values(), strict=True):
        with replaced(path) as temporary:
            _harmless(frame).to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
    return paths


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels that a spreadsheet would run as a formula get an apostrophe in front, as spreadsheets themselves do it."""
    texts = [name for name, kind in frame.dtypes.items() if kind == "str"]
    risky = [name for name in texts if frame[name].str.startswith(_FORMULA).any()]
    safe = frame.copy() if risky else frame
    for name in risky:
        safe[name] = frame[name].where(~frame[name].str.startswith(_FORMULA), "'" + frame[name])
    return safe


def _frame(rows: Iterable[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)


def _sorted(entries: Iterable[CellEntry]) -> list[CellEntry]:
    return sorted(entries, key=lambda entry: (entry.labels, entry.ber, entry.cell))


def _named(folder: ResultsFolder, entry: CellEntry) -> dict[str, Any]:
    labels = dict(zip(LABELS, entry.labels, strict=True))
    return {"campaign": folder.manifest.campaign, **labels, "ber": entry.ber}


def _cell_rows(folder: ResultsFolder) -> Iterable[dict[str, Any]]:
    for entry in _sorted(folder.manifest.cells):
        trials = folder.trials[entry.cell]
        yield {
            **_named(folder, entry),
            **_golden(folder.journal.goldens.get(entry.subject)),
            **(_measured(trials) if trials else {}),
            "trials": len(trials),
            "limited": len(trials) < folder.manifest.trials,
        }


def _golden(golden: Golden | None) -> dict[str, Any]:
    if golden is None:
        return {}
    return {
        "n_bits": golden.n_bits,
        "images": golden.n_images,
        "golden_accuracy": golden.n_correct / golden.n_images,
    }


def _measured(trials: list[Trial]) -> dict[str, Any]:
    images = {trial.n_images for trial in trials}
    if len(images) > 1:
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at {sorted(images)} images; runs were mixed")
    accuracies = [trial.n_correct / trial.n_images for trial in trials]
    interval = stats.mean_interval(accuracies)
    return {
        "images": images.pop(),
        "accuracy_mean": stats.mean(accuracies),
        "accuracy_ci_low": interval.low,
        "accuracy_ci_high": interval.high,
        "accuracy_median": stats.quantile(accuracies, 0.5),
        "accuracy_q05": stats.quantile(accuracies, 0.05),
        "accuracy_min": min(accuracies),
        **{rate: stats.mean([getattr(t, count) / t.n_images for t in trials]) for rate, count in OUTCOMES.items()},
        "flips_mean": stats.mean([trial.n_flips for trial in trials]),
    }


def _trial_rows(folder: ResultsFolder) -> Iterable[dict[str, Any]]:
    for entry in _sorted(folder.manifest.cells):
        named = _named(folder, entry)
        for trial in folder.trials[entry.cell]:
            yield {**named, **trial.to_record()}


def _overhead_rows(folder: ResultsFolder) -> Iterable[dict[str, Any]]:
    # Of the fault models of a network the first in their order that was measured stands for all.
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in _sorted(folder.manifest.cells):
        overhead = folder.journal.overheads.get(entry.subject)
        labels = {label: getattr(entry, label) for label in NETWORK}
        if overhead:
            percent = _memory_overhead_pct(overhead)
            rows.setdefault(tuple(labels.values()), {**labels, **overhead.to_record(), "memory_overhead_pct": percent})
    return rows.values()


def _memory_overhead_pct(overhead: Overhead) -> float:
    # A bound is stored in the same format as a parameter, so words compare as bits would.
    return 100 * overhead.bounds / overhead.parameters
