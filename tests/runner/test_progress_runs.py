"""What `faultbench run` shows of itself: events that agree with the journal, lines in logs, a view on a terminal."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faultbench.results.journal.contents import read_journal

pytestmark = pytest.mark.slow

CAMPAIGN = """
name: small
datasets: [digits]
models: [digits_cnn]
training: {epochs: 8}
schemes: [relu, fitact]
bers: [1e-6, 1e-5]
trials: 6
"""
PROGRAM = [sys.executable, "-m", "faultbench", "run", "small.yaml", "--engine", "local", "--workers", "2"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the campaign, run once with events; they are in events.jsonl."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "small.yaml").write_text(CAMPAIGN)
    done = ran(folder, "--progress", "json")
    assert done.returncode == 0, done.stderr
    (folder / "events.jsonl").write_text(done.stderr)
    return folder


def ran(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *options], cwd=folder, capture_output=True, text=True, check=False)


def trained(lab: Path, root: str) -> None:
    """A root for results with the networks of the first run, but no trial yet."""
    shutil.copytree(lab / "results" / "small" / "artifacts", lab / root / "small" / "artifacts")
    shutil.copy(lab / "results" / "small" / "manifest.json", lab / root / "small")


def events(lab: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (lab / "events.jsonl").read_text().splitlines()]


def test_the_phases_of_a_run_come_in_order_and_each_ends_whole(lab: Path) -> None:
    ends = [event for event in events(lab) if event["event"] == "ended"]
    phases = ["train", "golden", "run", "fit", "golden", "run", "measure", "attribute"]  # cheap schemes first
    assert [event["phase"] for event in ends] == phases
    assert all(event["done"] == event["total"] for event in ends)
    starts = [event["task"] for event in events(lab) if event["event"] == "started"]
    assert sorted(starts) == sorted(event["task"] for event in ends)
    assert [event["at_s"] for event in events(lab)] == sorted(event["at_s"] for event in events(lab))


def test_the_totals_of_the_events_are_those_of_the_journal(lab: Path) -> None:
    *earlier, end = (event for event in events(lab) if event["event"] == "ended" and event["phase"] == "run")
    trials = read_journal(lab / "results" / "small" / "journal").trials
    facts = end["facts"]
    assert facts["recorded"] == sum(event["done"] for event in (*earlier, end)) == len(trials) == 24
    assert facts["quarantined"] == 0
    assert 1 <= facts["workers"] <= 2
    own = [trial for (cell, _), trial in trials.items() if cell == facts["cell"]]
    assert facts["trials"] <= len(own) == 6
    assert facts["accuracy_ci_low"] <= facts["accuracy_mean"] <= facts["accuracy_ci_high"]


def test_a_run_into_a_file_writes_plain_lines(lab: Path) -> None:
    trained(lab, "plain")
    done = ran(lab, "-o", "plain")
    assert done.returncode == 0
    assert "\x1b" not in done.stderr
    assert any(line.startswith("run trials: 24/24, ") and "2 workers" in line for line in done.stderr.splitlines())
    again = ran(lab, "-o", "plain")
    assert again.stderr == "no trial is missing\n"


def test_a_run_on_a_terminal_draws_a_view_and_leaves_the_cursor(lab: Path) -> None:
    trained(lab, "live")
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "-o", "live"], cwd=lab, stderr=terminal, stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "150", "LINES": "40"},
    )  # fmt: skip
    os.close(terminal)
    drawn = b""
    while True:
        try:
            drawn += os.read(main, 65536)
        except OSError:  # Linux tells so that nobody writes any more
            break
    os.close(main)
    assert process.wait() == 0
    text = drawn.decode()
    assert "run trials" in text
    assert "24/24" in text
    assert "trials/s" in text
    assert "2 workers, 0 quarantined" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
