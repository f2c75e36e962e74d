"""Progress that tells: live bars on a terminal, plain lines elsewhere, nothing in libraries and tests."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_S = 30.0


class Task(Protocol):
    """One piece of work in progress."""

    def advance(self, n_done: int = 1, note: str = "") -> None:
        """n_done more units are done; the note replaces the last one."""


class Reporter(Protocol):
    """Where progress is shown."""

    def task(self, description: str, total: int, unit: str = "") -> AbstractContextManager[Task]:
        """Show a piece of work of `total` units until the context ends."""

    def say(self, message: str) -> None:
        """Show one line."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator[Task]:  # noqa: ARG002 - the protocol's
        """A task that nobody sees."""
        yield _SilentTask()

    def say(self, message: str) -> None:
        """Nothing."""


class _SilentTask:
    def advance(self, n_done: int = 1, note: str = "") -> None:
        pass


class Plain:
    """A line when a task ends, and one every 30 s of a long task."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator[Task]:
        """A task that writes lines."""
        task = _PlainTask(self, description, total, unit)
        yield task
        task.show()

    def say(self, message: str) -> None:
        """Write one line."""
        print(message, file=self._stream, flush=True)


class _PlainTask:
    def __init__(self, reporter: Plain, description: str, total: int, unit: str) -> None:
        self._reporter, self._description, self._total, self._unit = reporter, description, total, unit
        self._started = self._shown = time.perf_counter()
        self._n_done, self._note = 0, ""

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._n_done += n_done
        self._note = note or self._note
        if time.perf_counter() - self._shown >= PLAIN_INTERVAL_S:
            self.show()

    def show(self) -> None:
        self._shown = time.perf_counter()
        elapsed_s = self._shown - self._started
        rate = f", {speed_text(self._n_done / elapsed_s, self._unit)}" if self._unit and elapsed_s > 0 else ""
        note = f", {self._note}" if self._note else ""
        self._reporter.say(f"{self._description}: {self._n_done}/{self._total}{note}, {elapsed_s:.1f} s{rate}")


class Rich:
    """Live bars with rate and time left, for a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator[Task]:
        """A bar that stays when it is full."""
        with Progress(*_columns(), console=self._console) as bars:
            yield _RichTask(bars, bars.add_task(description, total=total, note="", rate=""), unit)

    def say(self, message: str) -> None:
        """Print one line above the bars."""
        self._console.print(message, highlight=False, markup=False)


class _RichTask:
    def __init__(self, bars: Progress, bar: TaskID, unit: str) -> None:
        self._bars, self._bar, self._unit = bars, bar, unit

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._bars.update(self._bar, advance=n_done)
        if note:
            self._bars.update(self._bar, note=note)
        speed = self._bars.tasks[0].speed
        if self._unit and speed:
            self._bars.update(self._bar, rate=speed_text(speed, self._unit))


def speed_text(per_s: float, unit: str) -> str:
    """2.1 epochs/s, or how long each takes where it takes long: 23.4 s an epoch would be 0.0 epochs/s."""
    return f"{per_s:.1f} {unit}/s" if per_s >= 0.5 or per_s == 0 else f"{1 / per_s:.1f} s/{unit.removesuffix('s')}"


def reporter(kind: str | None = None, *, is_terminal: bool) -> Reporter:
    """`rich` on a terminal and `plain` elsewhere, unless a kind is given."""
    return Rich() if (kind or ("rich" if is_terminal else "plain")) == "rich" else Plain()


def _columns() -> list[
    SpinnerColumn | TextColumn | BarColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn
]:
    return [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
