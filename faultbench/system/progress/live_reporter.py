"""Progress on a terminal: a live view with a bar for each open task, and facts of the task that advanced last."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
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
from rich.text import Text

from faultbench.system.printable import printable
from faultbench.system.progress.reporter import Ask, GrowingTask, Meter, Sort, speed_text

REFRESH_PER_S = 2
"""Drawing takes milliseconds, so ten drawings per second would take a few per cent of a core from the trials."""

FACTS_INTERVAL_S = 1.0


class LiveReporter:
    """Reporter that draws bars with rate and time left. Bars of finished tasks stay."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._view: _View | None = None
        self._n_open = 0

    @contextmanager
    def task(self, description: str, total: int, unit: str = "", facts: Ask | None = None) -> Iterator[GrowingTask]:
        """Show a bar in the view, which opens with the first task and closes with the last open one."""
        self._view = self._view or _View(self._console)
        self._n_open += 1
        try:
            yield self._view.task(Meter(description, total, unit, facts))
        finally:
            self._n_open -= 1
            if not self._n_open:
                self._view.close()
                self._view = None

    def say(self, message: str, sort: Sort = "note") -> None:
        """Print one line above the bars."""
        style = {"warning": "yellow", "quarantine": "yellow", "error": "red"}.get(sort)
        self._console.print(printable(message), highlight=False, markup=False, style=style)


class _View:
    """Live view of the bars, with the facts of the task that advanced last below them."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(*_columns(), console=console)
        self._facts = ""
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=REFRESH_PER_S)
        self._live.start()

    def task(self, meter: Meter) -> "_RichTask":
        return _RichTask(self, self._bars, meter)

    def show_facts(self, text: str) -> None:
        """Show text below the bars. Show the first one at once, because a short task ends before the next refresh."""
        is_first = bool(text) and not self._facts
        self._facts = text
        if is_first:
            self._live.refresh()

    def close(self) -> None:
        self._facts = ""
        self._live.stop()

    def _render(self) -> RenderableType:
        if not self._facts:
            return self._bars.get_renderable()
        return Group(
            self._bars.get_renderable(), Text(f"  {self._facts}", style="dim", no_wrap=True, overflow="ellipsis")
        )


class _RichTask:
    def __init__(self, view: _View, bars: Progress, meter: Meter) -> None:
        self._view, self._bars, self._meter = view, bars, meter
        self._bar: TaskID = bars.add_task(meter.description, total=meter.total, note="", rate="")
        self._facts_shown_s = 0.0

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self._meter.advance(n_done, note)
        rate = speed_text(self._meter.per_s, self._meter.unit) if self._meter.per_s else ""
        self._bars.update(self._bar, advance=n_done, note=self._meter.note, rate=rate)
        if self._meter.ask and time.perf_counter() - self._facts_shown_s >= FACTS_INTERVAL_S:
            self._facts_shown_s = time.perf_counter()
            facts = self._meter.facts
            self._view.show_facts(facts.text if facts else "")

    def extend(self, n_more: int) -> None:
        self._meter.total += n_more
        self._bars.update(self._bar, total=self._meter.total)


def _columns() -> list[
    SpinnerColumn | TextColumn | BarColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn
]:
    return [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
