"""Chunks hold every job once."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign import parse_campaign
from faultbench.results.journal.records import Golden
from faultbench.runner.tasks.chunks import MAX_CHUNK, ReadySubject, cut_chunks, split_task, task_title, trial_jobs
from faultbench.runner.tasks.tasks import GoldenRunTask
from tests.builders.campaign_texts import SMALL, SOURCE

CELL = parse_campaign(SMALL, SOURCE).cells[0]
GOLDEN = Golden(subject=CELL.subject.key, n_images=10, n_correct=9, n_bits=1000, top1_digest="d" * 16)


def prepared(trial_s: float) -> ReadySubject:
    golden_task = GoldenRunTask(subject=CELL.subject, artifacts=Path("artifacts"), memory_bytes=0, bers=(CELL.ber,))
    return ReadySubject(golden_task, GOLDEN, {CELL.ber: trial_s})


@given(n_trials=st.integers(0, 200), trial_s=st.floats(0, 100))
def test_chunks_hold_every_job_once_and_no_more_than_about_a_second_of_work(n_trials: int, trial_s: float) -> None:
    wanted = trial_jobs(CELL, range(n_trials))
    cut = list(cut_chunks(prepared(trial_s), wanted))
    assert [job for chunk in cut for job in chunk.jobs] == wanted
    assert all(1 <= len(chunk.jobs) <= MAX_CHUNK for chunk in cut)
    assert all(len(chunk.jobs) == 1 or len(chunk.jobs) * trial_s <= 1.5 for chunk in cut)


def test_a_split_chunk_has_a_chunk_for_each_trial_by_its_name() -> None:
    (chunk,) = cut_chunks(prepared(1e-9), trial_jobs(CELL, [4, 9]))
    assert (
        task_title(chunk)
        == "digits/digits_cnn/relu/none/q15.16/bernoulli 2 trials, BER 1e-6 trial 4 to BER 1e-6 trial 9"
    )
    assert [task_title(part) for part in split_task(chunk)] == [
        "digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6 trial 4",
        "digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6 trial 9",
    ]
