"""A worker keeps the subjects that it used last, within a number and a memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.runner.tasks.kept_subjects import N_KEPT, KeptSubjects
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging
from tests.builders.networks import SHAPE, Residual, some_images

PLENTY = 2**30


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """A staged golden run, which keeps some values."""
    network = trace(Residual().eval(), SHAPE)
    space = fault_space(network, FixedPoint(15, 16), ("weights",))
    images = Images(some_images(), torch.zeros(4).long())
    late = FaultMap(np.array([space.n_bits - 1]))
    return Evaluation(network, space, images, batch=4, staging=Staging(PLENTY, [late]))


def name(subject: str) -> tuple[str, Path]:
    return subject, Path("artifacts")


def kept(subjects: KeptSubjects) -> str:
    return "".join(subject for subject in "abcdefgh" if name(subject) in subjects)


def test_subjects_beyond_the_memory_are_dropped_those_first_that_were_not_used_for_longest(
    evaluation: Evaluation,
) -> None:
    assert evaluation.kept_bytes > 0
    subjects, room_for_two = KeptSubjects(), 2 * evaluation.kept_bytes
    for subject in "ab":
        subjects.add(name(subject), evaluation, room_for_two)
    assert kept(subjects) == "ab"
    assert subjects.use(name("a")) is not None
    subjects.add(name("c"), evaluation, room_for_two)
    assert kept(subjects) == "ac"
    subjects.add(name("d"), evaluation, room_for_two - 1)
    assert kept(subjects) == "d"
    assert subjects.use(name("a")) is None


def test_the_last_subject_stays_however_large_it_is(evaluation: Evaluation) -> None:
    subjects = KeptSubjects()
    for subject in "ab":
        assert subjects.add(name(subject), evaluation, 0).evaluation is evaluation
        assert kept(subjects) == subject


def test_only_a_few_subjects_are_kept_in_any_memory(evaluation: Evaluation) -> None:
    subjects = KeptSubjects()
    for subject in "abcdef":
        subjects.add(name(subject), evaluation, PLENTY)
    assert kept(subjects) == "cdef"
    assert len(kept(subjects)) == N_KEPT
