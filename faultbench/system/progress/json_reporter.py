"""Progress for programs: one JSON object per line on stderr.

`docs/progress.md` has the schema. Later versions may add events, and fields to events. Programs skip unknown ones.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from faultbench.system.progress.reporter import Ask, GrowingTask, Meter, Sort

VERSION = 1
INTERVAL_S = 1.0
"""Least time between two `advanced` events of a task."""


class JsonReporter:
    """Reporter that writes the events `started`, `advanced` and `ended` of each task, and `said` for each message."""

    def __init__(self, stream: TextIO | None = None, started_s: float | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._started_s = time.perf_counter() if started_s is None else started_s

    @contextmanager
    def task(self, description: str, total: int, unit: str = "", facts: Ask | None = None) -> Iterator[GrowingTask]:
        """Write an event when the task begins, at most one per second while it advances, and one when it ends."""
        meter = Meter(description, total, unit, facts)
        self.emit("started", **_state(meter))
        try:
            yield _EventTask(self, meter)
        finally:
            self.emit("ended", **_state(meter))

    def say(self, message: str, sort: Sort = "note") -> None:
        """Write a message as an event."""
        self.emit("said", sort=sort, message=message)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event as a line."""
        at_s = round(time.perf_counter() - self._started_s, 3)
        record = {"version": VERSION, "event": event, "at_s": at_s, **fields}
        print(json.dumps(record, ensure_ascii=False, allow_nan=False), file=self._stream, flush=True)


class _EventTask:
    def __init__(self, events: JsonReporter, meter: Meter) -> None:
        self._events, self._meter = events, meter
        self._emitted_s = meter.started_s

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._meter.advance(n_done, note)
        if time.perf_counter() - self._emitted_s >= INTERVAL_S:
            self._emitted_s = time.perf_counter()
            self._events.emit("advanced", **_state(self._meter))

    def extend(self, n_more: int) -> None:
        self._meter.total += n_more


def _state(meter: Meter) -> dict[str, Any]:
    facts = meter.facts
    return {
        "phase": meter.phase,
        "task": meter.description,
        "done": meter.n_done,
        "total": meter.total,
        "unit": meter.unit,
        "elapsed_s": round(meter.elapsed_s, 3),
        "per_s": _rounded(meter.per_s),
        "left_s": _rounded(meter.left_s),
        "note": meter.note,
        "facts": dict(facts.record) if facts else {},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
