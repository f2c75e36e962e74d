"""What is missing of a campaign → chunks of trials → journal; running again is resuming."""

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from faultbench.allocation import missing
from faultbench.artifacts import ArtifactStore
from faultbench.aside import put_aside
from faultbench.attributing import Work, attribute
from faultbench.campaign import Campaign, Cell, Subject
from faultbench.chunks import Prepared, chunks, jobs, named, split, trials_by_cell
from faultbench.datasets.downloads import told
from faultbench.declared import check_accuracy
from faultbench.devices import LAYOUTS, card, chosen, release
from faultbench.digests import images_digest, tensors_digest
from faultbench.engines.engine import Engine, n_alive
from faultbench.errors import FaultbenchError
from faultbench.flip_counts import FOLDER
from faultbench.journal import Journal, read_journal, writer_name
from faultbench.locks import in_turn, locked
from faultbench.manifest import check_same_campaign, recorded_device, write_manifest
from faultbench.memory import memory_for
from faultbench.overhead import measured_overhead
from faultbench.parts import check, parts
from faultbench.pilot import PILOT_IMAGES, images_a_trial
from faultbench.progress import Reporter, Task
from faultbench.records import Quarantine, Trial
from faultbench.stratifying import Stratifying
from faultbench.subjects import Bench, splits
from faultbench.supervisor import SetAside, Supervisor
from faultbench.terms import Terms
from faultbench.watching import Watch
from faultbench.worker import Chunk, golden_record, run_chunk

LONGEST_REASON = 200
"""Characters of an error that a quarantined trial is recorded with."""


