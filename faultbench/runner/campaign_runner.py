"""Runner of a campaign: it finds what is missing, runs it in chunks of trials, and records it in the journal.

To run a campaign again is to resume it.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from faultbench.campaign import Campaign, Subject
from faultbench.datasets.decoded_cache import data_folder
from faultbench.datasets.download_progress import report_downloads
from faultbench.results.archive import archive
from faultbench.results.flip_counts import FOLDER
from faultbench.results.folder import MemoryEntry
from faultbench.results.journal.contents import Asked, JournalContents, read_journal
from faultbench.results.journal.journal import Journal, writer_name
from faultbench.results.manifest_file import check_same_campaign, recorded_device
from faultbench.runner.engines.engine import Engine, n_alive
from faultbench.runner.flip_counting import CountingWork, count_missing_flips
from faultbench.runner.folder_presence import CheckingReporter, FolderPresence
from faultbench.runner.pending_trials import PendingTrials
from faultbench.runner.run_options import RunOptions, RunSetup
from faultbench.runner.run_record import RunRecord
from faultbench.runner.strata_setup import StrataSetup
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder, dataset_splits, require_repeatable_data
from faultbench.runner.subjects.components import build_components, check_components
from faultbench.runner.subjects.declared_accuracy import check_accuracies
from faultbench.runner.subjects.fitting_order import fitting_stages
from faultbench.runner.subjects.overhead import measure_overhead
from faultbench.runner.subjects.plugin_building import build
from faultbench.runner.subjects.subject_keys import images_key, weights_name
from faultbench.runner.tasks.chunks import ReadySubject
from faultbench.runner.tasks.tasks import GoldenRunResult, GoldenRunTask
from faultbench.runner.trial_progress import ProgressTracker
from faultbench.runner.trial_runner import TrialRunner
from faultbench.system.devices import LAYOUTS, card_name, free_cache, resolve_device
from faultbench.system.files.locks import ARTIFACTS, in_turn, locked
from faultbench.system.files.temporary_files import remove_leftovers
from faultbench.system.memory_budget import memory_for
from faultbench.system.progress.reporter import Reporter
from faultbench.system.threads import most_threads


def run_campaign(
    campaign: Campaign,
    root: Path,
    *,
    engine: Engine,
    reporter: Reporter,
    options: RunOptions | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> Path:
    """Run what is missing of a campaign in root/<campaign>, and nothing else; return that folder.

    fresh archives an existing folder first. FaultbenchError before anything is written if the campaign cannot run or
    the folder belongs to another campaign; Interrupted or OutOfTime if the run was asked to stop. No process is left.
    """
    memory = [components.memory for components in check_components(campaign).values()]
    if fresh:
        if options is not None:
            resolve_device(options.device)  # before anything is moved
        archive(root / campaign.name)
    setup = RunSetup(root, engine, reporter, RunOptions() if options is None else options, fresh, command)
    with closing(engine), open_runner(campaign, setup, memory) as runner:
        runner.prepare()
        runner.run_trials()
        runner.measure_overheads()
        runner.attribute_failures()
    return root / campaign.name


def measure_campaign(
    campaign: Campaign, root: Path, *, engine: Engine, reporter: Reporter, command: Sequence[str] = ()
) -> Path:
    """Train and fit what is missing of a campaign in root/<campaign> and measure its overheads, but run no trial."""
    memory = [components.memory for components in check_components(campaign).values()]
    setup = RunSetup(root, engine, reporter, RunOptions(device="auto"), command=command)
    with open_runner(campaign, setup, memory) as runner:
        runner.measure_overheads()
    return root / campaign.name


@contextmanager
def open_runner(campaign: Campaign, setup: RunSetup, memory: Sequence[MemoryEntry] = ()) -> Iterator["Runner"]:
    """Lock the campaign's results folder, write its manifest, and yield a runner over it.

    memory is what the manifest says of each subject's memory. FaultbenchError if the folder is another campaign's.
    """
    folder = setup.root / campaign.name
    check_same_campaign(folder, campaign)
    device = resolve_device(setup.options.device, recorded_device(folder))
    setup = replace(setup, options=replace(setup.options, device=device))
    suffix = setup.options.shard.suffix
    with locked(folder, suffix) as is_locked:
        if not is_locked:
            setup.reporter.say(
                f"{folder}: the disk knows no locks; see to it that no other run does the same work", "warning"
            )
        writer = writer_name() + suffix + ("" if is_locked else f".{os.getpid()}")
        with Journal(folder / "journal", writer) as journal:
            remove_leftovers(folder)
            presence = FolderPresence(folder, suffix, journal)
            runner = Runner(campaign, setup, journal, presence)
            runner.begin(memory)
            yield runner
            presence.check_now()


class Runner:
    """One run over a locked results folder; every method does what is missing and nothing else."""

    def __init__(self, campaign: Campaign, setup: RunSetup, journal: Journal, presence: FolderPresence) -> None:
        self._campaign, self._journal, self._presence = campaign, journal, presence
        self._folder = folder = setup.root / campaign.name
        self._reporter = CheckingReporter(setup.reporter, presence.check)
        self._setup = replace(setup, reporter=self._reporter)
        self._engine, self._options = setup.engine, setup.options
        self._artifacts = ArtifactStore(folder / "artifacts")
        self._device, memory_bytes = resolve_device(setup.options.device), setup.options.memory_bytes
        self._memory_bytes = memory_for(setup.engine.n_workers, self._device) if memory_bytes is None else memory_bytes
        self._builder = SubjectBuilder(
            self._artifacts, self._reporter,
            memory_bytes=self._memory_bytes, device=self._device, n_threads=setup.options.n_threads,
        )  # fmt: skip
        self._record = RunRecord(folder, campaign, self._builder, self._artifacts, self._execution())
        self._restore(read_journal(folder / "journal", Asked.by(campaign)))

    def _restore(self, known: JournalContents) -> None:
        """Take over what earlier runs recorded."""
        campaign, options = self._campaign, self._options
        self._goldens, self._overheads = dict(known.goldens), known.overheads
        self._pending = PendingTrials(campaign.rule, options, known.trials, known.quarantined)
        self._strata_setup = StrataSetup(
            self._folder, self._journal, known, self._reporter,
            is_shared=options.shard.count > 1, asked=Asked.by(campaign),
            n_trials=campaign.rule.n_aimed_at,
        )  # fmt: skip
        rule, warnings = self._record.remember_looks() if len(known.trials) else (campaign.rule, [])
        for warning in warnings:
            self._reporter.say(warning, "warning")
        self._tracker = ProgressTracker(
            campaign, known.trials.values(), self._goldens, lambda: n_alive(self._engine), self._strata_setup.strata,
            rule=rule,
        )  # fmt: skip
        if known.n_damaged:
            damaged = f"{known.n_damaged} damaged journal lines left out; their trials run again"
            self._reporter.say(f"{self._folder}: {damaged}", "warning")
        if known.n_unfit:
            unfit = f"{known.n_unfit} trials left out, which their golden run does not allow; they run again"
            self._reporter.say(f"{self._folder}: {unfit}", "warning")

    def begin(self, memory: Sequence[MemoryEntry]) -> None:
        """Show and record what is asked for, and what of each subject's memory no fault hits."""
        for sentence in self._record.remember_memory(memory):
            self._reporter.say(sentence)
        self._record.write(self._setup.command)

    def _execution(self) -> dict[str, Any]:
        """Return how the trials run, as the manifest records it."""
        return {
            "workers": self._engine.n_workers,
            "threads_per_worker": 1,
            "device": self._device,
            **({"card": card_name()} if self._device == "cuda" else {}),
            "memory_per_worker_bytes": self._memory_bytes,
            "memory_layout": LAYOUTS[self._device],
        }

    def prepare(self) -> None:
        """Load all data and check declared accuracies, before anything is trained or fitted."""
        with self._turn():
            self._artifacts.remove_finished_parts()
            # All data first, so that missing data shows before hours of training.
            for subject in _first_of_each(images_key, self._campaign.subjects):
                build(subject.dataset)  # imports what downloads it
                with report_downloads(self._reporter, subject.dataset.label):
                    dataset_splits(subject.dataset)
                require_repeatable_data(subject.dataset)
            for subject in _first_of_each(weights_name, self._campaign.subjects):
                self._builder.try_training(subject)
            n_threads = most_threads(self._options.n_threads)
            accuracies = check_accuracies(self._campaign.subjects, self._artifacts, self._reporter, n_threads=n_threads)
            self._record.remember_accuracies(accuracies)

    def run_trials(self) -> None:
        """Train and fit what is missing, and run the missing trials, in the order of `fitting_stages`.

        The golden run of each subject that lacks trials is done and recorded first. The manifest describes a network
        before trials of it run.
        """
        trials = TrialRunner(
            self._campaign, self._setup, self._journal,
            goldens=self._goldens, pending=self._pending, tracker=self._tracker, prepare=self._prepare,
            on_wait=self._presence.check,
        )  # fmt: skip
        n_trials = 0
        for number, subjects in enumerate(fitting_stages(self._campaign.subjects, self._artifacts)):
            if number and self._device == "cuda":
                self._engine.close()  # a fit needs the card's memory; workers start again with their next task
            self._make_ready(subjects)
            self._record.write(self._setup.command)
            free_cache(self._device)  # workers need room for their golden runs
            n_trials += trials.run([self._golden_task(subject) for subject in subjects if self._is_open(subject)])
        if not n_trials:
            self._reporter.say("no trial is missing")

    def _make_ready(self, subjects: Sequence[Subject]) -> None:
        """Train and fit these subjects, show warnings about them, and record what they are made of."""
        with self._turn():
            for subject in subjects:
                self._builder.network(subject)
                self._builder.fit(subject)
                for warning in self._record.examine(subject):
                    self._reporter.say(warning, "warning")

    def measure_overheads(self) -> None:
        """Measure memory, latency and fitting cost of every subject without a recorded overhead."""
        owns = self._options.shard.owns
        missing = [s for s in self._campaign.subjects if s.key not in self._overheads and owns(s.key)]
        if missing:
            with self._reporter.task("measure overheads", len(missing)) as task:
                for subject in missing:
                    self._journal.append(measure_overhead(subject, self._builder).to_record())
                    task.advance()

    def attribute_failures(self) -> None:
        """Count the flips that failed trials held, of the trials that are not counted yet."""
        works = [
            CountingWork(
                subject,
                golden := self._goldens[subject.key],
                [(cell, self._pending.own(cell.key, golden)) for cell in self._campaign.cells_of(subject)],
            )
            for subject in self._campaign.subjects
            if subject.sampling == "plain"  # trials in strata are no fair sample of flips
        ]
        count_missing_flips(
            works, self._builder, self._folder / FOLDER, suffix=self._options.shard.suffix, reporter=self._reporter,
        )  # fmt: skip

    def _turn(self) -> AbstractContextManager[None]:
        """Return a lock for work that only one of the shards that share the folder does; the others find its result."""
        return in_turn(self._folder / ARTIFACTS) if self._options.shard.count > 1 else nullcontext()

    def _is_open(self, subject: Subject) -> bool:
        """Return whether a subject lacks its golden run, strata or trials."""
        golden, strata = self._goldens.get(subject.key), self._strata_setup.strata
        cells = self._campaign.cells_of(subject)
        if golden is None or (subject.sampling != "plain" and any(cell.key not in strata for cell in cells)):
            return True
        return any(self._pending.lacks(cell, golden, strata.get(cell.key)) for cell in cells)

    def _golden_task(self, subject: Subject) -> GoldenRunTask:
        return GoldenRunTask(
            subject=subject,
            artifacts=self._artifacts.folder.absolute(),
            memory_bytes=self._memory_bytes,
            bers=tuple(cell.ber for cell in self._campaign.cells_of(subject)),
            device=self._device,
            made_of=self._record.made_of(subject),
            host=socket.gethostname(),
            data=data_folder() if os.environ.get("FAULTBENCH_DATA") else None,
        )

    def _prepare(self, subject: Subject, result: GoldenRunResult) -> ReadySubject:
        cells = self._campaign.cells_of(subject)
        evaluation = partial(self._builder.evaluation, subject, [cell.ber for cell in cells])
        with nullcontext() if subject.sampling == "plain" else self._turn():
            hazards, strata = self._strata_setup.prepare(subject, evaluation, cells)
        free_cache(self._device)  # what a pilot used
        return ReadySubject(
            self._golden_task(subject),
            result.golden,
            result.trial_s,
            overhead_images=build_components(subject).overhead_images,
            hazards=hazards,
            strata=strata,
            paranoid=self._options.paranoid,
        )


def _first_of_each(key: Callable[[Subject], str], subjects: Iterable[Subject]) -> list[Subject]:
    """Return the first subject with each key, in their order."""
    firsts: dict[str, Subject] = {}
    for subject in subjects:
        firsts.setdefault(key(subject), subject)
    return list(firsts.values())
