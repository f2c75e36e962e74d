"""Results of a campaign as data frames: a row per cell, per trial and per protected network.

Rows are sorted, and every number is computed from counts in a fixed order, so the same records give the same bytes
whichever files hold them. Accuracies and rates are fractions in 0..1.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from faultbench.results.analysis.attribution import TEXT_COLUMNS, attributions, counted_cells
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.critical_ber import critical_bers
from faultbench.results.analysis.data_frames import cells_frame, overhead_frame, trials_frame
from faultbench.results.analysis.flip_rows import CountedCell, counted_rows
from faultbench.results.analysis.harm import harms
from faultbench.results.analysis.hazard_tables import hazards, strata
from faultbench.results.analysis.resilience import resiliences
from faultbench.results.flip_counts import FOLDER, n_damaged
from faultbench.results.folder import ResultsFolder, read_folder
from faultbench.system import arguments
from faultbench.system.error_lines import as_faultbench_error
from faultbench.system.processes import cut_evenly, run_in_parallel


@dataclass(frozen=True, eq=False)
class Results(CampaignTables):
    """Results of one campaign; a table that follows from cells and trials is computed when it is first used."""

    @cached_property
    def resilience(self) -> pd.DataFrame:
        """Return the area under accuracy against log BER of each protected network, see `resilience.resiliences`."""
        return resiliences(self)

    @cached_property
    def critical(self) -> pd.DataFrame:
        """Return the critical BERs of each protected network, see `critical_ber.critical_bers`."""
        return critical_bers(self)

    @cached_property
    def counted_cells(self) -> list[CountedCell]:
        """Return the flip counts of the cells that have some, see `attribution.counted_cells`."""
        return counted_cells(self)

    @cached_property
    def counted(self) -> pd.DataFrame:
        """Return the counts that `attribution` is made of, see `flip_rows.counted_rows`."""
        return counted_rows(self.counted_cells)

    @cached_property
    def harm(self) -> pd.DataFrame:
        """Return the accuracy that each kind of flip costs each protected network, see `harm.harms`."""
        return harms(self.counted_cells).astype(dict.fromkeys(TEXT_COLUMNS, "str"))

    @cached_property
    def attribution(self) -> pd.DataFrame:
        """Return how often trials fail with each kind of flip and without it, see `attribution.attributions`."""
        rows = attributions(self.counted, self.manifest.rule.confidence_per_look)
        return rows.astype(dict.fromkeys(TEXT_COLUMNS, "str"))

    @cached_property
    def hazard(self) -> pd.DataFrame:
        """Return the harm of each kind of bit, as pilots measured it, see `hazard_tables.hazards`."""
        return hazards(self)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """Return how the trials of each cell are shared out among strata, see `hazard_tables.strata`."""
        return strata(self)


def read_results(path: str | Path) -> Results:
    """Return the results at path, which is results/<campaign> or a folder that holds exactly one such folder."""
    checked = arguments.path("read_results: path", path, "the path of a results folder")
    with as_faultbench_error():
        return results_of(read_folder(checked))


def results_of(folder: ResultsFolder) -> Results:
    """Return the results that a folder holds."""
    # First: it sorts the trials, which the processes below then share.
    n_missing = sum(folder.n_missing(entry.cell) for entry in folder.manifest.cells)
    parts = [partial(cells_frame, folder, entries) for entries in cut_evenly(folder.manifest.sorted_cells)]
    return Results(
        folder.path,
        folder.manifest,
        pd.concat(run_in_parallel(parts), ignore_index=True),
        trials_frame(folder),
        overhead_frame(folder),
        (*folder.remarks, *_flip_remarks(folder)),
        n_missing,
        {cell: len(given_up) for cell, given_up in folder.quarantined.items() if given_up},
        folder.journal.hazards,
        folder.journal.strata,
    )


def _flip_remarks(folder: ResultsFolder) -> list[str]:
    subjects = {entry.subject for entry in folder.manifest.cells}
    recorded = {cell: range(len(trials)) for cell, trials in folder.trials.items()}
    n_lines = n_damaged(folder.path / FOLDER, subjects, recorded)
    what = "lines of flip counts left out, damaged or of trials that are not in the tables"
    return [f"{folder.path}: {n_lines:,} {what}; `faultbench run` counts again"] if n_lines else []
