"""Dask engine: workers of a Dask cluster, through Dask's own futures.

joblib's dask backend is not used, because it hangs on a task that kills its worker.

Workers must see the results folder under the same path, and have faultbench and the campaign's plug-ins installed.
"""

import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Died, Done, Event, Failed, run_in_worker
from faultbench.system.errors import FaultbenchError, WorkersError
from faultbench.system.search_path import safe_path
from faultbench.system.signals import SIGNALS

CONNECT_S = 30.0
"""Most seconds that connecting to a scheduler may take."""

COUNT_S = 2.0
"""Seconds between two counts of the workers while no task ends."""

INSTALL = "pip install 'faultbench-dnn[dask]'"


@engine("dask")
class Dask:
    """Engine of a Dask cluster: that of the scheduler at an address, or one started on this machine."""

    address: str | None = None

    def __init__(self, n_workers: int, address: str | None = None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise FaultbenchError(f"the engine dask needs the package distributed; install it: {INSTALL}") from error
        self._distributed: Any = distributed
        self.address = address
        self._cluster: Any = None
        self._client: Any = None
        self._safe = ExitStack()
        self._held: dict[int, Any] = {}
        self._finished: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.n_workers = n_workers
        self.has_workers = True
        self._next_count_s = 0.0
        # Dask may queue two tasks that are sent one after another at the same worker.
        self.n_alone = 1

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Send the task to the scheduler."""
        if self._client is None:
            self._open()
        future = self._client.submit(_one_at_a_time, function, task, pure=False)
        self._held[ticket] = future
        future.add_done_callback(lambda future: self._finished.put((ticket, future)))

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Return as soon as something happened."""
        if self._client is None:
            return []
        events: list[Event] = []
        try:
            events.append(self._event(*self._finished.get(timeout=timeout_s)))
            while True:
                events.append(self._event(*self._finished.get_nowait()))
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise WorkersError(self._is_gone()) from None
            if not events:
                self._count_workers()
            return events

    def close(self) -> None:
        """Drop what is in flight, and end the cluster if this engine started it."""
        client, cluster = self._client, self._cluster
        self._client = self._cluster = None
        self._held.clear()
        self._finished = queue.SimpleQueue()
        if client is not None:
            client.close(timeout=2)
        if cluster is not None:
            cluster.close(timeout=10)
        self._safe.close()

    def connect(self) -> None:
        """Connect to the scheduler at the address, if one is given."""
        if self.address is not None and self._client is None:
            self._open()

    def _count_workers(self) -> None:
        """Count the workers that there are now; a batch system starts and ends them."""
        scheduler = self._client.scheduler
        if self.address is None or scheduler is None or time.monotonic() < self._next_count_s:
            return
        with suppress(OSError, TimeoutError):  # a scheduler that is gone shows in the client's status
            identity = self._client.sync(scheduler.identity, n_workers=-1, callback_timeout=COUNT_S)
            self.n_workers, self.has_workers = max(1, len(identity["workers"])), bool(identity["workers"])
        self._next_count_s = time.monotonic() + COUNT_S

    def _is_gone(self) -> str:
        return f"the dask scheduler at {self.address or 'this machine'} is gone"

    def _open(self) -> None:
        try:
            self._cluster = self._own_cluster() if self.address is None else None
            self._client = self._distributed.Client(self._cluster or self.address, timeout=CONNECT_S)
            if self._cluster is not None:
                self._client.register_plugin(_signal_plugin(self._distributed))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            what = (
                "cannot start a dask cluster"
                if self.address is None
                else f"no dask scheduler answers at {self.address}"
            )
            raise WorkersError(f"{what}: {reason}") from error
        self._count_workers()

    def _own_cluster(self) -> Any:
        import dask

        # The supervisor counts deaths, so the scheduler must report the first one.
        dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.worker.daemon": False})
        self._safe.enter_context(safe_path())  # until it closes, because dask starts dead workers again by itself
        return self._distributed.LocalCluster(
            n_workers=self.n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        )

    def _event(self, ticket: int, future: Any) -> Event:
        self._held.pop(ticket, None)
        if future.status == "finished":
            return Done(ticket, future.result())
        if future.status != "error":  # cancelled or lost, with the scheduler or the connection to it
            raise WorkersError(self._is_gone())
        error = future.exception()
        if isinstance(error, self._distributed.scheduler.KilledWorker):
            n_deaths = getattr(error, "allowed_failures", 0) + 1
            return Died(ticket, "the worker died", n_deaths)
        return Failed(ticket, error)


def _signal_plugin(distributed: Any) -> Any:
    """Return a Dask plug-in by which workers, also those that start later, leave Ctrl-C to the main process."""

    class IgnoreSignals(distributed.WorkerPlugin):  # type: ignore[misc]  # the class is known at run time only
        def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask gives it
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    return IgnoreSignals()


_turn = threading.Lock()


def _one_at_a_time(function: Callable[[Any], Any], task: Any) -> Any:
    # In a worker with several threads, two trials would put their faults into one network.
    with _turn:
        return run_in_worker(function, task)
