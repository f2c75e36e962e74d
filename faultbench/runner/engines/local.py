"""Local engine: worker processes on this machine by joblib's loky.

Each worker has an executor of its own, so that the death of one does not end the others.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor, process_executor

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Died, Done, Event, Failed, run_in_worker
from faultbench.system.errors import EngineError
from faultbench.system.search_path import safe_environment, safe_path
from faultbench.system.signals import SIGNALS, signals_blocked

WATCH_INTERVAL_S = 1.0
"""Seconds between two checks by a worker that the main process still runs."""


@engine("local")
class Local:
    """Engine of worker processes on this machine, one thread each."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = self.n_alone = n_workers
        self._finished: queue.SimpleQueue[tuple[_Worker, int, Future[Any]]] = queue.SimpleQueue()
        self._workers = [_Worker(self._finished) for _ in range(n_workers)]

    @property
    def n_alive(self) -> int:
        """Number of worker processes that are alive; a dead one starts again with its next task."""
        return sum(worker.is_alive for worker in self._workers)

    @property
    def next_worker(self) -> int:
        """Number of the worker that has the fewest tasks."""
        return min(range(self.n_workers), key=lambda number: len(self._workers[number].tickets))

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Send the task to the worker that has the fewest tasks."""
        self._workers[self.next_worker].submit(ticket, function, task)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Return as soon as something happened."""
        events: list[Event] = []
        try:
            events.append(_event(*self._finished.get(timeout=timeout_s)))
            while True:
                events.append(_event(*self._finished.get_nowait()))
        except queue.Empty:
            return events

    def close(self) -> None:
        """Kill busy workers, and let idle ones end by themselves."""
        for worker in self._workers:
            worker.close()
        self._finished = queue.SimpleQueue()
        self._workers = [_Worker(self._finished) for _ in range(self.n_workers)]


class _Worker:
    """Worker process, started with its first ticket and again after its death."""

    def __init__(self, finished: "queue.SimpleQueue[tuple[_Worker, int, Future[Any]]]") -> None:
        self.tickets: set[int] = set()
        self._finished = finished
        self._executor: ProcessPoolExecutor | None = None

    @property
    def is_alive(self) -> bool:
        # loky's dict of its processes; it empties it when one of them dies.
        processes = getattr(self._executor, "_processes", None) or {}
        return any(process.is_alive() for process in list(processes.values()))

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        self.tickets.add(ticket)
        try:
            future = self._start(function, task)
        except BrokenProcessPool:  # it died; the futures report what it held
            self._executor = None
            future = self._start(function, task)
        future.add_done_callback(lambda future: self._finished.put((self, ticket, future)))

    def _start(self, function: Callable[[Any], Any], task: Any) -> Future[Any]:
        with signals_blocked(), safe_path():
            try:
                if self._executor is None:
                    self._executor = ProcessPoolExecutor(
                        1, initializer=_prepare_worker, initargs=(os.getpid(),), env=safe_environment()
                    )
                return self._executor.submit(run_in_worker, function, task)  # type: ignore[no-any-return]  # untyped
            except OSError as error:
                raise EngineError(
                    f"no worker process can be started: {error.strerror or error}; they need a /dev/shm that can be "
                    "written, and --engine serial needs none"
                ) from error

    def close(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=bool(self.tickets))


def _event(worker: _Worker, ticket: int, future: Future[Any]) -> Event:
    worker.tickets.discard(ticket)
    error = future.exception()
    if error is None:
        return Done(ticket, future.result())
    if isinstance(error, BrokenProcessPool):
        codes = str(error).partition("exit codes of the workers are ")[2].partition("\n")[0]
        return Died(ticket, f"the worker died {codes}".rstrip())
    return Failed(ticket, error)


def _prepare_worker(main: int) -> None:
    """Prepare a new worker process: ignore signals, and end with the main process."""
    for number in SIGNALS:  # a terminal sends Ctrl-C to all processes; the main one lets them finish
        signal.signal(number, signal.SIG_IGN)
    # With psutil installed loky restarts workers that grow; ours grow on purpose, because they keep networks.
    process_executor._USE_PSUTIL = False
    threading.Thread(target=_end_after, args=(main,), daemon=True).start()


def _end_after(main: int) -> None:
    """End this worker when the main process is gone; loky's workers would wait for ever."""
    while os.getppid() == main:
        time.sleep(WATCH_INTERVAL_S)
    os._exit(1)
