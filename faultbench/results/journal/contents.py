"""Contents of journal folders: the records of all their files, merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Self, TypeVar

import numpy as np

from faultbench.campaign import Campaign
from faultbench.results.journal.golden_rules import fit_golden_run
from faultbench.results.journal.lines import AnyRecord, records_in
from faultbench.results.journal.records import Golden, Overhead, Quarantine, Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.results.journal.trial_columns import TrialColumns, TrialTable
from faultbench.system.errors import FaultbenchError

K = TypeVar("K")
R = TypeVar("R", Trial, Golden, Hazards, Strata)


@dataclass(frozen=True)
class JournalContents:
    """Contents of a journal folder, merged over its files.

    goldens, overheads and hazards go by subject, strata by cell, trials and quarantined ones by cell and number; no
    trial is both. `n_damaged` counts lines that are torn, altered or of an unknown kind, `n_unfit` the trials that
    their golden run does not allow.
    """

    goldens: Mapping[str, Golden] = field(default_factory=dict)
    trials: TrialTable = field(default_factory=TrialTable)
    overheads: Mapping[str, Overhead] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, int], Quarantine] = field(default_factory=dict)
    n_damaged: int = 0
    hazards: Mapping[str, Hazards] = field(default_factory=dict)
    strata: Mapping[str, Strata] = field(default_factory=dict)
    n_unfit: int = 0


@dataclass(frozen=True)
class Asked:
    """Demands of a campaign on its trials: the subject of each cell, and the images per trial if it gives a number."""

    subject_of: Mapping[str, str]
    per_trial: int | None = None

    @classmethod
    def by(cls, campaign: Campaign) -> Self:
        """Return what a campaign file asks for."""
        numbers = {cell.subject.per_trial for cell in campaign.cells}
        per_trial = next(iter(numbers)) if len(numbers) == 1 else None
        subject_of = {cell.key: cell.subject.key for cell in campaign.cells}
        return cls(subject_of, per_trial if isinstance(per_trial, int) else None)


def read_journal(folder: Path, asked: Asked | None = None) -> JournalContents:
    """Return the contents of a journal folder, as `read_journals` does."""
    return read_journals([folder], asked)


def read_journals(folders: Sequence[Path], asked: Asked | None = None) -> JournalContents:
    """Return the contents of journal folders, merged; a missing folder is empty.

    Equal golden runs, trials, hazards and strata merge; two that differ for one name are a FaultbenchError, since a
    trial is a function of its cell and number. An overhead is a measurement: the last one in the order of files wins. A
    quarantined trial that was run later is a trial. With asked, trials that their golden run does not allow are left
    out, so that they do not contradict the trials that replace them.
    """
    merger = _Merger()
    for path, records in chain.from_iterable(map(records_in, folders)):
        merger.add(path, records)
    return merger.contents(asked)


@dataclass
class _Merger:
    """Records of journal files, merged as they are read."""

    goldens: dict[str, Golden] = field(default_factory=dict)
    trials: list[tuple[Path, TrialColumns]] = field(default_factory=list)
    overheads: dict[str, Overhead] = field(default_factory=dict)
    quarantined: dict[tuple[str, int], Quarantine] = field(default_factory=dict)
    hazards: dict[str, Hazards] = field(default_factory=dict)
    strata: dict[str, Strata] = field(default_factory=dict)
    n_damaged: int = 0

    def add(self, path: Path, records: TrialColumns | Sequence[AnyRecord | None]) -> None:
        """Merge the records of some lines of a file."""
        if isinstance(records, TrialColumns):
            self.trials.append((path, records))
            return
        self.trials.append((path, TrialColumns.of(record for record in records if isinstance(record, Trial))))
        for record in records:
            match record:
                case Golden():
                    _merge(self.goldens, record.subject, record, path)
                case Overhead():
                    self.overheads[record.subject] = record
                case Quarantine():
                    self.quarantined[record.cell, record.trial] = record
                case Hazards():
                    _merge(self.hazards, record.subject, record, path)
                case Strata():
                    _merge(self.strata, record.cell, record, path)
                case None:
                    self.n_damaged += 1

    def contents(self, asked: Asked | None) -> JournalContents:
        """Return what was merged, without trials that their golden run does not allow."""
        trials = self.trials
        if asked is not None:
            trials = [(path, _allowed(part, self.goldens, asked)) for path, part in trials]
        n_recorded, n_allowed = (sum(len(part) for _, part in parts) for parts in (self.trials, trials))
        merged = TrialTable.merged(trials)
        if not isinstance(merged, TrialTable):
            raise _conflict(*merged)
        return JournalContents(
            goldens=self.goldens,
            trials=merged,
            overheads=self.overheads,
            quarantined={name: record for name, record in self.quarantined.items() if name not in merged},
            n_damaged=self.n_damaged,
            hazards=self.hazards,
            strata=self.strata,
            n_unfit=n_recorded - n_allowed,
        )


def _allowed(trials: TrialColumns, goldens: Mapping[str, Golden], asked: Asked) -> TrialColumns:
    """Return the trials that their golden run allows, and those whose golden run is not recorded."""
    golden_of = {cell: goldens.get(asked.subject_of.get(cell, "")) for cell in {*trials.column("cell").tolist()}}
    of_trials = [golden_of[cell] for cell in trials.column("cell").tolist()]
    is_known = np.array([golden is not None for golden in of_trials], dtype=bool)
    if not is_known.any():
        return trials
    known = [golden for golden in of_trials if golden is not None]
    golden = SimpleNamespace(
        **{name: np.array([getattr(run, name) for run in known]) for name in ("n_images", "n_correct", "n_bits")}
    )
    to_check = trials.where(is_known)
    counts = {name: to_check.column(name) for name in Trial.__match_args__ if name.startswith("n_")}
    is_allowed = np.ones(len(trials), dtype=bool)
    is_allowed[is_known] = fit_golden_run(SimpleNamespace(**counts), golden, asked.per_trial)
    return trials if is_allowed.all() else trials.where(is_allowed)


def _merge(known: dict[K, R], name: K, record: R, path: Path) -> None:
    earlier = known.setdefault(name, record)
    if earlier is not record and earlier != record:
        raise _conflict(earlier, record, path)


def _conflict(earlier: R, record: R, path: Path) -> FaultbenchError:
    changes = (
        f"{entry.name} {getattr(earlier, entry.name)} before, {getattr(record, entry.name)} here"
        for entry in fields(record)
        if getattr(earlier, entry.name) != getattr(record, entry.name)
    )
    where = f"subject {record.subject}" if isinstance(record, Golden | Hazards) else f"cell {record.cell}"
    where += f" trial {record.trial}" if isinstance(record, Trial) else ""
    return FaultbenchError(
        f"{path}: {record.KIND} of {where} recorded twice with different outcomes: {'; '.join(changes)}; "
        "results of different machines or versions do not mix: remove one of the files or use another folder"
    )
