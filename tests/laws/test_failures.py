"""Whatever ends a command ends it as one line with an exit code that says what kind it is, and is never 1."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from faultbench.cli import main as command
from faultbench.system.error_lines import as_faultbench_error, explain
from faultbench.system.errors import EngineError, FaultbenchError, OutOfTime
from faultbench.system.files.disk import disk_errors, replaced


class SomeLibraryError(Exception):
    """What nobody here has heard of."""


FAILURES = {
    "a library's own": (
        SomeLibraryError("it broke\nfor many reasons"),
        4,
        "SomeLibraryError: it broke for many reasons",
    ),
    "without a word": (SomeLibraryError(), 4, "SomeLibraryError"),
    "an assertion": (AssertionError("never"), 4, "AssertionError: never"),
    "a missing key": (KeyError("torch"), 4, "KeyError: 'torch'"),
    "a full disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 4, "No space left on device"),
    "a path that is too long": (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), 2, "aaa: File name too"),
    "a path that is a folder": (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 2, "x: Is a directory"),
    "no memory": (MemoryError(), 4, "out of memory"),
    "no memory for a tensor": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 4, "out of memory"),
    "too deep": (RecursionError("maximum recursion depth exceeded"), 2, "nested too deeply"),
    "a broken import": (ImportError("libcudart.so.12: cannot open"), 4, "libcudart.so.12: cannot open"),
    "an exit of a plug-in": (SystemExit(1), 4, "sys.exit"),
    "an exit that claims success": (SystemExit(0), 4, "sys.exit"),
    "an exit of click's": (click.ClickException("no such thing"), 2, "no such thing"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
    "Ctrl-C at a question": (click.Abort(), 130, "interrupted"),
    "ours": (OutOfTime("the time limit is reached"), 75, "the time limit is reached"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_whatever_a_verb_raises_is_one_line_and_never_exit_code_1(
    case: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error, code, words = FAILURES[case]

    def raise_it(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command.faultbench, "main", raise_it)
    monkeypatch.setattr(sys, "argv", ["faultbench", "list"])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == code
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("faultbench: ")
    assert words in line


def test_debug_shows_the_traceback_with_the_same_exit_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def raise_it(*_: object, **__: object) -> None:
        raise SomeLibraryError("it broke")

    monkeypatch.setattr(command.faultbench, "main", raise_it)
    monkeypatch.setattr(sys, "argv", ["faultbench", "list", "--debug"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 4
    assert "Traceback" in capfd.readouterr().err


FULL = "raise OSError(28, 'No space left on device')"

VERBS = {
    "raises when it is imported": ("raise RuntimeError('half installed')", "RuntimeError: half installed"),
    "is no Python": ("def", "SyntaxError"),
    "raises in a thread": (
        f"import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()\n{FULL}",
        "No space left",
    ),
    "raises when it is thrown away": (
        f"class Closed:\n    def __del__(self):\n        1 / 0\n\nClosed()\n{FULL}",
        "No space left",
    ),
}


@pytest.mark.parametrize("case", VERBS)
def test_a_verb_that_cannot_be_imported_is_one_line(case: str, tmp_path: Path) -> None:
    source, words = VERBS[case]
    (tmp_path / "broken.py").write_text(source, encoding="utf-8")
    program = (
        "import sys, faultbench.cli.verbs, faultbench.cli.main as command; "
        f"faultbench.cli.verbs.__path__.append({str(tmp_path)!r}); "
        "command.Verbs.list_commands = lambda self, ctx: ['broken']; "
        "sys.argv = ['faultbench', 'broken']; command.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert words in done.stderr.splitlines()[-1]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    program = f"cd {folder} && rmdir {folder} && {sys.executable} -m faultbench list schemes --plugin lab"
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])}
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr == "faultbench: the current folder no longer exists; change to another one\n"


def test_a_disk_that_is_full_is_found_behind_what_a_library_makes_of_it(tmp_path: Path) -> None:
    def write() -> None:
        with replaced(tmp_path / "figure.pdf"):
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            finally:
                raise SomeLibraryError("inconsistent stream state")

    with pytest.raises(EngineError, match=r"figure\.pdf: cannot be written: No space left on device"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_no_disk_is_to_blame_for_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(SomeLibraryError), disk_errors(tmp_path):
        raise SomeLibraryError
    with pytest.raises(FaultbenchError, match="ours"), disk_errors(tmp_path):
        raise FaultbenchError("ours")
    with pytest.raises(TypeError), as_faultbench_error():
        raise TypeError("the caller's own")


def test_a_librarys_words_are_cut_to_a_bounded_line() -> None:
    line = str(explain(SomeLibraryError("word " * 100_000)))
    assert len(line) < 1000
    assert "\n" not in line
