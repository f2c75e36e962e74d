"""What a worker does: a subject's golden run, and chunks of its trials; networks and images are kept meanwhile."""

import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.campaign import Subject
from faultbench.memory.fault_map import FaultMap
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import Bench
from faultbench.runner.subjects.components import build, parts
from faultbench.system.devices import Device, chosen
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.progress.reporter import Silent
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.image_choice import subset
from faultbench.trials.second_runs import SecondRuns, is_sampled
from faultbench.trials.strata.bit_kinds import Memory
from faultbench.trials.strata.stratified_faults import Stratified

N_KEPT = 4
"""Subjects a worker keeps in memory, at most."""


@dataclass(frozen=True)
class Job:
    """One trial to run: its cell's key and BER, its number, and how many images it looks at; None is all of them."""

    cell: str
    ber: float
    trial: int
    n_images: int | None = None


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A subject to be made ready for trials, small enough to pickle: a worker finds the rest by key."""

    subject: Subject
    artifacts: Path
    memory_bytes: int
    """What a worker may keep of golden runs, all its subjects together."""
    bers: tuple[float, ...]
    """The subject's rates."""
    device: Device = "cpu"


@dataclass(frozen=True)
class Opened:
    """A subject's golden run, and what a trial over all images is expected to take at each of its rates."""

    golden: Golden
    trial_s: Mapping[float, float]


@dataclass(frozen=True, kw_only=True)
class Chunk(Opening):
    """Trials of one subject, at some of its rates."""

    golden: Golden
    jobs: tuple[Job, ...]
    hazards: Hazards | None = None
    strata: Mapping[float, Strata] = field(default_factory=dict)
    """By BER, where trials are drawn in strata."""
    paranoid: bool = False
    """Whether a sample of the trials is run a second time, whole, and compared."""


Chosen = NDArray[np.int64] | None
"""The images that a trial looks at; None is all of them."""

_kept: OrderedDict[tuple[str, Path], Evaluation] = OrderedDict()
_drawing: dict[tuple[str, Path], Stratified] = {}


def worked(task: Opening) -> Opened | list[Trial]:
    """What a chunk or an opening gives, on one thread."""
    torch.set_num_threads(1)
    return run_chunk(task) if isinstance(task, Chunk) else open_subject(task)


def open_subject(opening: Opening) -> Opened:
    """Do a subject's golden run, and keep what its trials begin from."""
    evaluation, built = _evaluation(opening), parts(opening.subject)
    trial_s = {ber: evaluation.expected_s(built.sample(evaluation.space, ber)) for ber in opening.bers}
    return Opened(golden_record(opening.subject, evaluation), trial_s)


def run_chunk(chunk: Chunk) -> list[Trial]:
    """The chunk's trials in order."""
    evaluation = _evaluation(chunk, expected=chunk.golden)
    fault_model, seed = drawing(chunk, evaluation), chunk.subject.seed
    second = SecondRuns(_sampled(chunk)) if chunk.paranoid else None
    trials = run_jobs(evaluation, fault_model, seed, chunk.jobs, second)
    return [in_stratum(trial, fault_model, seed, job) for trial, job in zip(trials, chunk.jobs, strict=True)]


def drawing(chunk: Chunk, evaluation: Evaluation) -> Any:
    """What draws the flips of a chunk's trials."""
    fault_model = build(chunk.subject.fault)
    if chunk.hazards is None:
        return fault_model
    key = (chunk.subject.key, chunk.artifacts)
    if key not in _drawing:
        for other in _drawing.keys() - _kept.keys():
            del _drawing[other]
        _drawing[key] = in_strata(evaluation, chunk.hazards, chunk.strata, fault_model)
    return replace(_drawing[key], strata=chunk.strata)


def in_strata(evaluation: Evaluation, hazards: Hazards, strata: Mapping[float, Strata], fault_model: Any) -> Stratified:
    """What draws the flips of an evaluation's trials in strata, by BER."""
    return Stratified.over(Memory(evaluation.network, evaluation.space), hazards, strata, fault_model)


def in_stratum(trial: Trial, fault_model: Any, seed: int, job: Job) -> Trial:
    """The trial with the stratum that its flips were drawn in, if there is one."""
    if not isinstance(fault_model, Stratified):
        return trial
    return replace(trial, stratum=fault_model.stratum(ber=job.ber, seed=seed, trial=job.trial))


