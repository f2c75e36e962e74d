"""Worker processes on this machine: joblib's loky, one executor a worker, so that a death takes no other along."""

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
from faultbench.runner.engines.engine import Died, Done, Event, Failed
from faultbench.system.signals import SIGNALS, held_back

WATCH_INTERVAL_S = 1.0


@engine("local")
class Local:
    """Worker processes on this machine, one thread each."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = self.n_alone = n_workers
        self._finished: queue.SimpleQueue[tuple[_Worker, int, Future[Any]]] = queue.SimpleQueue()
        self._workers = [_Worker(self._finished) for _ in range(n_workers)]

    @property
    def n_alive(self) -> int:
        """Worker processes that are alive; a dead one is started again with its next task."""
        return sum(worker.is_alive for worker in self._workers)

    @property
    def next_worker(self) -> int:
        """The worker that has least to do."""
        return min(range(self.n_workers), key=lambda number: len(self._workers[number].tickets))

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Give it to the worker that has least to do."""
        self._workers[self.next_worker].submit(ticket, function, task)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """As soon as something happened."""
        events: list[Event] = []
        try:
            events.append(_event(*self._finished.get(timeout=timeout_s)))
            while True:
                events.append(_event(*self._finished.get_nowait()))
        except queue.Empty:
            return events

    def close(self) -> None:
        """Busy workers are killed, idle ones go by themselves."""
        for worker in self._workers:
            worker.close()
        self._finished = queue.SimpleQueue()
        self._workers = [_Worker(self._finished) for _ in range(self.n_workers)]


class _Worker:
    """One process, started with its first ticket and again after its death."""

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
            future = self._submitted(function, task)
        except BrokenProcessPool:  # it died; what it held, if anything, is told by the futures
            self._executor = None
            future = self._submitted(function, task)
        future.add_done_callback(lambda future: self._finished.put((self, ticket, future)))

    def _submitted(self, function: Callable[[Any], Any], task: Any) -> Future[Any]:
        with held_back():
            if self._executor is None:
                self._executor = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),))
            return self._executor.submit(function, task)  # type: ignore[no-any-return]  # loky is untyped

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


def _begin(main: int) -> None:
    """What a worker does first."""
    for number in SIGNALS:  # a terminal sends Ctrl-C to all processes; the main one lets them finish
        signal.signal(number, signal.SIG_IGN)
    # With psutil installed loky restarts workers that grow; ours grow on purpose, by the networks they keep.
    process_executor._USE_PSUTIL = False
    threading.Thread(target=_end_with, args=(main,), daemon=True).start()


def _end_with(main: int) -> None:
    """End this worker when the main process is gone: loky's workers would wait for ever."""
    while os.getppid() == main:
        time.sleep(WATCH_INTERVAL_S)
    os._exit(1)
