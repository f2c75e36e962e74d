"""Results as data frames and CSV files: one row a cell, a trial, a protected network.

Rows are sorted and every number is computed from counts in an order of its own, so the same records give the
same bytes whichever files they came from. Accuracies and rates are fractions in 0..1. What the columns of a
cell say, and how their intervals are made, stands in `measures`; `interval` names the kind of those of means and
rates, and `confidence` is that of all.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultbench.attribution import attributions, counted, harms
from faultbench.critical import critical_bers
from faultbench.csv_text import csv_text
from faultbench.disk import replaced
from faultbench.errors import FaultbenchError
from faultbench.forks import side_by_side
from faultbench.hazard_table import hazards, strata
from faultbench.measures import INTERVALS, OUTCOMES, SAMPLING, interval_kind, measured
from faultbench.records import Golden, Overhead, Trial
from faultbench.resilience import resiliences
from faultbench.results_folder import LABELS, CellEntry, Manifest, ResultsFolder, read_folder
from faultbench.sampled import accuracy, wrong_rate
from faultbench.strata import Hazards, Strata

NETWORK = LABELS[:-1]
"""The labels of a protected network; fault models share it, and what it costs."""

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
    **dict.fromkeys(INTERVALS, "float64"),
    "interval": "str",
    "confidence": "float64",
    **dict.fromkeys(SAMPLING, "float64"),
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

TEXTS = (*LABELS, "layer")
"""Columns whose texts are anybody's."""

TABLES = ("cells", "trials", "overhead", "resilience", "critical", "attribution")
"""Of a campaign: each is an attribute of `Results` and a CSV file."""

STRATIFIED = ("hazard", "strata")
"""More of a campaign whose trials are drawn in strata."""


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
    n_missing: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    hazards_of: Mapping[str, Hazards] = field(default_factory=dict)
    strata_of: Mapping[str, Strata] = field(default_factory=dict)
    """Those by subject and these by cell, as the journal holds them."""

    @cached_property
    def resilience(self) -> pd.DataFrame:
        """The area under accuracy against log BER of each protected network: see `faultbench.resilience`."""
        return resiliences(self)

    @cached_property
    def critical(self) -> pd.DataFrame:
        """The critical BERs of each protected network: see `faultbench.critical`."""
        return critical_bers(self)

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The counts that `attribution` rests on."""
        return counted(self)

    @cached_property
    def harms(self) -> pd.DataFrame:
        """How much harm each kind of flip does to each protected network: see `attribution.harms`."""
        return harms(self.counted)

    @cached_property
    def attribution(self) -> pd.DataFrame:
        """Which flips the trials held that failed: see `faultbench.attribution`."""
        return attributions(self)

    @cached_property
    def hazard(self) -> pd.DataFrame:
        """Which kinds of bits do harm, as a pilot found: see `faultbench.hazard_table`."""
        return hazards(self)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """How trials were shared out among strata: see `faultbench.hazard_table`."""
        return strata(self)


def read_results(path: str | Path) -> Results:
    """The results at path, which is results/<campaign> or a folder that holds exactly one such."""
    folder = read_folder(Path(path))
    return Results(
        folder.path,
        folder.manifest,
        _frame(_cell_rows(folder), CELL_TYPES),
        _trials(folder),
        _frame(_overhead_rows(folder), OVERHEAD_TYPES),
        tuple(folder.remarks),
        sum(folder.n_missing(entry.cell) for entry in folder.manifest.cells),
        {cell: len(given_up) for cell, given_up in folder.quarantined.items() if given_up},
        folder.journal.hazards,
        folder.journal.strata,
    )


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write a CSV file for each table of the results into folder and give their paths.

    Fractions are written so that they read back bit for bit; what is not known is an empty field.
    """
    return _written(results, folder, ".csv", _as_csv)


def _as_csv(frame: pd.DataFrame, path: Path) -> None:
    path.write_bytes(csv_text(frame, TEXTS).encode())


def write_parquet(results: Results, folder: Path) -> list[Path]:
    """Write the same tables as Parquet files and give their paths; FaultbenchError without pyarrow."""
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise FaultbenchError(
            "--format parquet needs pyarrow, which is not installed; pip install 'faultbench-dnn[parquet]', "
            "or take --format csv"
        ) from error
    return _written(results, folder, ".parquet", _as_parquet)


def _as_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, engine="pyarrow", index=False)


def _written(results: Results, folder: Path, ending: str, write: Callable[[pd.DataFrame, Path], None]) -> list[Path]:
    """Write every table of the results, side by side, and give their paths."""
    names = (*TABLES, *STRATIFIED) if results.strata_of else TABLES

    def one(name: str) -> Path:
        path = folder / f"{name}{ending}"
        with replaced(path) as temporary:
            write(getattr(results, name), temporary)
        return path

    # The last ones take longest to make.
    return [*side_by_side([partial(one, name) for name in reversed(names)])][::-1]


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
            **_golden(folder.golden(entry)),
            **(_measured(folder, entry) if trials else {}),
            "trials": len(trials),
            "limited": folder.n_missing(entry.cell) > 0 or bool(folder.quarantined[entry.cell]),
            "interval": interval_kind(folder.manifest.rule, folder.strata(entry)),
            "confidence": folder.manifest.rule.confidence,
        }


def _measured(folder: ResultsFolder, entry: CellEntry) -> dict[str, Any]:
    return measured(folder.trials[entry.cell], folder.golden(entry), folder.manifest.rule, folder.strata(entry))


def _golden(golden: Golden | None) -> dict[str, Any]:
    if golden is None:
        return {}
    return {
        "n_bits": golden.n_bits,
        "images": golden.n_images,
        "golden_accuracy": golden.n_correct / golden.n_images,
    }


def _trials(folder: ResultsFolder) -> pd.DataFrame:
    """Column by column, and labels once a cell: a dict a trial would take as long as reading the journal."""
    entries = _sorted(folder.manifest.cells)
    trials = [trial for entry in entries for trial in folder.trials[entry.cell]]
    n_trials = [len(folder.trials[entry.cell]) for entry in entries]
    cells = pd.DataFrame([_named(folder, entry) for entry in entries]).loc[np.repeat(np.arange(len(entries)), n_trials)]
    counts = {name: [getattr(trial, name) for trial in trials] for name in Trial.__match_args__ if name not in cells}
    frame = cells.reset_index(drop=True).assign(**counts, **_fractions(folder, entries))
    return frame[list(TRIAL_TYPES)].astype(TRIAL_TYPES)


def _fractions(folder: ResultsFolder, entries: Sequence[CellEntry]) -> dict[str, list[float]]:
    """Of all images of its cell, what each trial has right, and what it has otherwise than the golden run."""
    right, wrong = [], []
    for entry in entries:
        golden = folder.golden(entry)
        for trial in folder.trials[entry.cell]:
            right.append(accuracy(trial, golden))
            wrong.append(wrong_rate(trial, golden))
    return {"accuracy": right, "wrong_rate": wrong}


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
