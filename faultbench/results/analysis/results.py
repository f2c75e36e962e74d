"""Results as data frames and CSV files: one row a cell, a trial, a protected network.

Rows are sorted and every number is computed from counts in an order of its own, so the same records give the
same bytes whichever files they came from. Accuracies and rates are fractions in 0..1.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import pandas as pd

from faultbench.output.export.csv_text import csv_text
from faultbench.results.analysis.critical_ber import critical_bers
from faultbench.results.analysis.data_frames import cells_frame, overhead_frame, trials_frame
from faultbench.results.analysis.flip_harm import TEXTS as FLIP_TEXTS
from faultbench.results.analysis.flip_harm import attributions, counted, harms
from faultbench.results.analysis.hazard_tables import hazards, strata
from faultbench.results.analysis.resilience import resiliences
from faultbench.results.folder import LABELS, Manifest, ResultsFolder, read_folder
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced
from faultbench.system.processes import shares, side_by_side

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
        """The area under accuracy against log BER of each protected network: see `resilience.py`."""
        return resiliences(self)

    @cached_property
    def critical(self) -> pd.DataFrame:
        """The critical BERs of each protected network: see `faultbench.results.analysis.critical_ber`."""
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
        """Which flips the trials held that failed: see `faultbench.results.analysis.flip_harm`."""
        return attributions(self).astype(dict.fromkeys(FLIP_TEXTS, "str"))

    @cached_property
    def hazard(self) -> pd.DataFrame:
        """Which kinds of bits do harm, as a pilot found: see `faultbench.results.analysis.hazard_tables`."""
        return hazards(self)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """How trials were shared out among strata: see `faultbench.results.analysis.hazard_tables`."""
        return strata(self)


def read_results(path: str | Path) -> Results:
    """The results at path, which is results/<campaign> or a folder that holds exactly one such."""
    return results_of(read_folder(Path(path)))


def results_of(folder: ResultsFolder) -> Results:
    """The results that a folder holds, as read."""
    n_missing = sum(folder.n_missing(entry.cell) for entry in folder.manifest.cells)  # sorts trials, for all below
    parts = [partial(cells_frame, folder, entries) for entries in shares(folder.manifest.sorted_cells)]
    return Results(
        folder.path,
        folder.manifest,
        pd.concat(side_by_side(parts), ignore_index=True),
        trials_frame(folder),
        overhead_frame(folder),
        tuple(folder.remarks),
        n_missing,
        {cell: len(given_up) for cell, given_up in folder.quarantined.items() if given_up},
        folder.journal.hazards,
        folder.journal.strata,
    )


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write a CSV file for each table of the results into folder and give their paths.

    Fractions are written so that they read back bit for bit; what is not known is an empty field.
    """
    tables = {name: _parts(results, name) for name in reversed(_names(results))}  # the last ones take longest to make
    calls = [
        partial(_csv, frame, has_header=number == 0) for parts in tables.values() for number, frame in enumerate(parts)
    ]
    written = side_by_side(calls)
    paths = [_put_together(folder / f"{name}.csv", islice(written, len(parts))) for name, parts in tables.items()]
    return paths[::-1]


def _parts(results: Results, name: str) -> list[Callable[[], pd.DataFrame]]:
    """What makes a table, top down: that of flips, by far the longest, in as many parts as there are cores."""
    if name == "attribution":
        return [partial(attributions, results, entries) for entries in shares(results.manifest.sorted_cells)]
    return [partial(getattr, results, name)]


def _csv(frame: Callable[[], pd.DataFrame], *, has_header: bool) -> bytes:
    return csv_text(frame(), TEXTS, has_header=has_header).encode()


def _put_together(path: Path, parts: Iterable[bytes]) -> Path:
    with replaced(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)
    return path


def write_parquet(results: Results, folder: Path) -> list[Path]:
    """Write the same tables as Parquet files and give their paths; FaultbenchError without pyarrow."""
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise FaultbenchError(
            "--format parquet needs pyarrow, which is not installed; pip install 'faultbench-dnn[parquet]', "
            "or take --format csv"
        ) from error
    calls = [partial(_parquet, results, name, folder) for name in reversed(_names(results))]
    return [*side_by_side(calls)][::-1]


def _parquet(results: Results, name: str, folder: Path) -> Path:
    path = folder / f"{name}.parquet"
    with replaced(path) as temporary:
        getattr(results, name).to_parquet(temporary, engine="pyarrow", index=False)
    return path


def _names(results: Results) -> tuple[str, ...]:
    return (*TABLES, *STRATIFIED) if results.strata_of else TABLES
