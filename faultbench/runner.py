"""What is missing of a campaign → jobs → journal; running again is resuming."""

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from faultbench.allocation import missing
from faultbench.artifacts import ArtifactStore
from faultbench.campaign import Campaign, Cell, Subject
from faultbench.disk import disk_errors
from faultbench.engines.engine import Engine
from faultbench.errors import FaultbenchError
from faultbench.journal import Journal, JournalContents, read_journal
from faultbench.manifest import check_same_campaign, write_manifest
from faultbench.memory import memory_for
from faultbench.models.weights import load_weights
from faultbench.overhead import measured_overhead
from faultbench.progress import Reporter
from faultbench.records import Golden
from faultbench.subjects import Bench, Parts, images_digest, parts, splits, tensors_digest
from faultbench.worker import Chunk, Job, golden_record, run_chunk

CHUNK_S = 1.0
"""Aimed time of a chunk: long against its dispatch, short against what a worker's death costs."""

MAX_CHUNK = 64


@dataclass(frozen=True)
class Prepared:
    """A subject whose golden run is done; trial_s is what a trial at each rate is expected to take."""

    subject: Subject
    golden: Golden
    trial_s: Mapping[float, float]


def check(campaign: Campaign) -> dict[str, Parts]:
    """Find all that can be wrong with a campaign before an image is loaded; subject key → its parts.

    Every network is built and traced, every given weights file read.
    """
    found = {subject.key: parts(subject) for subject in campaign.subjects}
    for built in found.values():
        _ = built.untrained
        if built.subject.weights is not None:
            load_weights(built.model(), built.subject.weights)
    return found


