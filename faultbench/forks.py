"""Several things done at once in forked processes, which need to be sent nothing."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_all_start_methods, get_context
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")

_calls: list[Callable[[], Any]] = []
"""What a process that works was forked with."""


def side_by_side(calls: Sequence[Callable[[], R]]) -> Iterator[R]:
    """What each call gives, in their order; as many run at once as there are cores, the first ones first.

    What they change in memory is lost with their process. They run in turn, and in this one, where there are no forks
    or a fork would not be safe: torch has threads.
    """
    n_processes = min(os.cpu_count() or 1, len(calls))
    if n_processes < 2 or sys.modules.get("torch") is not None or "fork" not in get_all_start_methods():
        yield from (call() for call in calls)
        return
    forked = get_context("fork")
    with ProcessPoolExecutor(n_processes, mp_context=forked, initializer=_keep, initargs=(calls,)) as pool:
        yield from pool.map(_done, range(len(calls)))


def shares(items: Sequence[T]) -> list[Sequence[T]]:
    """The items in their order, cut into as many parts as run at once."""
    n_parts = max(1, min(os.cpu_count() or 1, len(items)))
    ends = [len(items) * part // n_parts for part in range(n_parts + 1)]
    return [items[start:stop] for start, stop in pairwise(ends)]


def _keep(calls: Sequence[Callable[[], Any]]) -> None:
    _calls[:] = calls


def _done(number: int) -> Any:
    return _calls[number]()
