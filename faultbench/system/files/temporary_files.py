"""Temporary files, each locked by the process that writes it. Files of dead processes are removed.

A process that is killed while it writes leaves its file behind. The kernel releases the lock when a process dies, on
whatever machine. On a disk without locks, the process number shows whether a process of this machine is alive. For a
process of another machine, the age of the file decides.
"""

import errno
import fcntl
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"\.(.+\.(?:json|jsonl|safetensors|csv|parquet|pdf|svg|png|html|xml))\.(.+)\.(\d+)")
"""Name of a temporary file: the final name, host and process. Other programs do not use such names."""

SETTLED_S = 3600.0
"""Age in seconds after which an unlocked file has no writer.

A younger one may be about to be locked. An older one was left by a dead process, even if a new process has its number.
"""

FORGOTTEN_S = 86400.0
"""Age in seconds after which a file of another machine has no writer, on a disk without locks."""


def temporary_of(path: Path) -> Path:
    """Return the name of this process's temporary file for path, in the same folder."""
    # The name holds the host, because shards on several machines may share the disk.
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")


@contextmanager
def owned(temporary: Path) -> Iterator[None]:
    """Create an empty temporary file and lock it inside the block. After the block, remove it if it is still there."""
    temporary.unlink(missing_ok=True)  # it may be a link that somebody else put there
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of dead writers below a folder. Files that cannot be read or removed stay."""
    for path in folder.rglob(".*"):
        if (match := _NAME.fullmatch(path.name)) and _is_dead(path, match[2], int(match[3])):
            with suppress(OSError):
                path.unlink()


def _is_dead(path: Path, host: str, process: int) -> bool:
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            return False
        age_s, is_ours = time.time() - state.st_mtime, host == socket.gethostname()
        is_dead_here = is_ours and not is_alive(process)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            is_held = error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
            return not is_held and (is_dead_here or (not is_ours and age_s > FORGOTTEN_S))
        return is_dead_here or age_s > SETTLED_S
    finally:
        os.close(file)


def is_alive(process: int) -> bool:
    """Return whether a process of this machine is alive, whichever user it belongs to."""
    try:
        os.kill(process, 0)
    except OverflowError:
        return False
    except OSError as error:
        return error.errno == errno.EPERM
    return True
