"""Serial engine: every task runs in this process, one after another. It serves debugging."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from faultbench.plugins.registry import engine
from faultbench.runner.engines.engine import Done, Event, Failed


@engine("serial")
class Serial:
    """Engine that runs tasks in this process, one after another."""

    next_worker = 0

    def __init__(self, n_workers: int) -> None:  # noqa: ARG002 - the protocol's
        self.n_workers = self.n_alone = 1
        self._waiting: deque[tuple[int, Callable[[Any], Any], Any]] = deque()

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Queue the task; `wait` runs it."""
        self._waiting.append((ticket, function, task))

    def wait(self, timeout_s: float) -> Sequence[Event]:  # noqa: ARG002 - the protocol's
        """Run the task that has waited longest, however long that takes."""
        if not self._waiting:
            return []
        ticket, function, task = self._waiting.popleft()
        try:
            return [Done(ticket, function(task))]
        except Exception as error:  # noqa: BLE001 - the supervisor decides what to do with it
            return [Failed(ticket, error)]

    def close(self) -> None:
        """Drop the tasks that wait."""
        self._waiting.clear()