def run(
    campaign: Campaign,
    root: Path,
    *,
    engine: Engine,
    reporter: Reporter,
    memory_bytes: int | None = None,
    limit: int | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> Path:
    """Do what is missing of a campaign in root/<campaign>, and nothing else; gives that folder.

    Each worker keeps at most memory_bytes of golden runs, None for its share of the machine's memory. limit ends
    every cell at so many trials. fresh puts an existing folder aside first. FaultbenchError before
    anything is written when the campaign cannot run or the folder belongs to another one.
    """
    check(campaign)
    folder = root / campaign.name
    if fresh:
        put_aside(folder)
    memory_bytes = memory_for(engine.n_workers) if memory_bytes is None else memory_bytes
    with opened(campaign, folder, engine, reporter, command, memory_bytes=memory_bytes) as runner:
        prepared = runner.prepare()
        runner.write_manifest(command, data=runner.data())
        runner.run_trials(prepared, campaign.trials if limit is None else min(limit, campaign.trials))
        runner.measure_overheads()
    return folder


def measure(campaign: Campaign, root: Path, *, engine: Engine, reporter: Reporter, command: Sequence[str] = ()) -> Path:
    """Train and fit what is missing of a campaign in root/<campaign> and measure its overheads, but run no trial."""
    check(campaign)
    folder = root / campaign.name
    with opened(campaign, folder, engine, reporter, command, memory_bytes=memory_for(1)) as runner:
        runner.measure_overheads()
    return folder


@contextmanager
def opened(
    campaign: Campaign, folder: Path, engine: Engine, reporter: Reporter, command: Sequence[str], *, memory_bytes: int
) -> Iterator["Runner"]:
    """A runner over the folder, locked and with its manifest written; FaultbenchError if it is another campaign's."""
    check_same_campaign(folder, campaign)
    with locked(folder), Journal(folder / "journal", _writer_name()) as journal:
        runner = Runner(campaign, folder, journal, engine, reporter, memory_bytes=memory_bytes)
        runner.write_manifest(command, data={})
        yield runner


class Runner:
    """One run over a locked results folder; every method does what is missing and nothing else."""

    def __init__(
        self,
        campaign: Campaign,
        folder: Path,
        journal: Journal,
        engine: Engine,
        reporter: Reporter,
        *,
        memory_bytes: int,
    ) -> None:
        self._campaign, self._folder, self._journal = campaign, folder, journal
        self._engine, self._reporter = engine, reporter
        self._artifacts = ArtifactStore(folder / "artifacts")
        self._memory_bytes = memory_bytes
        self._bench = Bench(self._artifacts, reporter, memory_bytes=memory_bytes)
        self._known: JournalContents = read_journal(folder / "journal")
        self._trials = dict(self._known.trials)
        if self._known.n_damaged:
            reporter.say(f"{folder}: {self._known.n_damaged} damaged journal lines left out; their trials run again")

    def write_manifest(self, command: Sequence[str], data: dict[str, dict[str, Any]]) -> None:
        """Write down what is asked for, and on what it runs."""
        execution = {"workers": self._engine.n_workers, "threads_per_worker": 1, "device": "cpu"}
        execution["memory_per_worker_bytes"] = self._memory_bytes
        execution["memory_layout"] = "channels_last"
        write_manifest(self._folder, self._campaign, command=command, execution=execution, data=data)

    def prepare(self) -> list[Prepared]:
        """Train, fit and golden-run every subject, recording the golden runs."""
        return [self._prepared(subject) for subject in self._campaign.subjects]

    def data(self) -> dict[str, dict[str, Any]]:
        """SHA-256 of each data set's test images and each network's stored weights, and the images that it takes."""
        found: dict[str, dict[str, Any]] = {"test images": {}, "stored weights": {}, "images a forward pass": {}}
        for subject in self._campaign.subjects:
            network = f"{subject.dataset.label}/{subject.model.label}/{subject.format.label}"
            if network not in found["stored weights"]:
                stored = self._bench.network(subject)
                found["stored weights"][network] = tensors_digest(dict(stored.graph.named_parameters()))
                found["images a forward pass"][network] = parts(subject).batch(stored)
                found["test images"][subject.dataset.label] = images_digest(splits(subject.dataset).test)
        return found

    def run_trials(self, prepared: Sequence[Prepared], n_trials: int) -> None:
        """Run the missing ones of each cell's first n_trials trials, as far as the campaign wants them."""
        if not self._run_missing(prepared, n_trials):
            self._reporter.say("no trial is missing")
            return
        # What a round found may want more; a fixed number of trials is done with the first.
        while self._campaign.rule.until and self._run_missing(prepared, n_trials):
            pass

    def _run_missing(self, prepared: Sequence[Prepared], n_trials: int) -> int:
        """Run and record what is missing by now; gives how many trials that brought, which ends a futile round."""
        chunks = [chunk for one in prepared for chunk in self._chunks(one, n_trials)]
        n_missing, n_known = sum(len(chunk.jobs) for chunk in chunks), len(self._trials)
        if not chunks:
            return 0
        with self._reporter.task("run trials", n_missing, unit="trials") as task:
            for trials in self._engine.map(run_chunk, chunks):
                for trial in trials:
                    self._journal.append(trial.to_record())
                    self._trials[trial.cell, trial.trial] = trial
                task.advance(len(trials))
        return len(self._trials) - n_known

    def measure_overheads(self) -> None:
        """Measure memory, latency and fitting cost of every subject that has none recorded."""
        missing = [s for s in self._campaign.subjects if s.key not in self._known.overheads]
        if missing:
            with self._reporter.task("measure overheads", len(missing)) as task:
                for subject in missing:
                    self._journal.append(measured_overhead(subject, self._bench).to_record())
                    task.advance()

    def _prepared(self, subject: Subject) -> Prepared:
        bers = tuple(cell.ber for cell in self._campaign.cells if cell.subject == subject)
        evaluation = self._bench.evaluation(subject, bers)
        golden = golden_record(subject, evaluation)
        known = self._known.goldens.get(subject.key)
        if known is None:
            self._journal.append(golden.to_record())
        elif known != golden:
            raise FaultbenchError(
                f"subject {subject.key} ({subject.scheme.label}): recorded with another golden run: "
                f"{known.n_correct:,} of {known.n_images:,} correct then, {golden.n_correct:,} now, and classes "
                f"{known.top1_digest} then, {golden.top1_digest} now; use another -o, or --fresh"
            )
        draw = parts(subject).sample
        trial_s = {ber: evaluation.expected_s(draw(evaluation.space, ber)) for ber in bers}
        return Prepared(subject, golden, trial_s)

    def _chunks(self, prepared: Prepared, n_trials: int) -> Iterator[Chunk]:
        for cell in self._campaign.cells:
            if cell.subject == prepared.subject:
                jobs = list(self._missing(cell, n_trials))
                size = max(1, min(MAX_CHUNK, round(CHUNK_S / max(prepared.trial_s[cell.ber], 1e-6))))
                yield from (self._chunk(prepared, jobs[start : start + size]) for start in range(0, len(jobs), size))

    def _chunk(self, prepared: Prepared, jobs: Sequence[Job]) -> Chunk:
        return Chunk(
            subject=prepared.subject,
            golden=prepared.golden,
            artifacts=self._artifacts.folder,
            memory_bytes=self._memory_bytes,
            bers=tuple(prepared.trial_s),
            jobs=tuple(jobs),
        )

    def _missing(self, cell: Cell, n_trials: int) -> Iterator[Job]:
        for trial in missing(self._campaign.rule, cell.key, self._trials, limit=n_trials):
            yield Job(cell.key, cell.ber, trial)


def locked(folder: Path) -> FileLock:
    """The folder's lock, to be entered; FaultbenchError at once while another run holds it."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FaultbenchError(
            f"{folder}: another faultbench run is writing here; wait for it or use another -o"
        ) from error
    return lock


def put_aside(folder: Path) -> None:
    """Rename an existing results folder to the first free <name>~1, <name>~2, … beside it."""
    if folder.exists():
        with locked(folder):
            number = 1
            while (aside := folder.with_name(f"{folder.name}~{number}")).exists():
                number += 1
            with disk_errors(folder):
                folder.rename(aside)


def _writer_name() -> str:
    # Each machine has a file of its own, so that folders of several machines merge by copying.
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-") or "run"
