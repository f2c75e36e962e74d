"""What an engine is to the supervisor: it runs tasks and tells what became of each; it decides nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Done:
    """The function gave this result for the task of this ticket."""

    ticket: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """The function raised this error for the task of this ticket."""

    ticket: int
    error: BaseException


@dataclass(frozen=True)
class Died:
    """The worker that held this ticket died, n_deaths workers if the engine tried again by itself.

    Every ticket that the worker held gets its own event: the engine cannot tell which of them it was.
    """

    ticket: int
    reason: str
    n_deaths: int = 1


Event = Done | Failed | Died


class Engine(Protocol):
    """Runs functions on tasks, each by itself and in any order.

    At most n_alone tasks may be in flight when each is to have a worker to itself.
    """

    n_workers: int
    n_alone: int

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Start function(task), or have it wait for a worker; returns at once."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """What happened, each ticket once; nothing after timeout_s seconds. EngineError when the engine is gone."""

    def close(self) -> None:
        """Leave no process behind, whatever is in flight; closing twice is allowed, and submitting opens anew."""


def n_alive(engine: Engine) -> int:
    """Workers that are alive now; all of them where the engine does not say by `n_alive`."""
    return int(getattr(engine, "n_alive", engine.n_workers))


def next_worker(engine: Engine) -> int | None:
    """The worker that the next task will go to, by number; None where the engine does not say by `next_worker`."""
    worker: int | None = getattr(engine, "next_worker", None)
    return worker
