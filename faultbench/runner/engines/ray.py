"""Workers of a ray cluster, through ray's own tasks; joblib's ray backend loses everything with one worker.

Workers must see the results folder under the same path, and have faultbench and the campaign's plug-ins installed.
"""

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Died, Done, Event, Failed
from faultbench.system.errors import EngineError, FaultbenchError

INSTALL = "pip install 'faultbench-dnn[ray]'"


@engine("ray")
class Ray:
    """Workers of a ray cluster: of the one at an address, or of our own on this machine."""

    address: str | None = None

    def __init__(self, n_workers: int, address: str | None = None) -> None:
        if address is None:
            # Read when ray is imported; without it ray takes 127.0.0.1 for a slip and listens on all addresses.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError as error:
            raise FaultbenchError(f"the engine ray needs the package ray; install it: {INSTALL}") from error
        self._ray: Any = ray
        self.address = address
        self._search_path = list(sys.path) if address is None else []
        self._run: Any = None
        self._held: dict[Any, int] = {}
        # ray gives a task a process of its own, so every death is told of the one task that it ran.
        self.n_workers = self.n_alone = n_workers

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Hand it to ray."""
        if self._run is None:
            self._open()
        # Pickled here, because a worker must look where this process does before it can tell what they are.
        self._held[self._run.remote(self._search_path, pickle.dumps((function, task)))] = ticket

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """As soon as something happened."""
        if not self._held:
            return []
        try:
            ready, _ = self._ray.wait(list(self._held), num_returns=1, timeout=timeout_s)
            return [self._event(self._held.pop(reference), reference) for reference in ready]
        except self._ray.exceptions.RaySystemError as error:
            raise EngineError(f"the ray cluster is gone: {error}") from error

    def close(self) -> None:
        """Forget what is in flight; a cluster of our own ends."""
        self._held.clear()
        if self._run is not None:
            self._run = None
            self._ray.shutdown()

    def _open(self) -> None:
        own: dict[str, Any] = {"num_cpus": self.n_workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            # ray itself keeps Ctrl-C from its processes; with SIGTERM held back its agents would outlive a killed run.
            self._ray.init(
                address=self.address or "local",
                log_to_driver=False,
                configure_logging=False,
                **(own if self.address is None else {}),
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EngineError(f"no ray cluster answers at {self.address}: {error}") from error
        if self.address is not None:
            self.n_workers = self.n_alone = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # The supervisor counts deaths; ray shall tell of the first.
        self._run = self._ray.remote(num_cpus=1, max_retries=0)(_call)

    def _event(self, ticket: int, reference: Any) -> Event:
        errors = self._ray.exceptions
        try:
            return Done(ticket, self._ray.get(reference))
        except errors.RayTaskError as error:
            return Failed(ticket, error.cause)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
            return Died(ticket, str(error).strip().partition("\n")[0])


def _call(search_path: list[str], pickled: bytes) -> Any:
    sys.path.extend(path for path in search_path if path not in sys.path)
    function, task = pickle.loads(pickled)  # made by our own `submit`
    return function(task)
