"""Chunks hold every job once, and shards share all work out."""

from pathlib import Path

import pytest
from campaign_texts import SMALL, SOURCE
from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign import parse_campaign
from faultbench.results.journal.records import Golden
from faultbench.runner.tasks.chunks import MAX_CHUNK, Prepared, Shard, chunks, jobs, named, split
from faultbench.runner.tasks.worker import Opening

CELL = parse_campaign(SMALL, SOURCE).cells[0]
GOLDEN = Golden(subject=CELL.subject.key, n_images=10, n_correct=9, n_bits=1000, top1_digest="d" * 16)


def prepared(trial_s: float) -> Prepared:
    opening = Opening(subject=CELL.subject, artifacts=Path("artifacts"), memory_bytes=0, bers=(CELL.ber,))
    return Prepared(opening, GOLDEN, {CELL.ber: trial_s})


@given(n_trials=st.integers(0, 200), trial_s=st.floats(0, 100))
def test_chunks_hold_every_job_once_and_no_more_than_about_a_second_of_work(n_trials: int, trial_s: float) -> None:
    wanted = jobs(CELL, range(n_trials))
    cut = list(chunks(prepared(trial_s), wanted))
    assert [job for chunk in cut for job in chunk.jobs] == wanted
    assert all(1 <= len(chunk.jobs) <= MAX_CHUNK for chunk in cut)
    assert all(len(chunk.jobs) == 1 or len(chunk.jobs) * trial_s <= 1.5 for chunk in cut)


@given(count=st.integers(1, 9), trial=st.integers(0, 10**6), cell=st.text())
def test_every_key_belongs_to_one_shard(count: int, trial: int, cell: str) -> None:
    assert sum(Shard(number, count).owns(cell, trial) for number in range(1, count + 1)) == 1


def test_shards_get_about_the_same() -> None:
    owned = sum(Shard(2, 4).owns("c" * 32, trial) for trial in range(4000))
    assert 885 <= owned <= 1115  # 1000 ± 4.2 standard deviations of a binomial


@pytest.mark.parametrize(("number", "count"), [(0, 2), (3, 2), (1, 0)])
def test_a_shard_that_cannot_be_is_refused(number: int, count: int) -> None:
    with pytest.raises(ValueError, match="shard"):
        Shard(number, count)


def test_a_split_chunk_has_a_chunk_for_each_trial_by_its_name() -> None:
    (chunk,) = chunks(prepared(1e-9), jobs(CELL, [4, 9]))
    assert named(chunk) == "digits/digits_cnn/relu/none/q15.16/bernoulli 2 trials, BER 1e-6 trial 4 to BER 1e-6 trial 9"
    assert [named(part) for part in split(chunk)] == [
        "digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6 trial 4",
        "digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6 trial 9",
    ]
