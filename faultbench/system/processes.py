"""Parallel calls in forked processes, which share this process's memory and need no pickled arguments."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_all_start_methods, get_context
from typing import Any, TypeVar

from faultbench.system.errors import EngineError

R = TypeVar("R")
T = TypeVar("T")

_calls: list[Callable[[], Any]] = []
"""Calls that this process was forked to run."""


def run_in_parallel(calls: Sequence[Callable[[], R]]) -> Iterator[R]:
    """Yield the result of each call, in order. One call per core runs at a time, and the first ones start first.

    Changes that a call makes in memory are lost with its process. The calls run one after another in this process if
    the machine cannot fork, or if torch is loaded: it has threads, and a fork would not be safe.
    """
    pool = _pool(min(_n_cores(), len(calls)), calls) if _can_fork(len(calls)) else None
    if pool is None:
        yield from (call() for call in calls)
        return
    with _closing(pool):
        yield from pool.map(_run_call, range(len(calls)))


def run_beside(call: Callable[[], R], own: Callable[[], object]) -> R:
    """Return the result of call, which runs in a process of its own while this process runs `own`.

    With one core, or without a safe fork, this process runs `own` first and then call.
    """
    pool = _pool(1, [call]) if _can_fork(2) else None
    if pool is None:
        own()
        return call()
    with _closing(pool):
        future = pool.submit(_run_call, 0)
        own()
        result: R = future.result()
    return result


def cut_evenly(items: Sequence[T]) -> list[Sequence[T]]:
    """Return the items in order, cut into one part per core, or into one part per item if there are fewer."""
    n_parts = max(1, min(_n_cores(), len(items)))
    ends = [len(items) * part // n_parts for part in range(n_parts + 1)]
    return [items[start:stop] for start, stop in pairwise(ends)]


def _n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _can_fork(n_calls: int) -> bool:
    has_threads = sys.modules.get("torch") is not None
    return min(_n_cores(), n_calls) > 1 and not has_threads and "fork" in get_all_start_methods()


def _pool(n_processes: int, calls: Sequence[Callable[[], Any]]) -> ProcessPoolExecutor | None:
    """Return processes that are forked with the calls; None if the machine refuses them.

    It refuses them if /dev/shm cannot be written, or if there are too many processes.
    """
    try:
        pool = ProcessPoolExecutor(n_processes, mp_context=get_context("fork"), initializer=_begin, initargs=(calls,))
        pool.submit(os.getpid)  # this starts the processes
    except OSError:
        return None
    return pool


@contextmanager
def _closing(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Close the pool after the block. EngineError if one of its processes was killed.

    After an error the running calls end first, so that each removes its temporary files. After Ctrl-C they are ended.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise EngineError(
            "a helper process was killed, perhaps because memory ran out; run the command again"
        ) from error
    except Exception:
        raise
    except BaseException:
        for process in pool._processes.values():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(calls: Sequence[Callable[[], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits, which ends this one
    signal.signal(signal.SIGTERM, _leave)
    _calls[:] = calls


def _leave(_signal: int, _frame: object) -> None:
    """Exit, so that the running call removes its temporary files."""
    sys.exit(1)


def _run_call(number: int) -> Any:
    return _calls[number]()
