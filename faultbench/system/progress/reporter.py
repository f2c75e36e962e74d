"""Progress that tells: a live view on a terminal, plain lines elsewhere, events for programs, nothing in libraries."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["rich", "plain", "json"]

Sort = Literal["note", "warning", "quarantine", "error"]
"""What a message is; people see the message alone."""


class Facts(Protocol):
    """How a task stands, besides how much of it is done."""

    @property
    def text(self) -> str:
        """For people, in less than a line."""

    @property
    def record(self) -> Mapping[str, Any]:
        """For programs: plain JSON values."""


Ask = Callable[[], Facts | None]
"""Called when progress is shown, so once a second at most; None where there is nothing to say."""

LEAST_S = 0.05
"""A rate over less time would say more of the clock than of the work: a file at hand came at gigabytes a second."""


class Task(Protocol):
    """One piece of work in progress."""

    def advance(self, n_done: int = 1, note: str = "") -> None:
        """n_done more units are done; the note replaces the last one."""


class GrowingTask(Task, Protocol):
    """One of which more may turn out to be to do."""

    def extend(self, n_more: int) -> None:
        """n_more units more than was known."""


class Reporter(Protocol):
    """Where progress is shown."""

    def task(
        self, description: str, total: int, unit: str = "", facts: Ask | None = None
    ) -> AbstractContextManager[GrowingTask]:
        """Show a piece of work of `total` units until the context ends; the description's first word is its phase."""

    def say(self, message: str, sort: Sort = "note") -> None:
        """Show one line."""


@dataclass
class Meter:
    """How far a task is, for whoever shows it."""

    description: str
    total: int
    unit: str
    ask: Ask | None
    n_done: int = 0
    note: str = ""
    started_s: float = field(default_factory=lambda: time.perf_counter())

    def advance(self, n_done: int, note: str) -> None:
        """As `Task.advance`."""
        self.n_done += n_done
        self.note = note or self.note

    @property
    def phase(self) -> str:
        """`train`, `fit`, `run` …: what is done."""
        return self.description.partition(" ")[0]

    @property
    def elapsed_s(self) -> float:
        """Since the task began."""
        return time.perf_counter() - self.started_s

    @property
    def per_s(self) -> float | None:
        """Units a second so far; None without a unit, and before there is time to tell."""
        return self.n_done / self.elapsed_s if self.unit and self.elapsed_s >= LEAST_S else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes if it goes on like that; None where nothing says."""
        return (self.total - self.n_done) / self.per_s if self.per_s else None

    @property
    def facts(self) -> Facts | None:
        """As the task tells them now."""
        return self.ask() if self.ask else None


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str = "", facts: Ask | None = None) -> Iterator[GrowingTask]:  # noqa: ARG002 - the protocol's
        """A task that nobody sees."""
        yield _SilentTask()

    def say(self, message: str, sort: Sort = "note") -> None:
        """Nothing."""


class _SilentTask:
    def advance(self, n_done: int = 1, note: str = "") -> None:
        pass

    def extend(self, n_more: int) -> None:
        pass


def reporter(kind: Kind | None = None, *, is_terminal: bool) -> Reporter:
    """`rich` on a terminal and `plain` elsewhere, unless a kind is given."""
    match kind or ("rich" if is_terminal else "plain"):
        case "rich":
            from faultbench.system.progress.live import Rich  # rich takes a tenth of a second that others are spared

            return Rich()
        case "json":
            from faultbench.system.progress.events import Events

            return Events()
        case _:
            from faultbench.system.progress.plain import Plain

            return Plain()


def speed_text(per_s: float, unit: str) -> str:
    """2.1 epochs/s, or how long each takes where it takes long: 23.4 s an epoch would be 0.0 epochs/s."""
    return f"{per_s:.1f} {unit}/s" if per_s >= 0.5 or per_s == 0 else f"{1 / per_s:.1f} s/{unit.removesuffix('s')}"
