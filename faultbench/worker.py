"""What a worker does: a chunk of a subject's trials, with networks and images kept from chunk to chunk."""

import socket
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faultbench.artifacts import ArtifactStore
from faultbench.campaign import Subject
from faultbench.devices import Device, chosen
from faultbench.errors import EngineError, FaultbenchError
from faultbench.parts import build
from faultbench.progress import Silent
from faultbench.records import Golden, Trial
from faultbench.subjects import Bench
from faultbench.subsets import subset
from faultbench.trial import Evaluation

N_KEPT = 4
"""Subjects a worker keeps in memory, at most."""


@dataclass(frozen=True)
class Job:
    """One trial to run: its cell's key and BER, its number, and how many images it looks at; None is all of them."""

    cell: str
    ber: float
    trial: int
    n_images: int | None = None


@dataclass(frozen=True)
class Chunk:
    """Trials of one subject, small enough to pickle: a worker finds the rest by key."""

    subject: Subject
    golden: Golden
    artifacts: Path
    memory_bytes: int
    """What a worker may keep of golden runs, all its subjects together."""
    bers: tuple[float, ...]
    """The subject's rates, of which the jobs may meet some."""
    jobs: tuple[Job, ...]
    device: Device = "cpu"


_kept: OrderedDict[tuple[str, Path], Evaluation] = OrderedDict()


def run_chunk(chunk: Chunk) -> list[Trial]:
    """The chunk's trials in order, on one thread."""
    torch.set_num_threads(1)
    evaluation = _evaluation(chunk)
    fault_model = build(chunk.subject.fault)
    return [run_job(evaluation, fault_model, chunk.subject.seed, job) for job in chunk.jobs]


def run_job(evaluation: Evaluation, fault_model: Any, seed: int, job: Job) -> Trial:
    """One trial: a pure function of the cell and the trial's number."""
    fault_map = fault_model.draw(evaluation.space, ber=job.ber, seed=seed, trial=job.trial)
    chosen = None if job.n_images is None else subset(seed, job.trial, evaluation.golden_right, job.n_images)
    outcome = evaluation.outcome(fault_map, chosen)
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


def _evaluation(chunk: Chunk) -> Evaluation:
    key = (chunk.subject.key, chunk.artifacts)
    if key not in _kept:
        bench = Bench(
            ArtifactStore(chunk.artifacts), Silent(), memory_bytes=chunk.memory_bytes, device=_required(chunk.device)
        )
        evaluation = bench.evaluation(chunk.subject, chunk.bers)
        if golden_record(chunk.subject, evaluation) != chunk.golden:
            raise EngineError(
                f"subject {chunk.subject.key}: a worker's golden run differs from the recorded one; "
                "its machine or libraries compute otherwise, or artifacts changed while it ran"
            )
        _kept[key] = evaluation
        while len(_kept) > N_KEPT or (len(_kept) > 1 and _kept_bytes() > chunk.memory_bytes):
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
