"""Workers of a dask cluster, through dask's own futures; joblib's dask backend hangs on a task that kills its worker.

Workers must see the results folder under the same path, and have faultbench and the campaign's plug-ins installed.
"""

import queue
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Died, Done, Event, Failed
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.signals import SIGNALS

CONNECT_S = 30.0

INSTALL = "pip install 'faultbench-dnn[dask]'"


@engine("dask")
class Dask:
    """Workers of a dask cluster: of the scheduler at an address, or of our own on this machine."""

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
        self._held: dict[int, Any] = {}
        self._finished: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.n_workers = n_workers
        # Two tasks that are sent one after another may well be queued at the same worker.
        self.n_alone = 1

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Send it to the scheduler."""
        if self._client is None:
            self._open()
        future = self._client.submit(_one_at_a_time, function, task, pure=False)
        self._held[ticket] = future
        future.add_done_callback(lambda future: self._finished.put((ticket, future)))

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """As soon as something happened."""
        if self._client is None:
            return []
        events: list[Event] = []
        try:
            events.append(self._event(*self._finished.get(timeout=timeout_s)))
            while True:
                events.append(self._event(*self._finished.get_nowait()))
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise EngineError(f"the dask scheduler at {self.address or 'this machine'} is gone") from None
            return events

    def close(self) -> None:
        """Forget what is in flight; a cluster of our own ends."""
        client, cluster = self._client, self._cluster
        self._client = self._cluster = None
        self._held.clear()
        self._finished = queue.SimpleQueue()
        if client is not None:
            client.close(timeout=2)
        if cluster is not None:
            cluster.close(timeout=10)

    def _open(self) -> None:
        try:
            self._cluster = self._own_cluster() if self.address is None else None
            self._client = self._distributed.Client(self._cluster or self.address, timeout=CONNECT_S)
            if self._cluster is not None:
                self._client.register_plugin(_leaving_signals(self._distributed))
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineError(f"no dask scheduler answers at {self.address}: {error}") from error
        if self.address is not None:
            self.n_workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def _own_cluster(self) -> Any:
        import dask

        # The supervisor counts deaths; the scheduler shall tell of the first.
        dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.worker.daemon": False})
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
            raise EngineError(f"the dask scheduler at {self.address or 'this machine'} is gone")
        error = future.exception()
        if isinstance(error, self._distributed.scheduler.KilledWorker):
            n_deaths = getattr(error, "allowed_failures", 0) + 1
            return Died(ticket, "the worker died", n_deaths)
        return Failed(ticket, error)


def _leaving_signals(distributed: Any) -> Any:
    """A plug-in of dask's that has workers leave Ctrl-C to the main process, those too that start later."""

    class LeavingSignals(distributed.WorkerPlugin):  # type: ignore[misc]  # known when it runs
        def setup(self, worker: Any) -> None:  # noqa: ARG002 - dask's
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    return LeavingSignals()


_turn = threading.Lock()


def _one_at_a_time(function: Callable[[Any], Any], task: Any) -> Any:
    # A worker with several threads would put the faults of two trials into one network.
    with _turn:
        return function(task)
