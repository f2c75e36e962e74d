"""Results folder as it is recorded: the manifest, which says what was asked for, and the journal.

It needs neither torch nor pandas, so that `status` answers at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.contents import Asked, JournalContents, read_journal
from faultbench.results.journal.records import Golden, Quarantine
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import TrialColumns
from faultbench.results.journal.trial_rules import ABSENT
from faultbench.results.manifest import (
    LABELS,
    CellEntry,
    DeclaredEntry,
    Manifest,
    SchemeEntry,
    Spec,
    read_manifest_file,
)
from faultbench.results.missing_trials import Standing, n_below, numbers_by_cell, standing
from faultbench.results.subject_memory import MemoryEntry, memory_sentences
from faultbench.system.errors import FaultbenchError

__all__ = [
    "LABELS",
    "CellEntry",
    "DeclaredEntry",
    "Manifest",
    "MemoryEntry",
    "ResultsFolder",
    "SchemeEntry",
    "Spec",
    "memory_sentences",
]


@dataclass(frozen=True)
class ResultsFolder:
    """Manifest and merged journal of one campaign."""

    path: Path
    manifest: Manifest
    journal: JournalContents

    @cached_property
    def trials(self) -> dict[str, TrialColumns]:
        """Return the trials of each cell that the campaign asks for, in the order of their numbers."""
        return {
            cell: trials.where(slice(n_below(trials.column("trial"), self._standing[cell].n_asked)))
            for cell, trials in self.recorded.items()
        }

    @cached_property
    def recorded(self) -> dict[str, TrialColumns]:
        """Return all usable trials of each cell, also those beyond `trials` if the campaign once asked for more."""
        recorded = {entry.cell: self.journal.trials.of_cell(entry.cell) for entry in self.manifest.cells}
        return {cell: trials.where(self._is_usable(trials, cell)) for cell, trials in recorded.items()}

    @cached_property
    def _standing(self) -> dict[str, Standing]:
        rule, strata, given_up = self.manifest.rule, self.journal.strata, numbers_by_cell(self.journal.quarantined)
        return {
            cell: standing(rule, trials, given_up.get(cell, ()), self._golden_of[cell], strata.get(cell))
            for cell, trials in self.recorded.items()
        }

    def _is_usable(self, trials: TrialColumns, cell: str) -> NDArray[np.bool_]:
        """Return which trials can be used: other than plain trials over all images need a golden run, and strata."""
        strata, golden = self.journal.strata.get(cell), self._golden_of[cell]
        stratum = trials.column("stratum")
        if strata is not None and strata.is_split:
            n_strata = 0 if golden is None else len(strata.first)
            usable: NDArray[np.bool_] = (stratum != ABSENT) & (stratum < n_strata)
        else:
            usable = (stratum == ABSENT) & ((trials.column("n_golden_correct") == ABSENT) | (golden is not None))
        return usable

    def golden(self, entry: CellEntry) -> Golden | None:
        """Return the golden run that the trials of a cell are compared with; None if it is not recorded."""
        return self.journal.goldens.get(entry.subject)

    def strata(self, entry: CellEntry) -> Strata | None:
        """Return the strata that the trials of a cell are drawn in; None for plain trials."""
        strata = self.journal.strata.get(entry.cell)
        return strata if strata and strata.is_split else None

    @cached_property
    def _golden_of(self) -> dict[str, Golden | None]:
        return {entry.cell: self.golden(entry) for entry in self.manifest.cells}

    def n_missing(self, cell: str) -> int:
        """Return how many trials the cell lacks, quarantined ones aside; for an adaptive cell, up to its next look."""
        return self._standing[cell].n_missing

    @cached_property
    def quarantined(self) -> dict[str, list[Quarantine]]:
        """Return the quarantined trials of each cell of the manifest, in the order of their numbers."""
        of_cells: dict[str, list[Quarantine]] = {entry.cell: [] for entry in self.manifest.cells}
        for (cell, trial), record in sorted(self.journal.quarantined.items()):
            if cell in of_cells and trial < self._standing[cell].n_asked:
                of_cells[cell].append(record)
        return of_cells

    @property
    def quarantined_names(self) -> list[str]:
        """Return the labels, the BER, the number and the reason of each quarantined trial, as text."""
        return [
            f"{'/'.join(entry.labels)} BER {ber_text(entry.ber)} trial {record.trial}: {record.reason}"
            for entry in self.manifest.cells
            for record in self.quarantined[entry.cell]
        ]

    @property
    def remarks(self) -> list[str]:
        """Return a sentence for each kind of record that is not in the tables."""
        n_listed = sum(len(self.journal.trials.of_cell(cell)) for cell in self._golden_of)
        n_recorded = sum(map(len, self.recorded.values()))
        counts = {
            "torn or damaged journal lines left out": self.journal.n_damaged,
            "trials left out, which their golden run does not allow": self.journal.n_unfit,
            "trials left out, of cells that the manifest does not list": len(self.journal.trials) - n_listed,
            "trials left out, of cells without a golden run or strata": n_listed - n_recorded,
            "trials left out, beyond those that the campaign asks for": n_recorded
            - sum(map(len, self.trials.values())),
            "trials missing because they are quarantined": len(self.quarantined_names),
        }
        return [f"{self.path}: {count:,} {what}" for what, count in counts.items() if count]


def find_results(path: Path) -> list[Path]:
    """Return the results folders at path: path itself, or all directly inside it, sorted; FaultbenchError if none."""
    if _is_results(path):
        return [path]
    # `run --fresh` archives old results as <campaign>~1; no name of a campaign holds a tilde.
    children = (child for child in path.iterdir() if "~" not in child.name) if path.is_dir() else ()
    inside = sorted(child for child in children if _is_results(child))
    if not inside:
        what = "holds no results" if path.is_dir() else "is no folder" if path.exists() else "does not exist"
        raise FaultbenchError(
            f"{path}: {what}; a results folder holds manifest.json and journal/, "
            "as `faultbench run CAMPAIGN` writes them to results/<campaign>/"
        )
    return inside


def read_folder(path: Path) -> ResultsFolder:
    """Return the one results folder at path; FaultbenchError if there are several or none."""
    folder, *others = find_results(path)
    if others:
        names = ", ".join(child.name for child in (folder, *others))
        raise FaultbenchError(f"{path}: holds the results of several campaigns; name one of {names}")
    manifest = read_manifest_file(folder / "manifest.json")[1]
    return ResultsFolder(folder, manifest, read_journal(folder / "journal", asked_trials(manifest)))


def asked_trials(*manifests: Manifest) -> Asked:
    """Return what manifests of one campaign ask of its trials."""
    subject_of = {cell: subject for manifest in manifests for cell, subject in manifest.subject_of.items()}
    return Asked(subject_of, manifests[0].per_trial)


def varying_labels(entries: Sequence[CellEntry], labels: Sequence[str] = LABELS) -> list[str]:
    """Return the labels that differ between entries."""
    return [label for label in labels if len({getattr(entry, label) for entry in entries}) > 1]


def ber_text(ber: float) -> str:
    """Return a BER as people write it: 1e-6, 2.5e-7."""
    digits, _, exponent = f"{ber:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _is_results(path: Path) -> bool:
    return (path / "manifest.json").is_file()
