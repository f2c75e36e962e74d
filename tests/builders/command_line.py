"""Runner of the `faultbench` command in the test's own process, which imports torch only once."""

import io
import subprocess
import sys
import threading
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from faultbench.cli.main import main


def faultbench(*arguments: object, cwd: Path = Path()) -> "subprocess.CompletedProcess[str]":
    """Run a verb in a folder as `main` runs it, and return its exit code and its output.

    The settings that `main` makes for the process are undone. A test of signals, imports, descriptors or Python's exit
    needs a process of its own.
    """
    command = ["faultbench", *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        chdir(cwd),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", command)
        patch.setattr(threading, "excepthook", threading.excepthook)
        patch.setattr(sys, "unraisablehook", sys.unraisablehook)
        with pytest.raises(SystemExit) as ended:
            main()
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(command, ended.value.code, output.getvalue(), errors.getvalue())
