"""What a worker does: golden runs of subjects, and chunks of trials. It keeps networks and images between tasks."""

import socket
from dataclasses import replace

import torch

from faultbench.datasets.decoded_cache import use_data_folder
from faultbench.memory.faults.fault_model import FaultModel
from faultbench.results.content_digests import require_equal
from faultbench.results.journal.records import Golden, Trial
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder, digests
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.plugin_building import build
from faultbench.runner.subjects.subject_keys import titles
from faultbench.runner.tasks.kept_subjects import KeptSubject, KeptSubjects
from faultbench.runner.tasks.tasks import GoldenRunResult, GoldenRunTask, Task, TrialChunk
from faultbench.system.devices import Device, resolve_device
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from faultbench.trials.second_runs import SecondRuns, is_run_twice
from faultbench.trials.trial import FaultSource, golden_record, run_jobs, stratified_fault_model, with_stratum

_kept = KeptSubjects()


def run_task(task: Task) -> GoldenRunResult | list[Trial]:
    """Do a golden run or run a chunk of trials, on one thread."""
    torch.set_num_threads(1)
    golden_task = task.golden_task if isinstance(task, TrialChunk) else task
    with use_data_folder(golden_task.data):
        return run_chunk(task) if isinstance(task, TrialChunk) else run_golden(task)


def run_golden(task: GoldenRunTask) -> GoldenRunResult:
    """Do a subject's golden run, and keep what its trials begin from."""
    evaluation, components = _ready(task).evaluation, build_components(task.subject)
    trial_s = {ber: evaluation.expected_s(components.sample(evaluation.space, ber)) for ber in task.bers}
    return GoldenRunResult(golden_record(task.subject, evaluation), trial_s)


def run_chunk(chunk: TrialChunk) -> list[Trial]:
    """Run the chunk's trials, in order."""
    subject = _ready(chunk.golden_task, expected=chunk.golden)
    faults, seed = _faults(chunk, subject), chunk.subject.seed
    second_runs = SecondRuns(_names_of_second_runs(chunk)) if chunk.paranoid else None
    trials = run_jobs(subject.evaluation, faults, seed, chunk.jobs, second_runs)
    return [with_stratum(trial, faults, seed, job) for trial, job in zip(trials, chunk.jobs, strict=True)]


def _faults(chunk: TrialChunk, subject: KeptSubject) -> FaultSource:
    """Return what draws the flips of a chunk's trials."""
    fault_model: FaultModel = build(chunk.subject.fault)
    if chunk.hazards is None:
        return fault_model
    if subject.stratified is None:
        subject.stratified = stratified_fault_model(subject.evaluation, chunk.hazards, chunk.strata, fault_model)
    return replace(subject.stratified, strata=chunk.strata)


def _names_of_second_runs(chunk: TrialChunk) -> dict[int, str]:
    """Return places and names of the jobs that are run a second time."""
    network = f"{chunk.subject.model.label}/{chunk.subject.scheme.label}"
    return {
        place: f"{network}, cell {job.cell}, trial {job.trial}"
        for place, job in enumerate(chunk.jobs)
        if is_run_twice(job.cell, job.trial)
    }


def _ready(task: GoldenRunTask, *, expected: Golden | None = None) -> KeptSubject:
    """Return the task's subject, ready for trials; EngineError if its golden run is new and not the expected one."""
    name = (task.subject.key, task.artifacts)
    if (kept := _kept.use(name)) is not None:
        return kept
    device = _required_device(task.device)
    builder = SubjectBuilder(
        ArtifactStore(task.artifacts), SilentReporter(), memory_bytes=task.memory_bytes, device=device
    )
    _require_made_of(task, builder)
    evaluation = builder.evaluation(task.subject, task.bers)
    if expected is not None and golden_record(task.subject, evaluation) != expected:
        raise EngineError(
            f"subject {task.subject.key}: a worker's golden run differs from the recorded one; "
            "its machine or libraries compute otherwise, or artifacts changed while it ran"
        )
    return _kept.add(name, evaluation, task.memory_bytes)


def _require_made_of(task: GoldenRunTask, builder: SubjectBuilder) -> None:
    """Raise FaultbenchError if this worker has other weights, bounds or images than the run's results are made of."""
    if not task.made_of:
        return
    is_lab = task.subject.dataset.origin is not None
    # On one machine all read the same images; elsewhere a copy may differ, and a lab's load in any process.
    here = digests(builder, [task.subject], with_images=is_lab or socket.gethostname() != task.host)
    advice = "give every worker the same files, data sets and results folder"
    if is_lab:
        advice += "; load must give the same in every process, so sort sets and listings and fix seeds"
    require_equal("this worker has", task.made_of, here, advice, titles([task.subject]))


def _required_device(device: Device) -> Device:
    try:
        return resolve_device(device)
    except FaultbenchError as error:
        raise EngineError(f"cannot run the chunk: {error}") from error
