"""One trial of a cell: draw its flips and its images, run them, and record the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign import Subject
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.fault_model import FaultModel
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.image_choice import choose_images
from faultbench.trials.second_runs import SecondRuns
from faultbench.trials.strata.bit_kinds import BitKinds
from faultbench.trials.strata.stratified_faults import StratifiedFaultModel

FaultSource = FaultModel | StratifiedFaultModel
"""Source of the fault map of each trial."""

ImageChoice = NDArray[np.int64] | None
"""Ascending indices of the images that a trial runs; None means all images."""


@dataclass(frozen=True)
class TrialJob:
    """One trial to run: key and BER of its cell, its number, and its number of images (None: all images)."""

    cell: str
    ber: float
    trial: int
    n_images: int | None = None


def stratified_fault_model(
    evaluation: Evaluation, hazards: Hazards, strata: Mapping[float, Strata], fault_model: FaultModel
) -> StratifiedFaultModel:
    """Return the fault model that draws an evaluation's trials in strata; strata are given by BER."""
    return StratifiedFaultModel.of_memory(BitKinds(evaluation.network, evaluation.space), hazards, strata, fault_model)


def with_stratum(trial: Trial, faults: FaultSource, seed: int, job: TrialJob) -> Trial:
    """Return the trial with the stratum that its flips were drawn in, if there is one."""
    if not isinstance(faults, StratifiedFaultModel):
        return trial
    return replace(trial, stratum=faults.stratum(ber=job.ber, seed=seed, trial=job.trial))


def run_job(evaluation: Evaluation, faults: FaultSource, seed: int, job: TrialJob) -> Trial:
    """Run one trial, which is a pure function of the cell and the trial's number."""
    fault_map, chosen = _draw(evaluation, faults, seed, job)
    return _trial(evaluation, job, fault_map, chosen, evaluation.outcome(fault_map, chosen))


def run_jobs(
    evaluation: Evaluation,
    faults: FaultSource,
    seed: int,
    jobs: Sequence[TrialJob],
    second_runs: SecondRuns | None = None,
) -> list[Trial]:
    """Run trials with the results of `run_job`; trials over some of the images share inferences.

    second_runs, if given, runs some of the trials a second time and compares.
    """
    draws = [_draw(evaluation, faults, seed, job) for job in jobs]
    outcomes = _outcomes(evaluation, draws, second_runs)
    if second_runs is not None:
        second_runs.compare(evaluation, draws, outcomes)
    return [_trial(evaluation, job, *draw, outcome) for job, draw, outcome in zip(jobs, draws, outcomes, strict=True)]


def golden_record(subject: Subject, evaluation: Evaluation) -> Golden:
    """Return the record of a subject's golden run."""
    return Golden(
        subject=subject.key,
        n_images=evaluation.n_images,
        n_correct=evaluation.golden.n_correct,
        n_bits=evaluation.space.n_target_bits,
        top1_digest=evaluation.top1_digest,
    )


def _draw(evaluation: Evaluation, faults: FaultSource, seed: int, job: TrialJob) -> tuple[FaultMap, ImageChoice]:
    fault_map = faults.draw(evaluation.space, ber=job.ber, seed=seed, trial=job.trial)
    chosen = None if job.n_images is None else choose_images(seed, job.trial, evaluation.golden_right, job.n_images)
    return fault_map, chosen


def _outcomes(
    evaluation: Evaluation, draws: Sequence[tuple[FaultMap, ImageChoice]], second_runs: SecondRuns | None
) -> list[Outcome]:
    on_logits = None if second_runs is None else second_runs.keep_logits
    chosen = [images for _, images in draws if images is not None]
    if 1 < len(chosen) == len(draws):
        return evaluation.outcomes([fault_map for fault_map, _ in draws], chosen, on_logits=on_logits)
    return [
        evaluation.outcome(*draw, on_logits=None if on_logits is None else partial(on_logits, place))
        for place, draw in enumerate(draws)
    ]


def _trial(evaluation: Evaluation, job: TrialJob, fault_map: FaultMap, chosen: ImageChoice, outcome: Outcome) -> Trial:
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
