"""Interface between the supervisor and an engine: it runs tasks and reports the end of each; it decides nothing."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from faultbench.system.errors import FaultbenchError


@dataclass(frozen=True)
class Done:
    """Report that the function returned this result for the task of this ticket."""

    ticket: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """Report that the function raised this error for the task of this ticket."""

    ticket: int
    error: BaseException

    @property
    def text(self) -> str:
        """Return the error in one line, with its first note."""
        text = str(self.error).strip().partition("\n")[0]
        where = "".join(f" ({note})" for note in getattr(self.error, "__notes__", ())[:1])
        name = type(self.error).__name__
        return f"{name}: {text}{where}" if text else f"{name}{where}"


@dataclass(frozen=True)
class Died:
    """Report that the worker that held this ticket died.

    n_deaths is the number of workers that died with it, if the engine tried again by itself. Every ticket that the
    worker held gets its own event: the engine cannot tell which of them was to blame.
    """

    ticket: int
    reason: str
    n_deaths: int = 1


Event = Done | Failed | Died


class Engine(Protocol):
    """Workers that run functions on tasks, each task by itself and in any order.

    At most n_alone tasks may be in flight when each of them needs a worker to itself.
    """

    n_workers: int
    n_alone: int

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        """Start function(task), or queue it for a worker; return at once."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Return what happened, each ticket once, or nothing after timeout_s; WorkersError when the engine is gone."""

    def close(self) -> None:
        """End all processes, whatever is in flight. Closing twice is allowed, and `submit` opens the engine again."""


def n_alive(engine: Engine) -> int:
    """Return how many workers are alive now; all of them if the engine has no `n_alive`."""
    return int(getattr(engine, "n_alive", engine.n_workers))


def next_worker(engine: Engine) -> int | None:
    """Return the number of the worker that gets the next task; None if the engine has no `next_worker`."""
    worker: int | None = getattr(engine, "next_worker", None)
    return worker


def lacks_workers(engine: Engine) -> bool:
    """Return whether no worker can run what was submitted; an engine without `has_workers` always has workers."""
    return not getattr(engine, "has_workers", True)


def connect(engine: Engine) -> None:
    """Connect to the cluster of an engine that has an address; WorkersError if it does not answer. Signals end it."""
    connect_engine: Callable[[], None] | None = getattr(engine, "connect", None)
    if connect_engine is not None:
        connect_engine()


def run_in_worker(function: Callable[[Any], Any], task: Any) -> Any:
    """Return function(task); an error says that a worker raised it, and on which host."""
    try:
        return function(task)
    except FaultbenchError as error:
        error.args = (f"a worker on {socket.gethostname()}: {error}",)
        raise
    except Exception as error:
        error.add_note(f"on {socket.gethostname()}")
        raise
