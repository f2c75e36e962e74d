"""Tests of the progress of a long run: lines with rates, live bars on a terminal, or nothing in libraries."""

import io
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from faultbench.system.progress import reporter as progress
from faultbench.system.progress.json_reporter import JsonReporter
from faultbench.system.progress.line_reporter import LineReporter
from faultbench.system.progress.live_reporter import LiveReporter, _View
from faultbench.system.progress.reporter import SilentReporter, Task, reporter, speed_text


class Clock:
    """Clock whose time passes only when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_a_plain_task_ends_with_what_was_done_the_last_note_the_time_and_the_rate(
    stream: io.StringIO, clock: Clock
) -> None:
    with LineReporter(stream).task("train digits_cnn", 40, unit="epochs") as task:
        for epoch in range(40):
            clock.now_s += 0.5
            task.advance(note=f"loss {epoch}" if epoch < 20 else "")
    assert stream.getvalue() == "train digits_cnn: 40/40, loss 19, 20.0 s, 2.0 epochs/s\n"


def test_a_long_plain_task_writes_a_line_every_30_seconds(stream: io.StringIO, clock: Clock) -> None:
    with LineReporter(stream).task("trials", 100, unit="trials") as task:
        for _ in range(10):
            clock.now_s += 10.0
            task.advance(10)
    assert stream.getvalue().splitlines() == [
        "trials: 30/100, 30.0 s, 1.0 trials/s",
        "trials: 60/100, 60.0 s, 1.0 trials/s",
        "trials: 90/100, 90.0 s, 1.0 trials/s",
        "trials: 100/100, 100.0 s, 1.0 trials/s",
    ]


def test_a_slow_task_tells_how_long_each_unit_takes(stream: io.StringIO, clock: Clock) -> None:
    with LineReporter(stream).task("fit", 150, unit="epochs") as task:
        clock.now_s += 234.0
        task.advance(10)
        clock.now_s += 1
    assert stream.getvalue().splitlines() == [
        "fit: 10/150, 234.0 s, 23.4 s/epoch",
        "fit: 10/150, 235.0 s, 23.5 s/epoch",
    ]
    assert [speed_text(speed, "sites") for speed in (0.0, 0.49, 0.5, 12.34)] == [
        "0.0 sites/s",
        "2.0 s/site",
        "0.5 sites/s",
        "12.3 sites/s",
    ]


def test_a_task_without_a_unit_or_without_time_has_no_rate(stream: io.StringIO, clock: Clock) -> None:
    with LineReporter(stream).task("load", 2) as task:
        clock.now_s += 1
        task.advance(2)
    with LineReporter(stream).task("at once", 1, unit="files") as task:
        task.advance()
    assert stream.getvalue().splitlines() == ["load: 2/2, 1.0 s", "at once: 1/1, 0.0 s"]


def test_units_done_elsewhere_are_counted_as_told(stream: io.StringIO, clock: Clock) -> None:
    with LineReporter(stream).task("sites", 5) as task:
        task.advance(0, note="site 1: decay 4e-01")
        task.advance(3)
    assert stream.getvalue() == "sites: 3/5, site 1: decay 4e-01, 0.0 s\n"


def test_a_plain_message_is_a_line(stream: io.StringIO) -> None:
    LineReporter(stream).say("[cell 3] done")
    assert stream.getvalue() == "[cell 3] done\n"


def test_plain_lines_go_to_stderr_so_that_stdout_is_for_results(capfd: pytest.CaptureFixture[str]) -> None:
    LineReporter().say("working")
    assert capfd.readouterr() == ("", "working\n")


def test_silence_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with SilentReporter().task("train", 2, unit="epochs") as task:
        task.advance(note="loss 1")
        task.advance(1)
    SilentReporter().say("done")
    assert capfd.readouterr() == ("", "")


def test_a_rich_task_and_its_messages_go_to_stderr_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    shown = LiveReporter()
    with shown.task("train", 4, unit="epochs") as task:
        task.advance(3, note="loss 0.5")
        shown.say("[bold]not markup[/bold]")
        task.advance()
    out, err = capfd.readouterr()
    assert out == ""
    assert "[bold]not markup[/bold]" in err
    assert re.search(r"train .*4/4.*loss 0\.5", err)


@pytest.mark.parametrize(
    ("kind", "is_terminal", "expected"),
    [
        (None, True, LiveReporter),
        (None, False, LineReporter),
        ("plain", True, LineReporter),
        ("rich", False, LiveReporter),
        ("json", True, JsonReporter),
    ],
)
def test_bars_are_for_terminals_unless_asked_for(kind: str | None, is_terminal: bool, expected: type) -> None:
    assert type(reporter(kind, is_terminal=is_terminal)) is expected


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_tell_when_a_task_begins_how_far_it_is_once_a_second_and_when_it_ends(
    stream: io.StringIO, clock: Clock
) -> None:
    events = JsonReporter(stream)
    clock.now_s += 2
    with events.task("train net", 10, unit="epochs") as task:
        for epoch in range(10):
            clock.now_s += 0.4
            task.advance(note=f"loss {epoch}")
    kinds = [(event["event"], event["done"], event["note"]) for event in told(stream)]
    assert kinds == [
        ("started", 0, ""), ("advanced", 3, "loss 2"), ("advanced", 6, "loss 5"), ("advanced", 9, "loss 8"),
        ("ended", 10, "loss 9"),
    ]  # fmt: skip
    first, last = told(stream)[0], told(stream)[-1]
    assert first["per_s"] is first["left_s"] is None
    assert {key: last[key] for key in ("version", "at_s", "phase", "task", "total", "unit", "facts")} == {
        "version": 1, "at_s": 6.0, "phase": "train", "task": "train net", "total": 10, "unit": "epochs", "facts": {},
    }  # fmt: skip
    assert (last["elapsed_s"], last["per_s"], last["left_s"]) == (4.0, 2.5, 0.0)


def _advance_and_stop(task: Task) -> None:
    task.advance()
    raise KeyboardInterrupt


def test_a_task_that_fails_ends_as_an_event_where_it_was(stream: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), JsonReporter(stream).task("fit net", 3, unit="sites") as task:
        _advance_and_stop(task)
    assert [(event["event"], event["done"]) for event in told(stream)] == [("started", 0), ("ended", 1)]


def test_messages_of_any_text_are_one_event_a_line(stream: io.StringIO) -> None:
    JsonReporter(stream).say("two\nlines, “quoted” \x1b[1m", "quarantine")
    (event,) = told(stream)
    assert (event["event"], event["sort"], event["message"]) == ("said", "quarantine", "two\nlines, “quoted” \x1b[1m")


@dataclass(frozen=True)
class Standing:
    """Facts that a test shows."""

    text: str = "relu BER 1e-6: 93.4%"

    @property
    def record(self) -> dict[str, Any]:
        return {"accuracy_mean": 0.934}


def test_facts_stand_in_lines_and_events(stream: io.StringIO, clock: Clock) -> None:
    for shown in (LineReporter(stream), JsonReporter(stream)):
        with shown.task("run trials", 4, unit="trials", facts=Standing) as task:
            clock.now_s += 2
            task.advance(2)
    line, *events = stream.getvalue().splitlines()
    assert line == "run trials: 2/4, 2.0 s, 1.0 trials/s, 2 s left; relu BER 1e-6: 93.4%"
    assert [json.loads(event)["facts"] for event in events] == 3 * [{"accuracy_mean": 0.934}]


def test_facts_are_asked_for_once_a_second_at_most(stream: io.StringIO, clock: Clock) -> None:
    n_asked = []
    for shown in (JsonReporter(stream), LiveReporter(Console(file=io.StringIO(), force_terminal=True))):
        n_asked.append(0)

        def ask() -> Standing:
            n_asked[-1] += 1
            return Standing()

        with shown.task("run trials", 1000, unit="trials", facts=ask) as task:
            for _ in range(1000):
                clock.now_s += 0.01
                task.advance()
    assert max(n_asked) <= 13  # once a second for 10 s, and once at the beginning and the end


def test_the_live_view_shows_all_open_tasks_and_below_them_how_the_trials_stand() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140, color_system=None)
    shown = LiveReporter(console)
    with shown.task("golden runs", 2, unit="networks") as outer:
        with shown.task("fit [bold]net", 3, unit="sites") as inner:
            inner.advance(3, note="bound 2.5")
        outer.advance(2)
    with shown.task("run trials", 4, unit="trials", facts=Standing) as task:
        task.advance(4)
    drawn = screen.getvalue()
    assert re.search(r"golden runs .*2/2", drawn)
    assert re.search(r"fit \[bold\]net .*3/3.*bound 2\.5", drawn)
    assert re.search(r"run trials .*4/4", drawn)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 2  # each of the two views shows the cursor again


def test_facts_are_drawn_below_the_bars() -> None:
    view = _View(Console(file=io.StringIO(), force_terminal=True, width=60))
    view.show_facts("relu BER 1e-6: 93.4%" + " and more" * 20)
    screen = Console(file=io.StringIO(), width=60, color_system=None)
    screen.print(view._render())
    view.close()
    assert screen.file.getvalue().splitlines()[-1].startswith("  relu BER 1e-6: 93.4%")
    assert len(screen.file.getvalue().splitlines()[-1]) <= 60


def test_a_live_view_closes_when_its_task_fails() -> None:
    screen = io.StringIO()
    shown = LiveReporter(Console(file=screen, force_terminal=True))
    with pytest.raises(ValueError, match="broken"), shown.task("fit", 2):
        raise ValueError("broken")
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1
