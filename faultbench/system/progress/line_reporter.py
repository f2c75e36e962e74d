"""Progress as lines, for logs: one when a task ends, and one every 30 s during a long task."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from faultbench.system.printable import printable
from faultbench.system.progress.reporter import Ask, GrowingTask, Meter, Sort, speed_text

INTERVAL_S = 30.0


class LineReporter:
    """Reporter that writes a line when a task ends, and one every 30 s during a long task."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream

    @contextmanager
    def task(self, description: str, total: int, unit: str = "", facts: Ask | None = None) -> Iterator[GrowingTask]:
        """Write lines about the task, the last one when it ends without an error."""
        task = _PlainTask(self, Meter(description, total, unit, facts))
        yield task
        task.show()

    def say(self, message: str, sort: Sort = "note") -> None:  # noqa: ARG002 - part of the protocol
        """Write one line."""
        print(printable(message), file=self._stream, flush=True)


class _PlainTask:
    def __init__(self, reporter: LineReporter, meter: Meter) -> None:
        self._reporter, self._meter = reporter, meter
        self._shown_s = meter.started_s

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._meter.advance(n_done, note)
        if time.perf_counter() - self._shown_s >= INTERVAL_S:
            self.show()

    def extend(self, n_more: int) -> None:
        self._meter.total += n_more

    def show(self) -> None:
        self._shown_s = time.perf_counter()
        meter, facts = self._meter, self._meter.facts
        parts = [f"{meter.description}: {meter.n_done}/{meter.total}", meter.note, f"{meter.elapsed_s:.1f} s"]
        if meter.per_s is not None:
            parts.append(speed_text(meter.per_s, meter.unit))
        if meter.left_s and meter.ask:
            parts.append(f"{meter.left_s:.0f} s left")
        line = ", ".join(filter(None, parts))
        self._reporter.say(f"{line}; {facts.text}" if facts else line)
