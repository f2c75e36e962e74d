"""Check that the results folder of a run is still there; if it vanishes, the run ends within seconds.

A run may train for hours, or wait for trials that take minutes, without writing a record. So the folder is checked
whenever progress is reported and before each wait for workers.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faultbench.results.journal.journal import Journal
from faultbench.system.errors import EngineError
from faultbench.system.files.locks import BEAT_S, beat
from faultbench.system.progress.reporter import GrowingTask, Reporter, Sort

CHECK_EVERY_S = 1.0
"""Seconds between two checks."""


class FolderPresence:
    """Results folder that a run has locked with this suffix: checks that it is there, and shows that the run lives."""

    def __init__(self, folder: Path, suffix: str, journal: Journal) -> None:
        self._folder, self._suffix, self._journal = folder, suffix, journal
        self._checked_s = self._beaten_s = time.perf_counter()

    def check(self) -> None:
        """Raise EngineError if the folder, its journal or its manifest is gone; check once a second at most."""
        if time.perf_counter() - self._checked_s >= CHECK_EVERY_S:
            self.check_now()

    def check_now(self) -> None:
        """Raise EngineError if the folder, its journal or its manifest is gone."""
        self._journal.check()
        if not (self._folder / "manifest.json").exists():
            raise EngineError(f"{self._folder / 'manifest.json'}: was removed while this run wrote to the folder")
        self._checked_s = time.perf_counter()
        if self._checked_s - self._beaten_s >= BEAT_S:
            beat(self._folder, self._suffix)
            self._beaten_s = self._checked_s


class CheckingReporter:
    """Reporter that calls check with every progress."""

    def __init__(self, reporter: Reporter, check: Callable[[], None]) -> None:
        self._reporter, self._check = reporter, check

    @contextmanager
    def task(self, *positional: Any, **named: Any) -> Iterator[GrowingTask]:
        """Show a piece of work, as the reporter does; all arguments are passed on."""
        with self._reporter.task(*positional, **named) as task:
            yield _CheckingTask(task, self._check)

    def say(self, message: str, sort: Sort = "note") -> None:
        """Show one line, as the reporter does."""
        self._reporter.say(message, sort)


class _CheckingTask:
    def __init__(self, task: GrowingTask, check: Callable[[], None]) -> None:
        self._task, self._check = task, check

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._check()
        self._task.advance(n_done, note)

    def extend(self, n_more: int) -> None:
        self._task.extend(n_more)
