"""Progress of a run's trials: accuracy so far of the cell that runs, workers alive, trials given up."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from faultbench.campaign import Campaign
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.estimates import accuracies
from faultbench.results.folder import ber_text
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata

SHARE = 0.002
"""Share of the time that computing progress may take: a cell with many trials is not computed every second."""


@dataclass(frozen=True)
class TrialsNow:
    """Progress of the cell of the last recorded trial, with its mean accuracy and interval, and of the run.

    recorded counts the trials that this run recorded, quarantined those that it gave up.
    """

    cell: str
    network: str
    ber: float
    trials: int
    accuracy_mean: float
    accuracy_ci_low: float
    accuracy_ci_high: float
    workers: int
    recorded: int
    quarantined: int

    @property
    def text(self) -> str:
        """Progress as a line for people."""
        ends = (self.accuracy_ci_low, self.accuracy_mean, self.accuracy_ci_high)
        low, mean, high = (f"{100 * end:.1f}" for end in ends)
        workers = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        so_far = f"{mean}% [{low}, {high}] after {self.trials:,} trials"
        return f"{self.network} BER {ber_text(self.ber)}: {so_far}; {workers}, {self.quarantined} quarantined"

    @property
    def record(self) -> Mapping[str, Any]:
        """Progress as a record for programs."""
        return asdict(self)


class ProgressTracker:
    """Trials that a run has recorded so far, and the progress that they show."""

    def __init__(
        self,
        campaign: Campaign,
        known: Iterable[Trial],
        goldens: Mapping[str, Golden],
        n_workers: Callable[[], int],
        strata: Mapping[str, Strata],
        *,
        rule: StoppingRule,
    ) -> None:
        """Take over known trials. rule ends the trials of a cell, and knows of earlier looks.

        goldens, by subject, and strata, by cell, may be filled later, but before a trial of theirs is added.
        """
        self._cells, self._goldens = {cell.key: cell for cell in campaign.cells}, goldens
        self._strata = strata
        self._rule, self._n_workers = rule, n_workers
        self._trials: dict[str, dict[int, Trial]] = {key: {} for key in self._cells}
        self._running = ""
        self._n_recorded = self._n_quarantined = 0
        self._latest: TrialsNow | None = None
        self._next_s = 0.0
        for trial in known:
            self._keep(trial)

    def add_trials(self, trials: Iterable[Trial]) -> None:
        """Add trials that were recorded just now."""
        for trial in trials:
            self._keep(trial)
            self._running = trial.cell
            self._n_recorded += 1

    def add_quarantined(self, n_trials: int) -> None:
        """Count trials that were given up."""
        self._n_quarantined += n_trials

    def now(self) -> TrialsNow | None:
        """Return the progress, None before the first trial. The interval may be seconds old, the run's counts never."""
        if self._running not in self._cells:
            return None
        if self._latest is None or time.perf_counter() >= self._next_s:
            started_s = time.perf_counter()
            self._latest = self._compute()
            self._next_s = time.perf_counter() + (time.perf_counter() - started_s) / SHARE
        return replace(self._latest, recorded=self._n_recorded, quarantined=self._n_quarantined)

    def _keep(self, trial: Trial) -> None:
        if trial.cell in self._trials and trial.trial < self._rule.n_max:
            golden = self._goldens.get(self._cells[trial.cell].subject.key)
            if golden or (trial.n_golden_correct is None and trial.stratum is None):
                self._trials[trial.cell][trial.trial] = trial

    def _compute(self) -> TrialsNow:
        cell = self._cells[self._running]
        trials = [trial for _, trial in sorted(self._trials[cell.key].items())]
        estimate = accuracies(trials, self._goldens.get(cell.subject.key), self._strata.get(cell.key))
        # Who watches looks many times; the last look is that of the tables.
        is_last = len(trials) >= self._rule.n_max
        interval = estimate.interval(self._rule if is_last else replace(self._rule, n_raised=1))
        choices = (cell.subject.dataset, cell.subject.model, cell.subject.scheme, cell.subject.guard)
        return TrialsNow(
            cell=cell.key,
            network="/".join(choice.label for choice in choices if choice.label != "none"),
            ber=cell.ber,
            trials=len(trials),
            accuracy_mean=estimate.mean,
            accuracy_ci_low=interval.low,
            accuracy_ci_high=interval.high,
            workers=self._n_workers(),
            recorded=0,  # `now` fills in both
            quarantined=0,
        )
