"""Resume command of a run that stopped early, which its error names."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from faultbench.cli.old_spellings import current_spelling
from faultbench.system.error_lines import explain
from faultbench.system.errors import EngineError, FaultbenchError, Interrupted, OutOfTime


@contextmanager
def resumable(folder: Path, *, fresh: bool) -> Iterator[None]:
    """Add the command that resumes the run to errors that are not the user's mistake.

    The command is without --fresh if an earlier results folder was already archived.
    """
    from faultbench.system.signals import StopNow

    before = _identity(folder)
    try:
        yield
    except StopNow as halt:
        explanation: FaultbenchError = halt.error
        cause: BaseException = halt
    except (EngineError, OutOfTime, Interrupted, OSError, MemoryError) as error:
        explanation, cause = explain(error), error
        if not isinstance(explanation, EngineError | OutOfTime | Interrupted):
            raise explanation from error
    else:
        return
    is_begun = fresh and (before is None or _identity(folder) != before)
    raise type(explanation)(f"{explanation}; to go on: {this_command(is_begun=is_begun)}") from cause


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of the folder, which differ if another folder takes its place."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def this_command(*, is_begun: bool) -> str:
    """Return the command line to type again; --fresh is left out once the run has begun, or its work would be lost."""
    program, *words = sys.argv
    context = click.get_current_context(silent=True)
    if context:
        words = current_spelling(context.command, words).words
    if is_begun:
        words = [word for word in words if word != "--fresh"]
    if Path(program).name == "__main__.py":
        return shlex.join([sys.executable, "-m", "faultbench", *words])
    return shlex.join([program, *words])
