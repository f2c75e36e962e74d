"""Locks of results folders. A lock names its holder, and the system releases it when the holder dies."""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.files.disk import disk_errors
from faultbench.system.files.temporary_files import is_alive
from faultbench.system.printable import printable

_HELD = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of network disks that have no locks."""

RUNS = ".lock.runs"
"""Lock that all runs in a folder share, and that a command which moves the folder holds alone."""

ARTIFACTS = ".lock.artifacts"
"""Lock of the shard that trains networks and fits bounds for all shards."""

_HOLDER = re.compile(r"faultbench run on (\S+), process (\d+)")

BEAT_S = 10.0
"""Seconds between two touches of a run's lock, which show that the run is alive."""

SILENT_S = 600.0
"""A lock that another machine touched within this time counts as held, because not all disks share locks."""


@contextmanager
def locked(folder: Path, suffix: str = "") -> Iterator[bool]:
    """Hold the lock of a folder, or of one shard, inside the block. Yield False on a disk that has no locks.

    The folder is created if it is missing. FaultbenchError at once, with host and process, if another run holds it.
    """
    path = folder / f".lock{suffix}"
    with _opened(folder / RUNS) as runs:
        _acquire(runs, folder / RUNS, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with _opened(path) as file:
            is_held = _acquire(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _name_holder(file, path, f"faultbench run on {socket.gethostname()}, process {os.getpid()}\n")
            try:
                yield is_held
            finally:
                with suppress(EngineError):
                    _name_holder(file, path, "")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold all locks of an existing folder inside the block, so that no run, shard or merge writes there or starts.

    FaultbenchError at once, with its name, if one writes there. On a disk that has no locks, a run that touched its
    lock within the last minutes counts as one that writes.
    """
    with ExitStack() as files:
        for path in sorted({folder / RUNS, *folder.glob(".lock*")}, key=lambda path: path.name in (ARTIFACTS, RUNS)):
            file = files.enter_context(_opened(path))
            is_held = _acquire(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if problem := _writer_problem(file, path, is_held=is_held):
                raise FaultbenchError(problem)
        yield


def beat(folder: Path, suffix: str = "") -> None:
    """Touch a lock that this run holds, so that machines which do not see the lock see that the run is alive."""
    with suppress(OSError):
        os.utime(folder / f".lock{suffix}")


def _writer_problem(file: int, path: Path, *, is_held: bool) -> str:
    """Return which run seems to write in the folder although its lock was free; empty if none does."""
    holder = _HOLDER.match(_holder(file))
    if not holder:
        return ""
    host, process = holder[1], int(holder[2])
    silent_s = time.time() - os.fstat(file).st_mtime
    if host == socket.gethostname():
        writes = not is_held and process != os.getpid() and is_alive(process)
    else:
        writes = silent_s < SILENT_S
    writer = f"{path.parent}: {holder[0]} was writing here {max(0.0, silent_s):.0f} s ago"
    return f"{writer}; wait for it, use another -o, or remove {path} if it is gone" if writes else ""


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Wait until no other run is inside the block of this path. On a disk that has no locks, do not wait."""
    with _opened(path) as file:
        _acquire(file, path, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _acquire(file: int, path: Path, operation: int) -> bool:
    """Lock an open file. Return False on a disk that has no locks. FaultbenchError if another run holds the lock."""
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno in _HELD:
            raise FaultbenchError(
                f"{path.parent}: {_holder(file) or 'another run'} is writing here; wait for it or use another -o"
            ) from error
        if error.errno in _UNSUPPORTED:
            return False
        with disk_errors(path):
            raise
    _check_in_place(file, path)
    return True


def _check_in_place(file: int, path: Path) -> None:
    """Refuse a lock whose file is no longer at path, because its folder may move between opening and locking."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(file), path.stat()):
            return
    raise FaultbenchError(f"{path.parent}: was moved or removed just now; run the command again")


def _holder(file: int) -> str:
    return printable(os.pread(file, 200, 0).decode(errors="replace").strip())


def _name_holder(file: int, path: Path, name: str) -> None:
    with disk_errors(path):
        os.ftruncate(file, 0)
        os.pwrite(file, name.encode(), 0)
