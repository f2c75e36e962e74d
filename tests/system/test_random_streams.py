"""Tests of named random streams: only its name determines a stream."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from faultbench.system.random_streams import generator, seed_of

part = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), max_size=6) | st.integers()
parts = st.lists(part, min_size=1, max_size=4)


@given(first=parts, second=parts)
def test_seeds_are_equal_exactly_if_all_parts_read_the_same(first: list[str | int], second: list[str | int]) -> None:
    assert (seed_of(*first) == seed_of(*second)) == ([str(p) for p in first] == [str(p) for p in second])


def test_where_one_part_ends_and_the_next_begins_matters() -> None:
    assert (
        len(
            {seed_of("ab", "c"), seed_of("a", "bc"), seed_of("abc"), seed_of("abc", ""), seed_of(1, 11), seed_of(11, 1)}
        )
        == 6
    )


@given(parts)
def test_a_seed_has_128_bits(names: list[str | int]) -> None:
    assert 0 <= seed_of(*names) < 2**128


def test_seeds_use_all_of_their_bits() -> None:
    ones = sum(np.array([seed_of(number) >> bit & 1 for bit in range(128)]) for number in range(400))
    assert ones.min() > 140  # the mean is 200, the standard deviation 10
    assert ones.max() < 260


def test_the_streams_are_those_that_recorded_results_were_made_with() -> None:
    # If this fails, every result changes, and recorded trials cannot be replayed.
    assert seed_of(2024, "profile") == 335359613993670946573465245671076221913
    assert generator("bernoulli/7/0/conv1.weight").integers(1000, size=5).tolist() == [411, 360, 64, 42, 881]


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    expected = generator("a/1").random(4).tolist()
    generator("a/2").random(100)
    np.random.seed(3)  # noqa: NPY002 - no stream may depend on the global one
    assert generator("a/1").random(4).tolist() == expected


def test_streams_of_neighbouring_names_are_unrelated() -> None:
    streams = np.stack([generator(f"trial/{number}").standard_normal(1000) for number in range(20)])
    correlation = np.corrcoef(streams) - np.eye(20)
    assert np.abs(correlation).max() < 0.16  # five standard deviations of 1/√1000
