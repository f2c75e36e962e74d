"""Runner of golden runs and trials: it sends tasks to workers and records their results in the journal.

The worker that does a subject's golden run then runs its trials, because it keeps what they begin from.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack

from faultbench.campaign import Campaign, Cell, Subject
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Golden, Quarantine, Trial
from faultbench.runner.engines.supervisor import Result, SetAside, Supervisor, SupervisorOptions
from faultbench.runner.pending_trials import PendingTrials
from faultbench.runner.run_options import RunSetup
from faultbench.runner.tasks.chunks import ReadySubject, split_task, task_title, trials_by_cell
from faultbench.runner.tasks.tasks import GoldenRunResult, GoldenRunTask, Task, TrialChunk
from faultbench.runner.tasks.worker import run_task
from faultbench.runner.trial_progress import ProgressTracker
from faultbench.system.errors import FaultbenchError, WorkersError
from faultbench.system.progress.reporter import Ask, GrowingTask, Reporter

N_AT_ONCE = 4096
"""Most trials of a cell that are in chunks at once, or 256 per worker if that is more."""

LONGEST_REASON = 200
"""Most characters of the error that the record of a quarantined trial holds."""

_TaskEnd = Result[Task, GoldenRunResult | list[Trial]] | SetAside[Task]


class TrialRunner:
    """Runner of golden runs and of all pending trials, which records their results.

    goldens are the recorded golden runs by subject; new ones are added. prepare is called with each subject whose
    golden run is done, and returns the subject ready for trials. on_wait is called before each wait for workers; an
    error that it raises ends the run.
    """

    def __init__(
        self,
        campaign: Campaign,
        setup: RunSetup,
        journal: Journal,
        *,
        goldens: dict[str, Golden],
        pending: PendingTrials,
        tracker: ProgressTracker,
        prepare: Callable[[Subject, GoldenRunResult], ReadySubject],
        on_wait: Callable[[], None],
    ) -> None:
        self._campaign, self._journal = campaign, journal
        self._engine, self._reporter, self._options = setup.engine, setup.reporter, setup.options
        self._goldens, self._pending, self._tracker = goldens, pending, tracker
        self._prepare, self._on_wait = prepare, on_wait
        self._cells = {cell.key: cell for cell in campaign.cells}
        self._ready: dict[str, ReadySubject] = {}
        self._n_at_once = max(N_AT_ONCE, 256 * setup.engine.n_workers)
        self._last_subjects: dict[int, Hashable] = {}  # worker → key of the subject that it worked on last

    def run(self, golden_tasks: Sequence[GoldenRunTask]) -> int:
        """Do golden runs and run their subjects' trials until none is missing; return the number of trials.

        WorkersError if no worker does a golden run. FaultbenchError if a golden run differs from the recorded one,
        because its trials would be another network's. The error of options.stop if the run was asked to stop.
        """
        n_trials = self._run(golden_tasks, [])
        cells = [cell for task in golden_tasks for cell in self._campaign.cells_of(task.subject)]
        while chunks := [chunk for cell in cells for chunk in self._next_chunks(cell)]:
            n_trials += self._run([], chunks)
        return n_trials

    def _run(self, golden_tasks: Sequence[GoldenRunTask], chunks: Sequence[TrialChunk]) -> int:
        """Run tasks and the trials that follow from them; return the number of trials.

        A cell goes on as soon as its own trials are done, while workers keep its network.
        """
        supervisor = self._supervisor()
        n_open = trials_by_cell(chunks)
        with ExitStack() as shown:
            bars = _Bars(self._reporter, self._tracker.now, shown, n_golden_runs=len(golden_tasks))
            bars.extend(self._pending.n_new())
            for end in supervisor.run([*golden_tasks, *chunks]):
                more = self._follow_ups(end, n_open)
                n_open.update(trials_by_cell(more))
                bars.extend(self._pending.n_new())
                bars.advance(end.task)
                supervisor.add(more)
        if self._options.stop.requested:
            raise self._options.stop.error
        return bars.n_trials

    def _supervisor(self) -> Supervisor[Task, GoldenRunResult | list[Trial]]:
        options: SupervisorOptions[Task] = SupervisorOptions(
            split=split_task,
            title_of=task_title,
            group_of=lambda task: task.subject.key,
            last_groups=self._last_subjects,
            stop=self._options.stop,
            stall_limit_s=self._options.stall_limit_s,
            on_message=lambda message: self._reporter.say(message, "warning"),
            on_wait=self._on_wait,
        )
        return Supervisor(self._engine, run_task, options)

    def _follow_ups(self, end: _TaskEnd, n_open: Counter[str]) -> list[TrialChunk]:
        """Record the end of a task; return the chunks that follow from it. n_open counts trials under way, by cell."""
        match end:
            case SetAside(task=TrialChunk() as chunk):
                self._quarantine(chunk, end.n_deaths, end.reason)
            case SetAside():
                raise WorkersError(f"{task_title(end.task)}: no worker does it: {end.reason}")
            case Result(value=GoldenRunResult() as result):
                self._add_golden(end.task.subject, result)
            case Result(value=list() as trials):
                self._record(trials)
        if isinstance(end.task, TrialChunk):
            n_open.subtract(done := trials_by_cell([end.task]))
            cells = [self._cells[key] for key in done if n_open[key] < self._n_at_once / 2]
        else:
            cells = self._campaign.cells_of(end.task.subject)
        return [chunk for cell in cells for chunk in self._next_chunks(cell)]

    def _next_chunks(self, cell: Cell) -> Iterator[TrialChunk]:
        return self._pending.next_chunks(self._ready[cell.subject.key], cell, self._n_at_once)

    def _add_golden(self, subject: Subject, result: GoldenRunResult) -> None:
        recorded, now = self._goldens.get(subject.key), result.golden
        if recorded is None:
            self._journal.append(now.to_record())
            self._goldens[subject.key] = now
        elif now != recorded:
            raise FaultbenchError(
                f"subject {subject.key} ({subject.scheme.label}): recorded with another golden run: "
                f"{recorded.n_correct:,} of {recorded.n_images:,} correct then, {now.n_correct:,} now, and classes "
                f"{recorded.top1_digest} then, {now.top1_digest} now; use another -o, or --fresh"
            )
        self._ready[subject.key] = self._prepare(subject, result)

    def _record(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._journal.append(trial.to_record())
            self._pending.add_done(trial)
        self._tracker.add_trials(trials)

    def _quarantine(self, chunk: TrialChunk, n_deaths: int, reason: str) -> None:
        for job in chunk.jobs:
            self._journal.append(Quarantine(job.cell, job.trial, n_deaths, reason[:LONGEST_REASON]).to_record())
            self._pending.give_up(job)
        self._tracker.add_quarantined(len(chunk.jobs))
        self._reporter.say(f"quarantined after {n_deaths} deaths: {task_title(chunk)}: {reason}", "quarantine")


class _Bars:
    """Progress bars of a run: one of golden runs until all are done, one of trials as soon as there are any."""

    def __init__(self, reporter: Reporter, facts: Ask, shown: ExitStack, *, n_golden_runs: int) -> None:
        self._reporter, self._facts, self._shown = reporter, facts, shown
        self._n_golden_runs, self.n_trials = n_golden_runs, 0
        self._golden_runs_shown = shown.enter_context(ExitStack())
        if n_golden_runs:
            bar = reporter.task("golden runs", n_golden_runs, unit="networks")
            self._golden_runs = self._golden_runs_shown.enter_context(bar)

    def extend(self, n_trials: int) -> None:
        """Add trials that will run to the bar of trials, which appears with the first."""
        if self.n_trials:
            self._trials.extend(n_trials)
        elif n_trials:
            bar = self._reporter.task("run trials", n_trials, unit="trials", facts=self._facts)
            self._trials: GrowingTask = self._shown.enter_context(bar)
        self.n_trials += n_trials

    def advance(self, task: Task) -> None:
        """Count a task that is done."""
        if isinstance(task, TrialChunk):
            self._trials.advance(len(task.jobs))
            return
        self._golden_runs.advance()
        self._n_golden_runs -= 1
        if not self._n_golden_runs:
            self._golden_runs_shown.close()
