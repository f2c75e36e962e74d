"""Shards share all work out, each piece of it to one of them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.runner.tasks.shards import MOST_SHARDS, N_HASHED, Shard


@given(count=st.integers(1, 9), trial=st.integers(0, 10**6), cell=st.text())
def test_every_key_belongs_to_one_shard(count: int, trial: int, cell: str) -> None:
    assert sum(Shard(number, count).owns(cell, trial) for number in range(1, count + 1)) == 1


def test_shards_get_about_the_same() -> None:
    owned = sum(Shard(2, 4).owns("c" * 32, trial) for trial in range(4000))
    assert 885 <= owned <= 1115  # 1000 ± 4.2 standard deviations of a binomial


@pytest.mark.parametrize(("number", "count"), [(0, 2), (3, 2), (1, 0), (1, MOST_SHARDS + 1)])
def test_a_shard_that_cannot_be_is_refused(number: int, count: int) -> None:
    with pytest.raises(ValueError, match="shard"):
        Shard(number, count)


@pytest.mark.parametrize("n_shards", [1, 2, 7])
def test_every_trial_falls_to_one_shard_and_is_counted_there(n_shards: int) -> None:
    start, stop = N_HASHED - 300, N_HASHED + 500
    shards = [Shard(number, n_shards) for number in range(1, n_shards + 1)]
    shared = [[*shard.trials("cell", start, stop)] for shard in shards]
    assert sorted(number for numbers in shared for number in numbers) == [*range(start, stop)]
    for shard, numbers in zip(shards, shared, strict=True):
        assert numbers == sorted(numbers)
        assert numbers == [number for number in range(start, stop) if shard.owns_trial("cell", number)]
        assert len(numbers) == shard.n_trials("cell", start, stop)


def test_a_shard_of_a_billion_trials_is_found_at_once() -> None:
    started_s = time.perf_counter()
    shard = Shard(77, 10**6)
    (number, *_) = (trial for trial, _ in zip(shard.trials("cell", N_HASHED, 10**9), range(3), strict=False))
    assert shard.owns_trial("cell", number)
    assert shard.n_trials("cell", 0, 10**9) == pytest.approx(1000, abs=3)
    assert time.perf_counter() - started_s < 10
