"""Ray engine: workers of a Ray cluster, through Ray's own tasks.

joblib's ray backend is not used, because the death of one worker loses all results.

Workers must see the results folder under the same path, and have faultbench and the campaign's plug-ins installed.
"""

import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Died, Done, Event, Failed, run_in_worker
from faultbench.system.errors import FaultbenchError, WorkersError
from faultbench.system.search_path import safe_path

CHECK_S = 2.0
"""Seconds between two checks of the head. Without them Ray ends this process after a minute, and says nothing."""

N_CHECKS = 3
"""Checks in a row without an answer after which the head counts as gone."""

INSTALL = "pip install 'faultbench-dnn[ray]'"


@engine("ray")
class Ray:
    """Engine of a Ray cluster: the one at an address, or one started on this machine."""

    address: str | None = None

    def __init__(self, n_workers: int, address: str | None = None) -> None:
        if address is None:
            # Read when ray is imported; without it Ray takes 127.0.0.1 for a mistake and listens on all addresses.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError as error:
            raise FaultbenchError(f"the engine ray needs the package ray; install it: {INSTALL}") from error
        self._ray: Any = ray
        self.address = address
        self._search_path = list(sys.path) if address is None else []
        self._remote: Any = None
        self._held: dict[Any, int] = {}
        self._head = ""
        self.has_workers = True
        self._n_unanswered, self._next_check_s = 0, 0.0
        # Ray gives each task a process of its own, so a death is reported for the one task that the process ran.
        self.n_workers = self.n_alone = n_workers

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Send the task to Ray."""
        if self._remote is None:
            self._open()
        # Pickled here, because a worker needs the search path of this process before it can unpickle them.
        self._held[self._remote.remote(self._search_path, pickle.dumps((function, task)))] = ticket

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Return as soon as something happened."""
        if not self._held:
            return []
        self._check_head()
        try:
            ready, _ = self._ray.wait(list(self._held), num_returns=1, timeout=timeout_s)
            return [self._event(self._held.pop(reference), reference) for reference in ready]
        except self._ray.exceptions.RayError as error:
            raise WorkersError(f"the ray cluster at {self._where()} is gone: {_first_line(error)}") from error

    def close(self) -> None:
        """Drop what is in flight, and end the cluster if this engine started it."""
        self._held.clear()
        if self._remote is not None:
            self._remote = None
            self._ray.shutdown()

    def connect(self) -> None:
        """Raise WorkersError if nobody listens at the address, if one is given; Ray itself would try for a minute."""
        if self.address is None or self._remote is not None or ":" not in self.address:
            return
        if reason := _connection_failure(self.address):
            raise WorkersError(f"no ray cluster answers at {self.address}: {reason}")

    def _check_head(self) -> None:
        if time.monotonic() < self._next_check_s:
            return
        reason = _connection_failure(self._head)
        self._n_unanswered = self._n_unanswered + 1 if reason else 0
        if self._n_unanswered >= N_CHECKS:
            raise WorkersError(f"the head of the ray cluster at {self._where()} is gone: {reason}")
        if not reason and self.address is not None:
            self.has_workers = self._ray.cluster_resources().get("CPU", 0) > 0
        self._next_check_s = time.monotonic() + CHECK_S

    def _where(self) -> str:
        return self.address or "this machine"

    def _open(self) -> None:
        own: dict[str, Any] = {"num_cpus": self.n_workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            # Ray keeps Ctrl-C from its processes; with SIGTERM blocked its agents would outlive a killed run.
            with safe_path():
                self._ray.init(
                    address=self.address or "local",
                    log_to_driver=False,
                    configure_logging=False,
                    job_config=self._job(),
                    **(own if self.address is None else {}),
                )
        except (OSError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            what = "cannot start a ray cluster" if self.address is None else f"no ray cluster answers at {self.address}"
            raise WorkersError(f"{what}: {_first_line(error)}") from error
        is_client = "://" in (self.address or "")  # to a Ray client server, which leads to the head
        self._head = str(self.address if is_client else self._ray.get_runtime_context().gcs_address)
        if self.address is not None:
            self.n_workers = self.n_alone = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # The supervisor counts deaths, so Ray must report the first one.
        self._remote = self._ray.remote(num_cpus=1, max_retries=0)(_call)

    def _job(self) -> Any:
        job = self._ray.job_config.JobConfig()
        job._py_driver_sys_path = _SearchPath()
        return job

    def _event(self, ticket: int, reference: Any) -> Event:
        errors = self._ray.exceptions
        try:
            return Done(ticket, self._ray.get(reference))
        except errors.RayTaskError as error:
            return Failed(ticket, error.cause)
        except (
            errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError,
        ) as error:  # fmt: skip
            return Died(ticket, _first_line(error))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _connection_failure(address: str) -> str:
    """Return why no connection to host:port is possible, or an empty text if one is."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CHECK_S).close()
    except (OSError, ValueError, OverflowError) as error:
        return str(error)
    return ""


class _SearchPath(list[str]):
    """Search path of workers that Ray cannot extend: it would put the current folder of this process first."""

    def extend(self, _folders: Iterable[str]) -> None:
        """Ignore the folders."""


def _call(search_path: list[str], pickled: bytes) -> Any:
    sys.path.extend(path for path in search_path if path not in sys.path)
    function, task = pickle.loads(pickled)  # pickled by `submit` above
    return run_in_worker(function, task)
