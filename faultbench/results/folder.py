"""A results folder as it was recorded: the manifest, which says what was asked for, and the journal.

Needs neither torch nor pandas, so that `status` answers at once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faultbench.campaign.stopping_rule import AdaptiveTrials, Rule
from faultbench.results.journal.journal import JournalContents, read_journal
from faultbench.results.journal.records import Golden, Quarantine
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import ABSENT, TrialColumns
from faultbench.results.missing_trials import missing
from faultbench.system.errors import FaultbenchError

LABELS = ("dataset", "model", "scheme", "guard", "format", "fault")
"""What tables and plots call a cell by, besides its BER; `CellEntry` has a field of each name."""


class CellEntry(BaseModel):
    """One cell of the manifest: its keys, and its labels as tables print them."""

    model_config = ConfigDict(frozen=True)
    cell: str
    subject: str
    dataset: str
    model: str
    scheme: str
    guard: str
    format: str
    fault: str
    ber: float = Field(gt=0, allow_inf_nan=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of `LABELS`."""
        return tuple(getattr(self, label) for label in LABELS)


class SchemeEntry(BaseModel):
    """One entry of the campaign's schemes: its name in the registry, and the label that cells bear."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str
    label: str


class Spec(BaseModel):
    """The campaign with every default written out; other keys are kept as attributes."""

    model_config = ConfigDict(frozen=True, extra="allow")
    schemes: tuple[SchemeEntry, ...]
    trials: int | AdaptiveTrials | None = None
    images: Any = "all"
    sampling: str = "plain"


class Manifest(BaseModel):
    """What a campaign asked for, cells in the order of its file; other keys are kept as attributes."""

    model_config = ConfigDict(frozen=True, extra="allow")
    campaign: str
    trials: int = Field(ge=1, lt=2**63)
    cells: tuple[CellEntry, ...] = Field(min_length=1)
    spec: Spec

    @cached_property
    def rule(self) -> Rule:
        """How many trials a cell gets."""
        asked = self.spec.trials
        return Rule.read(asked if isinstance(asked, AdaptiveTrials) else self.trials, self.spec.images)

    @property
    def sorted_cells(self) -> list[CellEntry]:
        """The cells in the order of tables."""
        # Not cached: a copy with other cells would keep these.
        return sorted(self.cells, key=lambda entry: (entry.labels, entry.ber, entry.cell))

    @property
    def scheme_names(self) -> dict[str, str]:
        """The name of the scheme behind each label, in the order of the cells."""
        names = {entry.label: entry.name for entry in self.spec.schemes}
        return {entry.scheme: names.get(entry.scheme, entry.scheme) for entry in self.cells}


@dataclass(frozen=True)
class ResultsFolder:
    """The manifest and the merged journal of one campaign."""

    path: Path
    manifest: Manifest
    journal: JournalContents

    @cached_property
    def trials(self) -> dict[str, TrialColumns]:
        """The trials of each cell of the manifest that mean something, in the order of their numbers."""
        recorded = {entry.cell: self.journal.trials.of_cell(entry.cell) for entry in self.manifest.cells}
        return {cell: trials.where(self._mean_something(trials, cell)) for cell, trials in recorded.items()}

    def _mean_something(self, trials: TrialColumns, cell: str) -> NDArray[np.bool_]:
        """Plain trials over all images always do; others with their golden run, and the strata of their cell."""
        strata, golden = self.journal.strata.get(cell), self._golden_of[cell]
        stratum = trials.column("stratum")
        if strata is not None and strata.is_split:
            n_strata = 0 if golden is None else len(strata.first)
            mean: NDArray[np.bool_] = (stratum != ABSENT) & (stratum < n_strata)
        else:
            mean = (stratum == ABSENT) & ((trials.column("n_golden_correct") == ABSENT) | (golden is not None))
        return mean

    def golden(self, entry: CellEntry) -> Golden | None:
        """The golden run that the trials of a cell were judged against; None if it is not recorded."""
        return self.journal.goldens.get(entry.subject)

    def strata(self, entry: CellEntry) -> Strata | None:
        """Those that the trials of a cell are drawn in; None where they are plain ones."""
        found = self.journal.strata.get(entry.cell)
        return found if found and found.is_split else None

    @cached_property
    def _golden_of(self) -> dict[str, Golden | None]:
        return {entry.cell: self.golden(entry) for entry in self.manifest.cells}

    def n_missing(self, cell: str) -> int:
        """Trials that the cell lacks, quarantined ones aside; of an adaptive one up to the next look at it."""
        rule = self.manifest.rule
        if rule.until is None:
            return max(0, rule.n_max - len(self.trials[cell]) - len(self.quarantined[cell]))
        given_up = self.journal.quarantined
        wanted = missing(rule, cell, self.journal.trials, self._golden_of[cell], self.journal.strata.get(cell))
        return sum((cell, trial) not in given_up for trial in wanted)

    @cached_property
    def quarantined(self) -> dict[str, list[Quarantine]]:
        """The quarantined trials of each cell of the manifest, in the order of their numbers."""
        found: dict[str, list[Quarantine]] = {entry.cell: [] for entry in self.manifest.cells}
        for (cell, trial), record in sorted(self.journal.quarantined.items()):
            if cell in found and trial < self.manifest.rule.n_max:
                found[cell].append(record)
        return found

    @property
    def quarantined_names(self) -> list[str]:
        """The quarantined trials as people know them, each with its reason."""
        return [
            f"{'/'.join(entry.labels)} BER {ber_text(entry.ber)} trial {record.trial}: {record.reason}"
            for entry in self.manifest.cells
            for record in self.quarantined[entry.cell]
        ]

    @property
    def remarks(self) -> list[str]:
        """What a reader should know about rows that are not in the tables, a sentence each."""
        n_listed = sum(len(self.journal.trials.of_cell(cell)) for cell in self._golden_of)
        found = {
            "torn or damaged journal lines left out": self.journal.n_damaged,
            "trials left out, of cells that the manifest does not list": len(self.journal.trials) - n_listed,
            "trials left out, of cells without a golden run or strata": n_listed - sum(map(len, self.trials.values())),
            "trials missing because they are quarantined": len(self.quarantined_names),
        }
        return [f"{self.path}: {count:,} {what}" for what, count in found.items() if count]


def find_results(path: Path) -> list[Path]:
    """The results folders at path: path itself, or every one directly inside it, sorted; never none."""
    if _is_results(path):
        return [path]
    # `run --fresh` puts old results aside as <campaign>~1; no campaign's name holds a tilde.
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
    """The one results folder at path; FaultbenchError if there are several or none."""
    folder, *others = find_results(path)
    if others:
        names = ", ".join(child.name for child in (folder, *others))
        raise FaultbenchError(f"{path}: holds the results of several campaigns; name one of {names}")
    return ResultsFolder(folder, _read_manifest(folder / "manifest.json"), read_journal(folder / "journal"))


def varying(entries: Sequence[CellEntry], labels: Sequence[str] = LABELS) -> list[str]:
    """Those of the labels that tell some of the entries apart."""
    return [label for label in labels if len({getattr(entry, label) for entry in entries}) > 1]


def ber_text(ber: float) -> str:
    """A BER as people write it: 1e-6, 2.5e-7."""
    digits, _, exponent = f"{ber:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _is_results(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise FaultbenchError(f"{path}: no faultbench manifest: {where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FaultbenchError(f"{path}: no faultbench manifest: {error}") from error
