"""Conversion of errors of Python, its libraries and the machine to one line that a user can act on."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from faultbench.system.errors import EngineError, FaultbenchError, Interrupted
from faultbench.system.printable import shortened

LONGEST = 500
"""Most characters of a library's error that are repeated."""

_PATH_ERRORS = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.EEXIST,
    }
)
"""Errors that a wrong path can cause. The machine causes the other errors of the operating system."""

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

_NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory")


@contextmanager
def as_faultbench_error() -> Iterator[None]:
    """Turn errors of the machine inside the block, such as a full disk or a bad path, into a FaultbenchError.

    Errors of the caller's own code, such as a TypeError, pass unchanged.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise explain(error) from error


def disk_cause(error: BaseException) -> OSError | None:
    """Return the first error, among this one and its causes, that says that a disk is full, broken or read-only."""
    visited: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in visited:
        if isinstance(current, OSError) and current.errno in _DISK_ERRORS:
            return current
        visited.append(current)
        current = current.__cause__ or current.__context__
    return None


def explain(error: BaseException) -> FaultbenchError:
    """Return the FaultbenchError that ends the command after an error. It is the error itself if it is one already.

    The exit code is 2 if a given path or input is wrong. It is 4 for everything else, because running again may help.
    """
    match error:
        case FaultbenchError():
            return error
        case KeyboardInterrupt():
            return Interrupted("interrupted; run the same command again to go on")
        case MemoryError():
            return EngineError("out of memory; use fewer --workers, a smaller network, or a machine with more memory")
        case RecursionError():
            return FaultbenchError("an input is nested too deeply to be read; --debug shows where")
        case OSError():
            return _explain_system_error(error)
        case ImportError():
            return EngineError(f"cannot be imported: {_words(error)}; `faultbench doctor` says what is missing")
        case SystemExit():
            return EngineError("a plug-in or a library ended the process by sys.exit; --debug shows where")
        case _ if any(text in str(error) for text in _NO_MEMORY):
            return EngineError(f"out of memory: {_words(error)}; use fewer --workers, or another device")
        case _:
            note = "".join(f" ({note})" for note in getattr(error, "__notes__", ())[:1])
            return EngineError(f"unexpected {type(error).__name__}: {_words(error)}{note}; --debug shows the traceback")


def _explain_system_error(error: OSError) -> FaultbenchError:
    kind = FaultbenchError if error.errno in _PATH_ERRORS else EngineError
    reason = error.strerror or _words(error)
    if error.filename is not None:
        return kind(f"{os.fsdecode(error.filename)}: {reason}")
    if not _has_working_folder():
        return FaultbenchError("the current folder no longer exists; change to another one")
    if isinstance(error, FileNotFoundError) and "temporary directory" in reason:
        return EngineError(f"{reason}; set TMPDIR to a folder that can be written")
    return kind(f"{reason}; --debug shows where")


def _has_working_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same and would need an import
    except OSError:
        return False
    return True


def _words(error: BaseException) -> str:
    """Return the error's message as one line of limited length, or its type if it has no message."""
    return shortened(" ".join(str(error)[: 10 * LONGEST].split()), LONGEST) or type(error).__name__
