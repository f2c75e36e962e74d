"""Delta debugging: find a minimal set of causes that still fails.

A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on Software
Engineering 28(2), 2002, section 3: `ddmin`, with every outcome kept, so that no set is tried twice.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Minimised(Generic[T]):
    """Items that are left, in the given order, and the number of sets that were tried."""

    items: tuple[T, ...]
    n_runs: int
    is_minimal: bool
    """Whether leaving out any one item makes the set pass (1-minimal); False if the runs were used up before."""


class _OutOfRunsError(Exception):
    """Signal that no run is left."""


def ddmin(items: Sequence[T], fails: Callable[[tuple[T, ...]], bool], *, max_runs: int) -> Minimised[T]:
    """Return a 1-minimal subset of items that fails, at least one item; ValueError unless all items together fail.

    If every set that contains a failing set fails too, no part of the result fails. Otherwise a smaller part may fail,
    because flips can undo each other. max_runs bounds the calls of fails.
    """
    search = _Search(fails, max_runs)
    current = tuple(items)
    if not current or not search.fails(current):
        raise ValueError("the items as a whole must fail")
    n_parts = 2
    try:
        while len(current) > 1:
            chunks = _split(current, n_parts)
            smaller = search.first_failing(chunks)
            if smaller is not None:
                current, n_parts = smaller, 2
                continue
            rest = search.first_failing([_without(current, chunk) for chunk in chunks]) if n_parts > 2 else None
            if rest is not None:
                current, n_parts = rest, max(n_parts - 1, 2)
            elif n_parts >= len(current):
                break
            else:
                n_parts = min(2 * n_parts, len(current))
    except _OutOfRunsError:
        return Minimised(current, search.n_runs, is_minimal=False)
    return Minimised(current, search.n_runs, is_minimal=True)


class _Search(Generic[T]):
    """Search that tries each set once."""

    def __init__(self, fails: Callable[[tuple[T, ...]], bool], max_runs: int) -> None:
        self._fails, self._max_runs = fails, max_runs
        self._known: dict[frozenset[T], bool] = {}
        self.n_runs = 0

    def fails(self, chosen: tuple[T, ...]) -> bool:
        key = frozenset(chosen)
        if key not in self._known:
            if self.n_runs >= self._max_runs:
                raise _OutOfRunsError
            self.n_runs += 1
            self._known[key] = self._fails(chosen)
        return self._known[key]

    def first_failing(self, sets: Sequence[tuple[T, ...]]) -> tuple[T, ...] | None:
        return next((chosen for chosen in sets if self.fails(chosen)), None)


def _split(items: tuple[T, ...], n_parts: int) -> list[tuple[T, ...]]:
    """Return consecutive parts of nearly equal length, none empty."""
    cuts = [len(items) * part // n_parts for part in range(n_parts + 1)]
    return [items[start:stop] for start, stop in pairwise(cuts)]


def _without(items: tuple[T, ...], left_out: tuple[T, ...]) -> tuple[T, ...]:
    gone = frozenset(left_out)
    return tuple(item for item in items if item not in gone)