def run(
    campaign: Campaign,
    root: Path,
    *,
    engine: Engine,
    reporter: Reporter,
    terms: Terms | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> Path:
    """Do what is missing of a campaign in root/<campaign>, and nothing else; gives that folder.

    fresh puts an existing folder aside first. FaultbenchError before anything is written when the campaign cannot
    run or the folder belongs to another one; Interrupted or OutOfTime when it was asked to stop. No process is left.
    """
    check(campaign)
    folder = root / campaign.name
    if fresh:
        if terms is not None:
            chosen(terms.device)  # before anything is moved
        put_aside(folder)
    with closing(engine), opened(campaign, folder, engine, reporter, command, terms) as runner:
        prepared = runner.prepare()
        runner.write_manifest(command, data=runner.data())
        runner.run_trials(prepared)
        runner.measure_overheads()
        runner.attribute_failures(prepared)
    return folder


def measure(campaign: Campaign, root: Path, *, engine: Engine, reporter: Reporter, command: Sequence[str] = ()) -> Path:
    """Train and fit what is missing of a campaign in root/<campaign> and measure its overheads, but run no trial."""
    check(campaign)
    folder = root / campaign.name
    with opened(campaign, folder, engine, reporter, command, Terms(device="auto")) as runner:
        runner.measure_overheads()
    return folder


@contextmanager
def opened(
    campaign: Campaign,
    folder: Path,
    engine: Engine,
    reporter: Reporter,
    command: Sequence[str],
    terms: Terms | None = None,
) -> Iterator["Runner"]:
    """A runner over the folder, locked and with its manifest written; FaultbenchError if it is another campaign's."""
    terms = Terms() if terms is None else terms
    check_same_campaign(folder, campaign)
    terms = replace(terms, device=chosen(terms.device, recorded_device(folder)))
    with locked(folder, terms.shard.suffix) as is_locked:
        if not is_locked:
            reporter.say(
                f"{folder}: the disk knows no locks; see to it that no other run does the same work", "warning"
            )
        writer = writer_name() + terms.shard.suffix + ("" if is_locked else f".{os.getpid()}")
        with Journal(folder / "journal", writer) as journal:
            runner = Runner(campaign, folder, journal, engine, reporter, terms)
            runner.write_manifest(command, data={})
            yield runner


class Runner:
    """One run over a locked results folder; every method does what is missing and nothing else."""

    def __init__(
        self, campaign: Campaign, folder: Path, journal: Journal, engine: Engine, reporter: Reporter, terms: Terms
    ) -> None:
        self._campaign, self._folder, self._journal = campaign, folder, journal
        self._engine, self._reporter, self._terms = engine, reporter, terms
        self._artifacts = ArtifactStore(folder / "artifacts")
        self._device, given = chosen(terms.device), terms.memory_bytes
        self._memory_bytes = memory_for(engine.n_workers, self._device) if given is None else given
        self._bench = Bench(self._artifacts, reporter, memory_bytes=self._memory_bytes, device=self._device)
        known = read_journal(folder / "journal")
        self._goldens, self._overheads = dict(known.goldens), known.overheads
        self._trials = dict(known.trials)
        self._stratifying = Stratifying(folder, journal, known, reporter, is_shared=terms.shard.count > 1)
        self._ready: dict[int, Hashable] = {}  # worker → the subject whose golden run it did last
        self._given_up = set() if terms.retry_quarantined else set(known.quarantined)
        self._watch = Watch(
            campaign, known.trials.values(), self._goldens, lambda: n_alive(engine), self._stratifying.strata
        )
        if known.n_damaged:
            left_out = f"{folder}: {known.n_damaged} damaged journal lines left out; their trials run again"
            reporter.say(left_out, "warning")

    def write_manifest(self, command: Sequence[str], data: dict[str, dict[str, Any]]) -> None:
        """Write down what is asked for, and on what it runs."""
        execution: dict[str, Any] = {"workers": self._engine.n_workers, "threads_per_worker": 1, "device": self._device}
        if self._device == "cuda":
            execution["card"] = card()
        execution["memory_per_worker_bytes"] = self._memory_bytes
        execution["memory_layout"] = LAYOUTS[self._device]
        write_manifest(self._folder, self._campaign, command=command, execution=execution, data=data)

    def prepare(self) -> list[Prepared]:
        """Train, fit and golden-run every subject, recording the golden runs."""
        # Shards of a campaign share a folder; one trains, and the others find what it made.
        turn = in_turn(self._folder / ".lock.artifacts") if self._terms.shard.count > 1 else nullcontext()
        with turn:
            for subject in self._campaign.subjects:
                with told(self._reporter, subject.dataset.label):
                    splits(subject.dataset)  # before the view of the golden runs opens
            with self._reporter.task("golden runs", len(self._campaign.subjects), unit="networks") as task:
                return [self._prepared(subject, task) for subject in self._campaign.subjects]

    def data(self) -> dict[str, dict[str, Any]]:
        """SHA-256 of each data set's test images and each network's stored weights, and the images that it takes."""
        found: dict[str, dict[str, Any]] = {"test images": {}, "stored weights": {}, "images a forward pass": {}}
        for subject in self._campaign.subjects:
            network = f"{subject.dataset.label}/{subject.model.label}/{subject.format.label}"
            if network not in found["stored weights"]:
                stored = self._bench.network(subject)
                found["stored weights"][network] = tensors_digest(dict(stored.graph.named_parameters()))
                found["images a forward pass"][network] = parts(subject).batch(stored, self._device)
                found["test images"][subject.dataset.label] = images_digest(splits(subject.dataset).test)
        return found

    def run_trials(self, prepared: Sequence[Prepared]) -> None:
        """Run what is wanted of each subject's trials until nothing more is."""
        release(self._device)  # the workers want room for their golden runs
        cells = {cell.key: (one, cell) for one in prepared for cell in self._campaign.cells_of(one.subject)}
        n_rounds = 0
        while wanted := [chunk for one in cells.values() for chunk in self._wanted(*one)]:
            self._run(wanted, cells)
            n_rounds += 1
        if not n_rounds:
            self._reporter.say("no trial is missing")

    def _run(self, wanted: Sequence[Chunk], cells: Mapping[str, tuple[Prepared, Cell]]) -> None:
        """Run these chunks and what they make wanted, and record what comes of them.

        A cell goes on as soon as its own trials are done, while workers have its network at hand.
        """
        supervisor = Supervisor(
            self._engine,
            run_chunk,
            split=split,
            named=named,
            stop=self._terms.stop,
            stall_limit_s=self._terms.stall_limit_s,
            told=lambda message: self._reporter.say(message, "warning"),
            kin=lambda chunk: chunk.subject.key,
            ready=self._ready,
        )
        n_open = trials_by_cell(wanted)
        with self._reporter.task("run trials", n_open.total(), unit="trials", facts=self._watch.now) as task:
            for end in supervisor.run(wanted):
                if isinstance(end, SetAside):
                    self._quarantine(end, task)
                else:
                    self._record(end.value, task)
                n_open.subtract(done := trials_by_cell([end.task]))
                more = [chunk for cell in done if not n_open[cell] for chunk in self._wanted(*cells[cell])]
                n_open.update(n_more := trials_by_cell(more))
                task.extend(n_more.total())
                supervisor.add(more)
        if self._terms.stop.requested:
            raise self._terms.stop.error

    def _record(self, trials: Sequence[Trial], task: Task) -> None:
        for trial in trials:
            self._journal.append(trial.to_record())
            self._trials[trial.cell, trial.trial] = trial
        self._watch.recorded(trials)
        task.advance(len(trials))

    def _quarantine(self, end: SetAside[Chunk], task: Task) -> None:
        for job in end.task.jobs:
            reason = end.reason[:LONGEST_REASON]
            self._journal.append(Quarantine(job.cell, job.trial, end.n_deaths, reason).to_record())
            self._given_up.add((job.cell, job.trial))
        self._watch.quarantined(len(end.task.jobs))
        given_up = f"quarantined after {end.n_deaths} deaths: {named(end.task)}: {end.reason}"
        self._reporter.say(given_up, "quarantine")
        task.advance(len(end.task.jobs))

    def _wanted(self, prepared: Prepared, cell: Cell) -> Iterator[Chunk]:
        """The trials of a subject's cell to run next, in chunks."""
        wanted = self._wanted_trials(cell)
        yield from chunks(prepared, jobs(cell, wanted, self._n_images(prepared, cell, wanted)))

    def _wanted_trials(self, cell: Cell) -> list[int]:
        """Numbers of the trials of a cell to run next, given those that are done."""
        owns, golden = self._terms.shard.owns, self._goldens[cell.subject.key]
        strata = self._stratifying.strata.get(cell.key)
        return [
            trial
            for trial in missing(self._campaign.rule, cell.key, self._trials, golden, strata, limit=self._terms.limit)
            if (cell.key, trial) not in self._given_up and owns(cell.key, trial)
        ]

    def _n_images(self, prepared: Prepared, cell: Cell, wanted: Sequence[int]) -> int | None:
        """Images that each of the wanted trials of a cell looks at."""
        per_trial = cell.subject.per_trial
        if per_trial != "auto" or not wanted:
            return per_trial if isinstance(per_trial, int) else None
        n_pilot = self._campaign.rule.n_pilot
        if wanted[0] < n_pilot:
            return PILOT_IMAGES
        pilot = [self._trials[cell.key, number] for number in range(n_pilot)]
        return images_a_trial(pilot, prepared.golden, trial_in_images=prepared.trial_in_images)

    def measure_overheads(self) -> None:
        """Measure memory, latency and fitting cost of every subject that has none recorded."""
        owns = self._terms.shard.owns
        missing = [s for s in self._campaign.subjects if s.key not in self._overheads and owns(s.key)]
        if missing:
            with self._reporter.task("measure overheads", len(missing)) as task:
                for subject in missing:
                    self._journal.append(measured_overhead(subject, self._bench).to_record())
                    task.advance()

    def attribute_failures(self, prepared: Sequence[Prepared]) -> None:
        """Count which flips the trials held that failed, of those trials that are not counted yet."""
        done: dict[str, list[Trial]] = {}
        for name, trial in sorted(self._trials.items()):
            if self._terms.shard.owns(*name):
                done.setdefault(trial.cell, []).append(trial)
        works = [
            Work(
                one.subject,
                one.golden,
                [(cell, done.get(cell.key, [])) for cell in self._campaign.cells_of(one.subject)],
            )
            for one in prepared
            if one.subject.sampling == "plain"  # trials in strata are no fair sample of flips
        ]
        attribute(
            works, self._bench, self._folder / FOLDER, suffix=self._terms.shard.suffix, reporter=self._reporter,
        )  # fmt: skip

    def _prepared(self, subject: Subject, task: Task) -> Prepared:
        check_accuracy(subject, self._artifacts, self._reporter)
        cells = self._campaign.cells_of(subject)
        bers = tuple(cell.ber for cell in cells)
        evaluation = self._bench.evaluation(subject, bers)
        golden = golden_record(subject, evaluation)
        known = self._goldens.get(subject.key)
        if known is None:
            self._journal.append(golden.to_record())
            self._goldens[subject.key] = golden
        elif known != golden:
            raise FaultbenchError(
                f"subject {subject.key} ({subject.scheme.label}): recorded with another golden run: "
                f"{known.n_correct:,} of {known.n_images:,} correct then, {golden.n_correct:,} now, and classes "
                f"{known.top1_digest} then, {golden.top1_digest} now; use another -o, or --fresh"
            )
        built = parts(subject)
        trial_s = {ber: evaluation.expected_s(built.sample(evaluation.space, ber)) for ber in bers}
        hazards, strata = self._stratifying.prepare(subject, evaluation, cells)
        task.advance()
        folder, memory_bytes, cost = self._artifacts.folder, self._memory_bytes, built.trial_in_images
        device, paranoid = self._device, self._terms.paranoid
        return Prepared(subject, golden, trial_s, folder, memory_bytes, cost, device, hazards, strata, paranoid)
