"""The kept values of the golden run are the best ones for the memory that is allowed."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from faultbench.trials.staging.kept_values import choose_kept_values, expected_s, start_steps
from faultbench.trials.staging.step_costs import StepCosts

CHAIN = StepCosts(
    seconds=(4.0, 1.0, 8.0, 2.0),
    spliced_s={2: 0.5},
    needed=(("x",), ("a",), ("b",), ("c",), ("d",)),
    outputs=("a", "b", "c", "d"),
    n_bytes={"x": 1, "a": 10, "b": 6, "c": 5, "d": 1},
    storage={"x": 0, "a": 1, "b": 2, "c": 3, "d": 4},
    bounding=(),
    logits=torch.empty(0),
)
"""x → a → b → c → d, the third step a layer of which a few channels take a sixteenth of the time."""

TRIALS: Sequence[Sequence[int]] = [(0, 2), (1,), (2, 3), (2,), (3,), ()]


def test_a_run_begins_at_the_latest_step_for_which_everything_is_kept() -> None:
    assert start_steps(CHAIN.needed, {"b"}) == [0, 0, 2, 2, 2]
    assert start_steps(CHAIN.needed, ()) == [0] * 5
    assert start_steps((("x",), ("a", "s"), ("b", "s")), {"a", "b"}) == [0, 0, 0]


def test_expected_times_worked_out_by_hand() -> None:
    assert expected_s(CHAIN, [(2,)], ()) == 15  # a whole run
    assert expected_s(CHAIN, [(2,)], {"b"}) == 10  # begins at the step
    assert expected_s(CHAIN, [(2,)], {"b", "c"}) == 2.5  # and recomputes few channels of it
    assert expected_s(CHAIN, [(3,)], {"b"}) == 10  # the nearest step that can be begun at
    assert expected_s(CHAIN, [()], ()) == 0  # nothing is run where nothing is hit
    assert expected_s(CHAIN, [(2,), (3,)], {"b"}) == 20


def test_a_faulted_bound_is_expected_to_matter_in_half_of_the_cases() -> None:
    bounding = replace(CHAIN, bounding=(1,))
    # The bound's step takes 1; felt, 10 follow; else the fault at step 3 begins at step 2.
    assert expected_s(bounding, [(1, 3)], {"a", "b"}) == 1 + 0.5 * 10 + 0.5 * 10
    assert expected_s(bounding, [(1,)], {"a", "b"}) == 1 + 0.5 * 10


def size(names: Collection[str]) -> int:
    return sum(CHAIN.n_bytes[name] for name in names)


@pytest.mark.parametrize("budget", range(24))
def test_what_is_kept_fits_and_saves_at_least_what_the_best_single_choice_does(budget: int) -> None:
    kept = choose_kept_values(CHAIN, TRIALS, budget)
    assert size(kept) <= budget
    options = [{"a"}, {"a", "b"}, {"b"}, {"b", "c"}, {"c"}, {"c", "d"}]
    fitting = [option for option in options if size(option) <= budget]
    best = min((expected_s(CHAIN, TRIALS, option) for option in fitting), default=expected_s(CHAIN, TRIALS, ()))
    assert expected_s(CHAIN, TRIALS, kept) <= best


def test_everything_useful_is_kept_where_there_is_room() -> None:
    kept = choose_kept_values(CHAIN, TRIALS, 1000)
    everything = [set(names) for n in range(5) for names in combinations("abcd", n)]
    assert expected_s(CHAIN, TRIALS, kept) == min(expected_s(CHAIN, TRIALS, names) for names in everything)


def test_values_of_one_storage_take_the_room_of_one() -> None:
    twins = replace(CHAIN, storage={**CHAIN.storage, "c": CHAIN.storage["b"]}, n_bytes={**CHAIN.n_bytes, "c": 6})
    assert choose_kept_values(twins, [(2,)], 6) == {"b", "c"}


def test_nothing_is_kept_without_room_or_without_use() -> None:
    assert choose_kept_values(CHAIN, TRIALS, 0) == frozenset()
    assert choose_kept_values(CHAIN, [(), ()], 1000) == frozenset()