def run_jobs(
    evaluation: Evaluation, fault_model: Any, seed: int, jobs: Sequence[Job], second: SecondRuns | None = None
) -> list[Trial]:
    """These trials as `run_job` runs each, those over some of the images together; second doubts some of them."""
    drawn = [_drawn(evaluation, fault_model, seed, job) for job in jobs]
    outcomes = _outcomes(evaluation, drawn, None if second is None else second.see)
    if second is not None:
        second.compare(evaluation, drawn, outcomes)
    return [_trial(evaluation, job, *each, end) for job, each, end in zip(jobs, drawn, outcomes, strict=True)]


def _outcomes(
    evaluation: Evaluation, drawn: Sequence[tuple[FaultMap, Chosen]], seen: Callable[[int, Tensor], None] | None
) -> list[Outcome]:
    chosen = [rows for _, rows in drawn if rows is not None]
    if 1 < len(chosen) == len(drawn):
        return evaluation.outcomes([fault_map for fault_map, _ in drawn], chosen, seen=seen)
    told = [None if seen is None else partial(seen, number) for number in range(len(drawn))]
    return [evaluation.outcome(*each, seen=see) for each, see in zip(drawn, told, strict=True)]


def _sampled(chunk: Chunk) -> dict[int, str]:
    """Places and names of the jobs that are run a second time."""
    network = f"{chunk.subject.model.label}/{chunk.subject.scheme.label}"
    return {
        place: f"{network}, cell {job.cell}, trial {job.trial}"
        for place, job in enumerate(chunk.jobs)
        if is_sampled(job.cell, job.trial)
    }


def run_job(evaluation: Evaluation, fault_model: Any, seed: int, job: Job) -> Trial:
    """One trial: a pure function of the cell and the trial's number."""
    fault_map, chosen = _drawn(evaluation, fault_model, seed, job)
    return _trial(evaluation, job, fault_map, chosen, evaluation.outcome(fault_map, chosen))


def _drawn(evaluation: Evaluation, fault_model: Any, seed: int, job: Job) -> tuple[FaultMap, Chosen]:
    fault_map = fault_model.draw(evaluation.space, ber=job.ber, seed=seed, trial=job.trial)
    chosen = None if job.n_images is None else subset(seed, job.trial, evaluation.golden_right, job.n_images)
    return fault_map, chosen


def _trial(evaluation: Evaluation, job: Job, fault_map: FaultMap, chosen: Chosen, outcome: Outcome) -> Trial:
    return Trial(
        cell=job.cell,
        trial=job.trial,
        n_flips=len(fault_map),
        n_images=evaluation.n_images if chosen is None else len(chosen),
        n_correct=outcome.n_correct,
        n_masked=outcome.n_masked,
        n_sdc=outcome.n_sdc,
        n_sdc_critical=outcome.n_sdc_critical,
        n_due=outcome.n_due,
        flips_digest=fault_map.digest,
        n_golden_correct=None if chosen is None else outcome.n_golden_correct,
        n_due_critical=None if chosen is None else outcome.n_due_critical,
    )


def golden_record(subject: Subject, evaluation: Evaluation) -> Golden:
    """The golden run of a subject as it is recorded."""
    return Golden(
        subject=subject.key,
        n_images=evaluation.n_images,
        n_correct=evaluation.golden.n_correct,
        n_bits=evaluation.space.n_target_bits,
        top1_digest=evaluation.top1_digest,
    )


def _evaluation(opening: Opening, *, expected: Golden | None = None) -> Evaluation:
    subject, artifacts = opening.subject, opening.artifacts
    key = (subject.key, artifacts)
    if key not in _kept:
        device = _required(opening.device)
        bench = Bench(ArtifactStore(artifacts), Silent(), memory_bytes=opening.memory_bytes, device=device)
        evaluation = bench.evaluation(subject, opening.bers)
        if expected is not None and golden_record(subject, evaluation) != expected:
            raise EngineError(
                f"subject {subject.key}: a worker's golden run differs from the recorded one; "
                "its machine or libraries compute otherwise, or artifacts changed while it ran"
            )
        _kept[key] = evaluation
        while len(_kept) > N_KEPT or (len(_kept) > 1 and _kept_bytes() > opening.memory_bytes):
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def _required(device: Device) -> Device:
    try:
        return chosen(device)
    except FaultbenchError as error:
        raise EngineError(f"a worker on {socket.gethostname()} cannot run the chunk: {error}") from error


def _kept_bytes() -> int:
    return sum(evaluation.kept_bytes for evaluation in _kept.values())
