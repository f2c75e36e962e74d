"""How the trials of a run stand: the accuracy so far of the cell that runs, workers alive, trials given up."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from faultbench import stats
from faultbench.campaign import Cell
from faultbench.measures import mean_interval
from faultbench.records import Golden, Trial
from faultbench.results_folder import ber_text
from faultbench.sampled import accuracy
from faultbench.stopping import Rule

SHARE = 0.002
"""Of the time, what telling may take: the interval of a cell with many trials is not made anew every second."""


@dataclass(frozen=True)
class TrialsNow:
    """The cell that a trial was last recorded of: its trials so far, their mean accuracy and its interval; and the run.

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
        """For people."""
        ends = (self.accuracy_ci_low, self.accuracy_mean, self.accuracy_ci_high)
        low, mean, high = (f"{100 * end:.1f}" for end in ends)
        workers = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        so_far = f"{mean}% [{low}, {high}] after {self.trials:,} trials"
        return f"{self.network} BER {ber_text(self.ber)}: {so_far}; {workers}, {self.quarantined} quarantined"

    @property
    def record(self) -> Mapping[str, Any]:
        """For programs."""
        return asdict(self)


class Watch:
    """Is told of every trial, and says how they stand."""

    def __init__(
        self,
        cells: Iterable[Cell],
        rule: Rule,
        known: Iterable[Trial],
        goldens: Mapping[str, Golden],
        n_workers: Callable[[], int],
    ) -> None:
        """goldens, by subject, may be filled in later, but before the first trial of a cell is told."""
        self._cells, self._goldens = {cell.key: cell for cell in cells}, goldens
        self._rule, self._n_workers = rule, n_workers
        self._accuracies: dict[str, dict[int, float]] = {key: {} for key in self._cells}
        self._running = ""
        self._n_recorded = self._n_quarantined = 0
        self._made: TrialsNow | None = None
        self._next_s = 0.0
        for trial in known:
            self._keep(trial)

    def recorded(self, trials: Iterable[Trial]) -> None:
        """These were recorded just now."""
        for trial in trials:
            self._keep(trial)
            self._running = trial.cell
            self._n_recorded += 1

    def quarantined(self, n_trials: int) -> None:
        """So many were given up."""
        self._n_quarantined += n_trials

    def now(self) -> TrialsNow | None:
        """How they stand; None before the first. The interval may be some moments old, counts of the run never."""
        if self._running not in self._cells:
            return None
        if self._made is None or time.perf_counter() >= self._next_s:
            started_s = time.perf_counter()
            self._made = self._looked()
            self._next_s = time.perf_counter() + (time.perf_counter() - started_s) / SHARE
        return replace(self._made, recorded=self._n_recorded, quarantined=self._n_quarantined)

    def _keep(self, trial: Trial) -> None:
        if trial.cell in self._accuracies:
            golden = self._goldens.get(self._cells[trial.cell].subject.key)
            if golden or trial.n_golden_correct is None:
                self._accuracies[trial.cell][trial.trial] = accuracy(trial, golden)

    def _looked(self) -> TrialsNow:
        cell = self._cells[self._running]
        accuracies = [accuracy for _, accuracy in sorted(self._accuracies[cell.key].items())]
        interval = mean_interval(accuracies, self._rule)
        choices = (cell.subject.dataset, cell.subject.model, cell.subject.scheme, cell.subject.guard)
        return TrialsNow(
            cell=cell.key,
            network="/".join(choice.label for choice in choices if choice.label != "none"),
            ber=cell.ber,
            trials=len(accuracies),
            accuracy_mean=stats.mean(accuracies),
            accuracy_ci_low=interval.low,
            accuracy_ci_high=interval.high,
            workers=self._n_workers(),
            recorded=0,  # both are filled in when told
            quarantined=0,
        )
