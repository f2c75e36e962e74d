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
    if not _can_fork(len(calls)):
        yield from (call() for call in calls)
        return
    with _pool(min(_n_cores(), len(calls)), calls) as pool:
        yield from pool.map(_done, range(len(calls)))


def meanwhile(call: Callable[[], R], own: Callable[[], object]) -> R:
    """What call gives, which runs in a process of its own while this one runs `own`.

    Where there is one core, or no fork that is safe, this process runs `own`, and then call.
    """
    if not _can_fork(2):
        own()
        return call()
    with _pool(1, [call]) as pool:
        waited_for = pool.submit(_done, 0)
        own()
        found: R = waited_for.result()
    return found


def shares(items: Sequence[T]) -> list[Sequence[T]]:
    """The items in their order, cut into as many parts as run at once."""
    n_parts = max(1, min(_n_cores(), len(items)))
    ends = [len(items) * part // n_parts for part in range(n_parts + 1)]
    return [items[start:stop] for start, stop in pairwise(ends)]


def _n_cores() -> int:
    return os.cpu_count() or 1


def _can_fork(n_calls: int) -> bool:
    has_threads = sys.modules.get("torch") is not None
    return min(_n_cores(), n_calls) > 1 and not has_threads and "fork" in get_all_start_methods()


def _pool(n_processes: int, calls: Sequence[Callable[[], Any]]) -> ProcessPoolExecutor:
    """Processes that know the calls without being sent them."""
    return ProcessPoolExecutor(n_processes, mp_context=get_context("fork"), initializer=_keep, initargs=(calls,))


def _keep(calls: Sequence[Callable[[], Any]]) -> None:
    _calls[:] = calls


def _done(number: int) -> Any:
    return _calls[number]()
