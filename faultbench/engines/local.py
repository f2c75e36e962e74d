"""Worker processes on this machine: joblib's loky, with what a dead worker took along done again."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from faultbench.engines.engine import R, T
from faultbench.errors import EngineError
from faultbench.registry import engine

MAX_DEATHS = 3
"""Deaths in a row, none of the tasks getting done in between, after which the engine gives up."""

WATCH_INTERVAL_S = 1.0


@engine("local")
class Local:
    """Worker processes on this machine, one thread each."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """A worker that is killed costs the tasks in flight, which are run again."""
        remaining = dict(enumerate(tasks))
        n_deaths = 0
        while remaining:
            try:
                for index, result in self._pool(function, list(remaining.items())):
                    del remaining[index]
                    n_deaths = 0
                    yield result
            except TerminatedWorkerError as error:
                n_deaths += 1
                if n_deaths >= MAX_DEATHS:
                    raise EngineError(f"workers died {n_deaths} times in a row with nothing done in between") from error

    def _pool(self, function: Callable[[T], R], tasks: list[tuple[int, T]]) -> Iterator[tuple[int, R]]:
        pool = joblib.Parallel(self.n_workers, backend="loky", return_as="generator_unordered", batch_size=1)
        main = os.getpid()
        return pool(  # type: ignore[no-any-return]  # joblib is untyped
            joblib.delayed(_indexed)(function, index, task, main) for index, task in tasks
        )


def _indexed(function: Callable[[T], R], index: int, task: T, main: int) -> tuple[int, R]:
    if os.getpid() != main:
        _watch(main)
    return index, function(task)


_watching: set[int] = set()


def _watch(main: int) -> None:
    """End this worker when the main process is gone: loky's workers would wait for ever."""
    if main not in _watching:
        _watching.add(main)
        threading.Thread(target=_end_with, args=(main,), daemon=True).start()


def _end_with(main: int) -> None:
    while os.getppid() == main:
        time.sleep(WATCH_INTERVAL_S)
    os._exit(1)
