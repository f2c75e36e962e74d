"""Tables on a terminal of 80 columns: no line is longer, whatever the campaign."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.builders.results import ArtificialCampaign

SCHEMES = ["relu", "hyrelu_proact", "Clip-Act with one bound per channel, quantile 0.999"]
CAMPAIGN = """
name: wide
datasets: [digits]
models: [{name: digits_cnn, label: a small network under a long name}]
schemes: [relu, clip_act, {name: hyrelu_proact, label: HyReLU and ProAct as published}]
formats: [q15.16, float32]
bers: [1e-7, 3e-6]
trials: 1000
"""


def on_a_terminal(*words: str | Path, columns: int = 80) -> str:
    """Run a verb with stdout on a terminal of this width; return what it shows without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "faultbench", *map(str, words)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[\d;]*m", "", shown.decode()).replace("\r", "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux raises it after the last writer has closed the terminal
        return b""


def table_lines(text: str) -> list[str]:
    """Return the lines from the first to the last row of the tables."""
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if "──" in line or "━━" in line]
    return [line for line in lines[rules[0] - 1 :] if re.search(r"\S {2,}\S|──", line)]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return ArtificialCampaign(schemes=SCHEMES, models=["a small network", "a large network"]).write(tmp_path)


def test_status_fits(results: Path) -> None:
    lines = table_lines(on_a_terminal("status", results))
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["model", "scheme", "BER", "done", "missing", "quarantined"]


def test_compare_fits(results: Path) -> None:
    text = on_a_terminal("compare", results, "relu", "hyrelu_proact")
    assert max(map(len, table_lines(text))) <= 80
    assert "difference" in text
    wide = on_a_terminal("compare", results, "relu", "hyrelu_proact", columns=200)
    assert "pairing" in table_lines(wide)[0]


def test_plan_fits(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text(CAMPAIGN)
    text = on_a_terminal("plan", tmp_path / "wide.yaml", "--no-timing")
    assert max(map(len, table_lines(text))) <= 80
    assert "missing" in text
    assert "Left out of this narrow table: " in text


@pytest.mark.parametrize("kind", ["schemes", "faults", "models", "datasets"])
def test_list_fits(kind: str) -> None:
    lines = on_a_terminal("list", kind).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("    ") for line in lines)
