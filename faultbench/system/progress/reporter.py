"""Reporters of progress: a live view on a terminal, lines elsewhere, events for programs, nothing in libraries."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from faultbench.system.printable import shortened

Kind = Literal["rich", "plain", "json"]

Sort = Literal["note", "warning", "quarantine", "error"]
"""Kind of a message. Programs get it with the message; people see the message only."""


class Facts(Protocol):
    """State of a task besides its number of finished units."""

    @property
    def text(self) -> str:
        """Return the facts for people, in less than a line."""

    @property
    def record(self) -> Mapping[str, Any]:
        """Return the facts for programs, as plain JSON values."""


Ask = Callable[[], Facts | None]
"""Function that returns the facts, or None if there are none. It is called when progress is shown."""

LEAST_S = 0.05
"""Least time for a rate. In less time, a local file seemed to arrive at gigabytes per second."""


class Task(Protocol):
    """Piece of work in progress."""

    def advance(self, n_done: int = 1, note: str = "") -> None:
        """Count n_done more units as finished. The note replaces the last one."""


class GrowingTask(Task, Protocol):
    """Task whose number of units may grow."""

    def extend(self, n_more: int) -> None:
        """Add n_more units to the total."""


class Reporter(Protocol):
    """Display of progress and messages."""

    def task(
        self, description: str, total: int, unit: str = "", facts: Ask | None = None
    ) -> AbstractContextManager[GrowingTask]:
        """Show a piece of work of `total` units inside the block. The first word of the description is its phase."""

    def say(self, message: str, sort: Sort = "note") -> None:
        """Show one line."""


@dataclass
class Meter:
    """Count of a task's finished units, with rate and time left, for reporters."""

    description: str
    total: int
    unit: str
    ask: Ask | None
    n_done: int = 0
    note: str = ""
    started_s: float = field(default_factory=lambda: time.perf_counter())

    def __post_init__(self) -> None:
        self.description = shortened(self.description)

    def advance(self, n_done: int, note: str) -> None:
        """Count n_done more units as finished. The note replaces the last one unless it is empty."""
        self.n_done += n_done
        self.note = shortened(note) or self.note

    @property
    def phase(self) -> str:
        """Return the first word of the description, such as `train`, `fit` or `run`."""
        return self.description.partition(" ")[0]

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the task began."""
        return time.perf_counter() - self.started_s

    @property
    def per_s(self) -> float | None:
        """Return the finished units per second; None if the task has no unit, or in its first moments."""
        return self.n_done / self.elapsed_s if self.unit and self.elapsed_s >= LEAST_S else None

    @property
    def left_s(self) -> float | None:
        """Return the seconds that the rest takes at the present rate; None if the rate is unknown or 0."""
        return (self.total - self.n_done) / self.per_s if self.per_s else None

    @property
    def facts(self) -> Facts | None:
        """Return the present facts of the task."""
        return self.ask() if self.ask else None


class SilentReporter:
    """Reporter that shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str = "", facts: Ask | None = None) -> Iterator[GrowingTask]:  # noqa: ARG002 - part of the protocol
        """Do not show the task."""
        yield _SilentTask()

    def say(self, message: str, sort: Sort = "note") -> None:
        """Do not show the message."""


class _SilentTask:
    def advance(self, n_done: int = 1, note: str = "") -> None:
        pass

    def extend(self, n_more: int) -> None:
        pass


def reporter(kind: Kind | None = None, *, is_terminal: bool) -> Reporter:
    """Return a reporter of this kind; by default `rich` on a terminal and `plain` elsewhere."""
    match kind or ("rich" if is_terminal else "plain"):
        case "rich":
            from faultbench.system.progress.live_reporter import LiveReporter  # importing rich takes 0.1 s

            return LiveReporter()
        case "json":
            from faultbench.system.progress.json_reporter import JsonReporter

            return JsonReporter()
        case _:
            from faultbench.system.progress.line_reporter import LineReporter

            return LineReporter()


def speed_text(per_s: float, unit: str) -> str:
    """Return a rate such as 2.1 epochs/s, or the time per unit of a slow task: 23.4 s/epoch instead of 0.0 epochs/s."""
    return f"{per_s:.1f} {unit}/s" if per_s >= 0.5 or per_s == 0 else f"{1 / per_s:.1f} s/{unit.removesuffix('s')}"
