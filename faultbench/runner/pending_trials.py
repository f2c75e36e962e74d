"""Which trials of a campaign are to be run next, given those that are done or given up."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from faultbench.campaign import Cell
from faultbench.campaign.stopping_rule import Rule
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.missing_trials import missing
from faultbench.runner.run_options import Terms
from faultbench.runner.tasks.chunks import Prepared, chunks, jobs
from faultbench.runner.tasks.worker import Chunk, Job
from faultbench.trials.images_per_trial import PILOT_IMAGES, images_a_trial

Name = tuple[str, int]
"""A trial's cell and number."""


class Pending:
    """Is told of every trial that is done or given up, and says what each cell lacks."""

    def __init__(self, rule: Rule, terms: Terms, done: Mapping[Name, Trial], given_up: Collection[Name]) -> None:
        self._rule, self._terms = rule, terms
        self._done = dict(done)
        self._given_up = set() if terms.retry_quarantined else set(given_up)

    def done(self, trial: Trial) -> None:
        """This one is recorded."""
        self._done[trial.cell, trial.trial] = trial

    def give_up(self, job: Job) -> None:
        """This one is quarantined."""
        self._given_up.add((job.cell, job.trial))

    def wanted(self, prepared: Prepared, cell: Cell) -> Iterator[Chunk]:
        """The trials of a subject's cell to run next, in chunks."""
        numbers = self._numbers(cell, prepared.golden, prepared.strata.get(cell.ber))
        yield from chunks(prepared, jobs(cell, numbers, self._n_images(prepared, cell, numbers)))

    def own(self) -> dict[str, list[Trial]]:
        """The trials of this shard that are done, by cell and in order."""
        found: dict[str, list[Trial]] = {}
        for name, trial in sorted(self._done.items()):
            if self._terms.shard.owns(*name):
                found.setdefault(trial.cell, []).append(trial)
        return found

    def lacks(self, cell: Cell, golden: Golden, strata: Strata | None) -> bool:
        """Whether the cell lacks trials; strata where they are drawn in some."""
        return bool(self._numbers(cell, golden, strata))

    def _numbers(self, cell: Cell, golden: Golden, strata: Strata | None) -> list[int]:
        return [
            trial
            for trial in missing(self._rule, cell.key, self._done, golden, strata, limit=self._terms.limit)
            if (cell.key, trial) not in self._given_up and self._terms.shard.owns(cell.key, trial)
        ]

    def _n_images(self, prepared: Prepared, cell: Cell, wanted: Sequence[int]) -> int | None:
        """Images that each of the wanted trials of a cell looks at."""
        per_trial = cell.subject.per_trial
        if per_trial != "auto" or not wanted:
            return per_trial if isinstance(per_trial, int) else None
        n_pilot = self._rule.n_pilot
        if wanted[0] < n_pilot:
            return PILOT_IMAGES
        pilot = [self._done[cell.key, number] for number in range(n_pilot)]
        return images_a_trial(pilot, prepared.golden, trial_in_images=prepared.trial_in_images)
