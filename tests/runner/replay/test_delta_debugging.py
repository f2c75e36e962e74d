"""Delta debugging against brute force on small sets."""

from collections.abc import Callable, Iterator
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.runner.replay.delta_debugging import ddmin

ITEMS = tuple(range(7))
SETS = st.frozensets(st.sampled_from(ITEMS), min_size=1)

Fails = Callable[[tuple[int, ...]], bool]


def subsets(items: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def holding(causes: frozenset[frozenset[int]]) -> Fails:
    """Fails where all of a cause's items are there."""
    return lambda chosen: any(cause <= set(chosen) for cause in causes)


@given(st.frozensets(SETS, min_size=1, max_size=4))
def test_what_is_left_of_causes_is_one_of_the_smallest_that_brute_force_finds(
    causes: frozenset[frozenset[int]],
) -> None:
    fails = holding(causes)
    failing = [frozenset(chosen) for chosen in subsets(ITEMS) if fails(chosen)]
    minimal = {chosen for chosen in failing if not any(other < chosen for other in failing)}
    found = ddmin(ITEMS, fails, max_runs=1000)
    assert found.is_minimal
    assert frozenset(found.items) in minimal
    assert found.items == tuple(sorted(found.items))


@given(st.frozensets(st.frozensets(st.sampled_from(ITEMS)), max_size=40))
def test_leaving_any_one_item_out_passes_also_where_items_undo_each_other(failing: frozenset[frozenset[int]]) -> None:
    def fails(chosen: tuple[int, ...]) -> bool:
        return frozenset(chosen) in failing or chosen == ITEMS

    found = ddmin(ITEMS, fails, max_runs=1000)
    assert fails(found.items)
    smaller = [tuple(item for item in found.items if item != left_out) for left_out in found.items]
    assert not any(fails(chosen) for chosen in smaller if chosen)


@given(st.frozensets(SETS, min_size=1, max_size=3))
def test_no_set_is_tried_twice_and_runs_are_counted(causes: frozenset[frozenset[int]]) -> None:
    tried: list[tuple[int, ...]] = []

    def fails(chosen: tuple[int, ...]) -> bool:
        tried.append(chosen)
        return holding(causes)(chosen)

    assert ddmin(ITEMS, fails, max_runs=1000).n_runs == len(tried) == len(set(tried))


def test_a_single_cause_among_many_is_found_in_a_few_runs() -> None:
    found = ddmin(range(4096), lambda chosen: 3333 in chosen, max_runs=10_000)
    assert (found.items, found.is_minimal) == ((3333,), True)
    assert found.n_runs <= 1 + 2 * 12  # the whole, then both halves of each of 12 halvings at most


def test_when_the_runs_are_used_up_the_smallest_failing_set_so_far_is_given() -> None:
    needed = {5, 900}
    found = ddmin(range(1000), lambda chosen: needed <= set(chosen), max_runs=12)
    assert not found.is_minimal
    assert found.n_runs == 12
    assert needed <= set(found.items)
    assert len(found.items) < 1000


@pytest.mark.parametrize("items", [(), (1, 2)])
def test_items_that_do_not_fail_are_refused(items: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="as a whole must fail"):
        ddmin(items, lambda _: False, max_runs=9)
