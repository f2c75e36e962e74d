"""A campaign's golden runs and trials: openings and chunks to the workers, what comes of them to the journal.

A subject is opened by the worker that then runs its trials: it keeps what they begin from.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack

from faultbench.campaign import Campaign, Cell, Subject
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Golden, Quarantine, Trial
from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.supervisor import Result, SetAside, Supervisor
from faultbench.runner.pending_trials import Pending
from faultbench.runner.run_options import Terms
from faultbench.runner.tasks.chunks import Prepared, named, split, trials_by_cell
from faultbench.runner.tasks.worker import Chunk, Opened, Opening, worked
from faultbench.runner.trial_progress import Watch
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.progress.reporter import Ask, GrowingTask, Reporter

LONGEST_REASON = 200
"""Characters of an error that a quarantined trial is recorded with."""

_End = Result[Opening, Opened | list[Trial]] | SetAside[Opening]


class TrialRunner:
    """Opens subjects, runs every trial of theirs that is pending, and records what comes of it.

    goldens are the recorded golden runs by subject, kept up here. prepare is called with each subject that is opened
    and gives what its trials are cut from.
    """

    def __init__(
        self,
        campaign: Campaign,
        journal: Journal,
        engine: Engine,
        reporter: Reporter,
        terms: Terms,
        *,
        goldens: dict[str, Golden],
        pending: Pending,
        watch: Watch,
        prepare: Callable[[Subject, Opened], Prepared],
    ) -> None:
        self._campaign, self._journal, self._engine = campaign, journal, engine
        self._reporter, self._terms = reporter, terms
        self._goldens, self._pending, self._watch, self._prepare = goldens, pending, watch, prepare
        self._cells = {cell.key: cell for cell in campaign.cells}
        self._prepared: dict[str, Prepared] = {}
        self._ready: dict[int, Hashable] = {}  # worker → the subject that it worked on last

    def run(self, openings: Sequence[Opening]) -> None:
        """Open these and run what is wanted of them, until nothing more is.

        EngineError where no worker does a golden run; FaultbenchError where one differs from the recorded one, as then
        its trials would be another network's; the error of terms.stop when asked to stop.
        """
        n_trials = self._run(openings, [])
        cells = [cell for opening in openings for cell in self._campaign.cells_of(opening.subject)]
        while chunks := [chunk for cell in cells for chunk in self._wanted(cell)]:
            n_trials += self._run([], chunks)
        if not n_trials:
            self._reporter.say("no trial is missing")

    def _run(self, openings: Sequence[Opening], chunks: Sequence[Chunk]) -> int:
        """Do this work and what it makes wanted; gives the number of trials in it.

        A cell goes on as soon as its own trials are done, while workers have its network at hand.
        """
        supervisor = self._supervisor()
        n_open = trials_by_cell(chunks)
        with ExitStack() as shown:
            bars = _Bars(self._reporter, self._watch.now, shown, n_openings=len(openings))
            bars.extend(n_open.total())
            for end in supervisor.run([*openings, *chunks]):
                more = self._follow_ups(end, n_open)
                n_open.update(n_more := trials_by_cell(more))
                bars.extend(n_more.total())
                bars.advance(end.task)
                supervisor.add(more)
        if self._terms.stop.requested:
            raise self._terms.stop.error
        return bars.n_trials

    def _supervisor(self) -> Supervisor[Opening, Opened | list[Trial]]:
        return Supervisor(
            self._engine,
            worked,
            split=split,
            named=named,
            stop=self._terms.stop,
            stall_limit_s=self._terms.stall_limit_s,
            told=lambda message: self._reporter.say(message, "warning"),
            kin=lambda task: task.subject.key,
            ready=self._ready,
        )

    def _follow_ups(self, end: _End, n_open: Counter[str]) -> list[Chunk]:
        """Record what came of a task; gives what that makes wanted. n_open counts the trials under way, by cell."""
        match end:
            case SetAside(task=Chunk() as chunk):
                self._quarantine(chunk, end.n_deaths, end.reason)
            case SetAside():
                raise EngineError(f"{named(end.task)}: no worker does it: {end.reason}")
            case Result(value=Opened() as opened):
                self._open(end.task.subject, opened)
            case Result(value=list() as trials):
                self._record(trials)
        if isinstance(end.task, Chunk):
            n_open.subtract(done := trials_by_cell([end.task]))
            cells = [self._cells[key] for key in done if not n_open[key]]
        else:
            cells = self._campaign.cells_of(end.task.subject)
        return [chunk for cell in cells for chunk in self._wanted(cell)]

    def _wanted(self, cell: Cell) -> Iterator[Chunk]:
        return self._pending.wanted(self._prepared[cell.subject.key], cell)

    def _open(self, subject: Subject, opened: Opened) -> None:
        recorded, now = self._goldens.get(subject.key), opened.golden
        if recorded is None:
            self._journal.append(now.to_record())
            self._goldens[subject.key] = now
        elif now != recorded:
            raise FaultbenchError(
                f"subject {subject.key} ({subject.scheme.label}): recorded with another golden run: "
                f"{recorded.n_correct:,} of {recorded.n_images:,} correct then, {now.n_correct:,} now, and classes "
                f"{recorded.top1_digest} then, {now.top1_digest} now; use another -o, or --fresh"
            )
        self._prepared[subject.key] = self._prepare(subject, opened)

    def _record(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._journal.append(trial.to_record())
            self._pending.done(trial)
        self._watch.recorded(trials)

    def _quarantine(self, chunk: Chunk, n_deaths: int, reason: str) -> None:
        for job in chunk.jobs:
            self._journal.append(Quarantine(job.cell, job.trial, n_deaths, reason[:LONGEST_REASON]).to_record())
            self._pending.give_up(job)
        self._watch.quarantined(len(chunk.jobs))
        self._reporter.say(f"quarantined after {n_deaths} deaths: {named(chunk)}: {reason}", "quarantine")


class _Bars:
    """What is shown of a run: golden runs until all are done, trials as soon as there are any."""

    def __init__(self, reporter: Reporter, facts: Ask, shown: ExitStack, *, n_openings: int) -> None:
        self._reporter, self._facts, self._shown = reporter, facts, shown
        self._n_openings, self.n_trials = n_openings, 0
        self._openings_shown = shown.enter_context(ExitStack())
        if n_openings:
            bar = reporter.task("golden runs", n_openings, unit="networks")
            self._openings = self._openings_shown.enter_context(bar)

    def extend(self, n_trials: int) -> None:
        """So many are to be run as well."""
        if self.n_trials:
            self._trials.extend(n_trials)
        elif n_trials:
            bar = self._reporter.task("run trials", n_trials, unit="trials", facts=self._facts)
            self._trials: GrowingTask = self._shown.enter_context(bar)
        self.n_trials += n_trials

    def advance(self, task: Opening) -> None:
        """This one is done."""
        if isinstance(task, Chunk):
            self._trials.advance(len(task.jobs))
            return
        self._openings.advance()
        self._n_openings -= 1
        if not self._n_openings:
            self._openings_shown.close()
