"""What users see of a long run: plain lines with rates, live bars on a terminal, nothing where nobody looks."""

import io
import re

import pytest

from faultbench import progress
from faultbench.progress import Plain, Rich, Silent, reporter, speed_text


class Clock:
    """Time that passes only when told to."""

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
    with Plain(stream).task("train digits_cnn", 40, unit="epochs") as task:
        for epoch in range(40):
            clock.now_s += 0.5
            task.advance(note=f"loss {epoch}" if epoch < 20 else "")
    assert stream.getvalue() == "train digits_cnn: 40/40, loss 19, 20.0 s, 2.0 epochs/s\n"


def test_a_long_plain_task_writes_a_line_every_30_seconds(stream: io.StringIO, clock: Clock) -> None:
    with Plain(stream).task("trials", 100, unit="trials") as task:
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
    with Plain(stream).task("fit", 150, unit="epochs") as task:
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
    with Plain(stream).task("load", 2) as task:
        clock.now_s += 1
        task.advance(2)
    with Plain(stream).task("at once", 1, unit="files") as task:
        task.advance()
    assert stream.getvalue().splitlines() == ["load: 2/2, 1.0 s", "at once: 1/1, 0.0 s"]


def test_units_done_elsewhere_are_counted_as_told(stream: io.StringIO, clock: Clock) -> None:
    with Plain(stream).task("sites", 5) as task:
        task.advance(0, note="site 1: decay 4e-01")
        task.advance(3)
    assert stream.getvalue() == "sites: 3/5, site 1: decay 4e-01, 0.0 s\n"


def test_a_plain_message_is_a_line(stream: io.StringIO) -> None:
    Plain(stream).say("[cell 3] done")
    assert stream.getvalue() == "[cell 3] done\n"


def test_plain_lines_go_to_stderr_so_that_stdout_is_for_results(capfd: pytest.CaptureFixture[str]) -> None:
    Plain().say("working")
    assert capfd.readouterr() == ("", "working\n")


def test_silence_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with Silent().task("train", 2, unit="epochs") as task:
        task.advance(note="loss 1")
        task.advance(1)
    Silent().say("done")
    assert capfd.readouterr() == ("", "")


def test_a_rich_task_and_its_messages_go_to_stderr_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    shown = Rich()
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
    [(None, True, Rich), (None, False, Plain), ("plain", True, Plain), ("rich", False, Rich)],
)
def test_bars_are_for_terminals_unless_asked_for(kind: str | None, is_terminal: bool, expected: type) -> None:
    assert type(reporter(kind, is_terminal=is_terminal)) is expected
