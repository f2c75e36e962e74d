"""What is missing of a campaign → chunks of trials → journal; running again is resuming."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from faultbench.campaign import Campaign, Subject
from faultbench.datasets.download_progress import told
from faultbench.networks.memory_layout import row_major_layers
from faultbench.results.archive import put_aside
from faultbench.results.flip_counts import FOLDER
from faultbench.results.journal.journal import Journal, read_journal, writer_name
from faultbench.results.manifest_file import check_same_campaign, recorded_device, write_manifest
from faultbench.runner.engines.engine import Engine, n_alive
from faultbench.runner.flip_counting import Work, attribute
from faultbench.runner.pending_trials import Pending
from faultbench.runner.run_options import Terms
from faultbench.runner.strata_setup import Stratifying
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import Bench, splits
from faultbench.runner.subjects.components import check, parts
from faultbench.runner.subjects.declared_accuracy import check_accuracy
from faultbench.runner.subjects.digests import images_digest, tensors_digest
from faultbench.runner.subjects.overhead import measured_overhead
from faultbench.runner.tasks.chunks import Prepared
from faultbench.runner.tasks.worker import Opened, Opening
from faultbench.runner.trial_progress import Watch
from faultbench.runner.trial_runner import TrialRunner
from faultbench.system.devices import LAYOUTS, card, chosen, release
from faultbench.system.files.locks import in_turn, locked
from faultbench.system.memory_budget import memory_for
from faultbench.system.progress.reporter import Reporter


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
        runner.prepare()
        runner.write_manifest(command, data=runner.data())
        runner.run_trials()
        runner.measure_overheads()
        runner.attribute_failures()
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
        self._pending = Pending(campaign.rule, terms, known.trials, known.quarantined)
        self._stratifying = Stratifying(folder, journal, known, reporter, is_shared=terms.shard.count > 1)
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

    def prepare(self) -> None:
        """Train and fit every subject."""
        with self._turn():
            for subject in self._campaign.subjects:  # all data first: what cannot be had shows before hours of training
                with told(self._reporter, subject.dataset.label):
                    splits(subject.dataset)
            for subject in self._campaign.subjects:
                check_accuracy(subject, self._artifacts, self._reporter)
                self._bench.network(subject)
                self._bench.fitted(subject)

    def data(self) -> dict[str, dict[str, Any]]:
        """SHA-256 of each data set's test images and each network's stored weights, and how its passes are run."""
        found: dict[str, dict[str, Any]] = {"test images": {}, "stored weights": {}, "images a forward pass": {}}
        if LAYOUTS[self._device] == "channels_last":
            found["row-major layers"] = {}
        for subject in self._campaign.subjects:
            network = f"{subject.dataset.label}/{subject.model.label}/{subject.format.label}"
            if network not in found["stored weights"]:
                stored = self._bench.network(subject)
                found["stored weights"][network] = tensors_digest(dict(stored.graph.named_parameters()))
                found["images a forward pass"][network] = parts(subject).batch(stored, self._device)
                if "row-major layers" in found:
                    found["row-major layers"][network] = row_major_layers(stored.graph)
                found["test images"][subject.dataset.label] = images_digest(splits(subject.dataset).test)
        return found

    def run_trials(self) -> None:
        """Golden-run every subject that lacks trials, record that, and run what is wanted of these."""
        release(self._device)  # the workers want room for their golden runs
        trials = TrialRunner(
            self._campaign, self._journal, self._engine, self._reporter, self._terms,
            goldens=self._goldens, pending=self._pending, watch=self._watch, prepare=self._prepared,
        )  # fmt: skip
        trials.run([self._opening(subject) for subject in self._campaign.subjects if self._is_open(subject)])

    def measure_overheads(self) -> None:
        """Measure memory, latency and fitting cost of every subject that has none recorded."""
        owns = self._terms.shard.owns
        missing = [s for s in self._campaign.subjects if s.key not in self._overheads and owns(s.key)]
        if missing:
            with self._reporter.task("measure overheads", len(missing)) as task:
                for subject in missing:
                    self._journal.append(measured_overhead(subject, self._bench).to_record())
                    task.advance()

    def attribute_failures(self) -> None:
        """Count which flips the trials held that failed, of those trials that are not counted yet."""
        done = self._pending.own()
        works = [
            Work(
                subject,
                self._goldens[subject.key],
                [(cell, done.get(cell.key, [])) for cell in self._campaign.cells_of(subject)],
            )
            for subject in self._campaign.subjects
            if subject.sampling == "plain"  # trials in strata are no fair sample of flips
        ]
        attribute(
            works, self._bench, self._folder / FOLDER, suffix=self._terms.shard.suffix, reporter=self._reporter,
        )  # fmt: skip

    def _turn(self) -> AbstractContextManager[None]:
        """Shards of a campaign share a folder: one makes what all need, and the others find it."""
        return in_turn(self._folder / ".lock.artifacts") if self._terms.shard.count > 1 else nullcontext()

    def _is_open(self, subject: Subject) -> bool:
        """Whether anything is to be done of it: a golden run or strata that none are recorded of, or trials."""
        golden, strata = self._goldens.get(subject.key), self._stratifying.strata
        cells = self._campaign.cells_of(subject)
        if golden is None or (subject.sampling != "plain" and any(cell.key not in strata for cell in cells)):
            return True
        return any(self._pending.lacks(cell, golden, strata.get(cell.key)) for cell in cells)

    def _opening(self, subject: Subject) -> Opening:
        return Opening(
            subject=subject,
            artifacts=self._artifacts.folder,
            memory_bytes=self._memory_bytes,
            bers=tuple(cell.ber for cell in self._campaign.cells_of(subject)),
            device=self._device,
        )

    def _prepared(self, subject: Subject, opened: Opened) -> Prepared:
        cells = self._campaign.cells_of(subject)
        evaluation = partial(self._bench.evaluation, subject, [cell.ber for cell in cells])
        with nullcontext() if subject.sampling == "plain" else self._turn():
            hazards, strata = self._stratifying.prepare(subject, evaluation, cells)
        release(self._device)  # what a pilot took
        return Prepared(
            self._opening(subject),
            opened.golden,
            opened.trial_s,
            trial_in_images=parts(subject).trial_in_images,
            hazards=hazards,
            strata=strata,
            paranoid=self._terms.paranoid,
        )
