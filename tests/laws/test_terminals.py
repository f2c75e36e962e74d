"""Standard output and error that are closed, full, without a reader, or for ASCII alone."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

CAMPAIGN = """
name: tiny
datasets: [digits]
models: [digits_cnn]
training: {epochs: 1}
schemes: [relu]
bers: [1e-6]
trials: 2
"""

ROOT = Path(__file__).parents[2]


def shell(line: str, folder: Path, variables: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """What bash makes of a line in which `faultbench` is the command."""
    (folder / "tiny.yaml").write_text(CAMPAIGN, encoding="utf-8")
    script = f'faultbench() {{ {sys.executable} -m faultbench "$@"; }}\n{line}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
        errors="surrogateescape",
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("verb", ["list schemes", "schema", "--help", "--version", "plan tiny.yaml --no-timing"])
def test_a_full_output_is_one_line_and_exit_code_4(verb: str, tmp_path: Path) -> None:
    done = shell(f"faultbench {verb} > /dev/full", tmp_path)
    assert done.returncode == 4
    assert done.stderr == "faultbench: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("verb", ["list schemes", "schema", "--help", "validate tiny.yaml"])
def test_a_closed_output_is_one_line_and_exit_code_2(verb: str, tmp_path: Path) -> None:
    done = shell(f"faultbench {verb} >&-", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "faultbench: standard output is closed; send it to a file, or to /dev/null\n"


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full"])
def test_errors_that_cannot_be_told_leave_the_exit_code_and_the_output_alone(to: str, tmp_path: Path) -> None:
    good, bad = (shell(f"faultbench validate {name} {to}", tmp_path) for name in ("tiny.yaml", "missing.yaml"))
    assert (good.returncode, bad.returncode) == (0, 2)
    assert good.stdout == shell("faultbench validate tiny.yaml", tmp_path).stdout
    assert bad.stdout == ""


def test_a_file_never_gets_the_number_of_a_closed_output(tmp_path: Path) -> None:
    program = (
        "import os, faultbench.system.standard_streams as outputs; outputs.guard(); "
        "opened = os.open('journal', os.O_RDWR | os.O_CREAT); os.write(2, b'a warning of a library'); "
        "print(opened > 2, os.fstat(opened).st_size)"
    )
    done = shell(f'{sys.executable} -c "{program}" 2>&- <&-', tmp_path)
    assert done.stdout == "True 0\n"


def test_a_reader_that_goes_away_ends_nothing_and_is_no_error(tmp_path: Path) -> None:
    done = shell("faultbench schema | head -c 10; echo ${PIPESTATUS[0]}", tmp_path)
    assert done.stdout.endswith("0\n")
    assert done.stderr == ""


ENCODINGS: Mapping[str, Mapping[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("verb", ["plan tiny.yaml --no-timing", "list schemes", "validate missing.yaml", "--help"])
def test_a_terminal_without_unicode_gets_the_same_lines_in_its_own_letters(
    verb: str, encoding: str, tmp_path: Path
) -> None:
    usual, done = shell(f"faultbench {verb}", tmp_path), shell(f"faultbench {verb}", tmp_path, ENCODINGS[encoding])
    assert done.returncode == usual.returncode
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == len(usual.stdout.splitlines())


def test_what_ascii_lacks_is_spelled(tmp_path: Path) -> None:
    program = "import faultbench.system.standard_streams as outputs; outputs.guard(); print('±1.5 × 2 … é')"
    done = shell(f'{sys.executable} -c "{program}"', tmp_path, ENCODINGS["ascii"])
    assert done.stdout == "+/-1.5 x 2 ... \\xe9\n"


def test_a_name_that_is_no_unicode_is_told(tmp_path: Path) -> None:
    done = shell("faultbench validate $'caf\\xe9.yaml'", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
