"""Trials of a campaign that are to be run next, given those that are done or given up."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from faultbench.campaign import Cell
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import TrialTable
from faultbench.results.missing_trials import numbers_by_cell, standing, trials_wanted
from faultbench.runner.run_options import RunOptions
from faultbench.runner.tasks.chunks import ReadySubject, cut_chunks, trial_jobs
from faultbench.runner.tasks.tasks import TrialChunk
from faultbench.trials.images_per_trial import PILOT_IMAGES, choose_n_images
from faultbench.trials.trial import TrialJob

TrialName = tuple[str, int]
"""Cell and number of a trial."""


@dataclass
class _CellTrials:
    """Known trials of a cell, and how far its trials are handed out; nothing here grows with future trials."""

    done: dict[int, Trial] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    goal: int = 0
    """Every trial below this number is done, given up, handed out or in `left`."""
    left: Iterator[int] = field(default_factory=lambda: iter(()))
    n_out: int = 0
    """Number of trials that are handed out."""


class PendingTrials:
    """Trials that each cell of a campaign lacks; each trial is handed out once.

    Every trial that is done or given up must be reported here.
    """

    def __init__(
        self, rule: StoppingRule, options: RunOptions, done: TrialTable, given_up: Collection[TrialName]
    ) -> None:
        self._rule, self._options = rule, options
        self._cells = {cell: _CellTrials({trial.trial: trial for trial in done.of_cell(cell)}) for cell in done.cells}
        self._n_new = 0
        if not options.retry_quarantined:
            for cell, numbers in numbers_by_cell(given_up).items():
                self._trials_of(cell).given_up |= numbers

    def add_done(self, trial: Trial) -> None:
        """Add a trial that is recorded."""
        trials = self._trials_of(trial.cell)
        trials.done[trial.trial] = trial
        trials.n_out -= 1

    def give_up(self, job: TrialJob) -> None:
        """Add a trial that is quarantined."""
        trials = self._trials_of(job.cell)
        trials.given_up.add(job.trial)
        trials.n_out -= 1

    def next_chunks(self, ready: ReadySubject, cell: Cell, at_most: int) -> Iterator[TrialChunk]:
        """Yield up to at_most of the next trials of a subject's cell, in chunks; they count as handed out."""
        numbers = self._next(cell, ready.golden, ready.strata.get(cell.ber), at_most)
        yield from cut_chunks(ready, trial_jobs(cell, numbers, self._n_images(ready, cell, numbers)))

    def n_new(self) -> int:
        """Return how many more trials are known to be needed since the last call, handed out or not."""
        n_new, self._n_new = self._n_new, 0
        return n_new

    def own(self, cell: str, golden: Golden) -> list[Trial]:
        """Return the done trials of a cell without strata that are this shard's and asked for, in order."""
        trials, owns = self._trials_of(cell), self._options.shard.owns_trial
        done = [trial for _, trial in sorted(trials.done.items())]
        n_asked = standing(self._rule, done, trials.given_up, golden).n_asked
        return [trial for trial in done if trial.trial < n_asked and owns(cell, trial.trial)]

    def lacks(self, cell: Cell, golden: Golden, strata: Strata | None) -> bool:
        """Return whether the cell lacks trials; strata are given if its trials are drawn in strata."""
        goal = self._goal(self._trials_of(cell.key), golden, strata)
        return next(self._missing(cell.key, 0, goal), None) is not None

    def _trials_of(self, cell: str) -> _CellTrials:
        return self._cells.setdefault(cell, _CellTrials())

    def _next(self, cell: Cell, golden: Golden, strata: Strata | None, at_most: int) -> list[int]:
        trials = self._trials_of(cell.key)
        numbers = [*islice(trials.left, at_most)]
        if not numbers and not trials.n_out and (goal := self._goal(trials, golden, strata)) > trials.goal:
            self._n_new += self._n_missing(cell.key, trials.goal, goal)
            trials.left, trials.goal = self._missing(cell.key, trials.goal, goal), goal
            numbers = [*islice(trials.left, at_most)]
        trials.n_out += len(numbers)
        return numbers

    def _goal(self, trials: _CellTrials, golden: Golden, strata: Strata | None) -> int:
        known = [trial for _, trial in sorted(trials.done.items())] if self._rule.until or self._rule.n_pilot else []
        n_wanted = trials_wanted(self._rule, known, golden, strata)
        return n_wanted if self._options.limit is None else min(self._options.limit, n_wanted)

    def _missing(self, cell: str, start: int, stop: int) -> Iterator[int]:
        trials = self._trials_of(cell)
        numbers = self._options.shard.trials(cell, start, stop)
        return (number for number in numbers if number not in trials.done and number not in trials.given_up)

    def _n_missing(self, cell: str, start: int, stop: int) -> int:
        trials, shard = self._trials_of(cell), self._options.shard
        known = [n for n in trials.done.keys() | trials.given_up if start <= n < stop and shard.owns_trial(cell, n)]
        return shard.n_trials(cell, start, stop) - len(known)

    def _n_images(self, ready: ReadySubject, cell: Cell, numbers: Sequence[int]) -> int | None:
        """Return how many images each of the next trials of a cell looks at; None is all of them."""
        per_trial = cell.subject.per_trial
        if per_trial != "auto" or not numbers:
            return per_trial if isinstance(per_trial, int) else None
        n_pilot = self._rule.n_pilot
        if numbers[0] < n_pilot:
            return PILOT_IMAGES
        done = self._trials_of(cell.key).done
        pilot = [done[number] for number in range(n_pilot)]
        return choose_n_images(pilot, ready.golden, overhead_images=ready.overhead_images)
