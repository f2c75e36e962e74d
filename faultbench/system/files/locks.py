"""Who may write to a results folder: locks that name their holder and die with it."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import disk_errors

_HELD = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""What network disks without locks answer."""


@contextmanager
def locked(folder: Path, suffix: str = "") -> Iterator[bool]:
    """Hold the folder's lock, or that of one shard; gives False on a disk that knows no locks.

    The folder is made as needed. FaultbenchError at once, naming host and process, while another run holds it.
    """
    path = folder / f".lock{suffix}"
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        is_held = _acquired(file, path, blocking=False)
        _name_holder(file, path)
        yield is_held
    finally:
        os.close(file)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Wait until no other run is inside the block of this path; where there are no locks nobody waits."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquired(file, path, blocking=True)
        yield
    finally:
        os.close(file)


def _acquired(file: int, path: Path, *, blocking: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another run"
            raise FaultbenchError(f"{path.parent}: {holder} is writing here; wait for it or use another -o") from error
        if error.errno in _UNSUPPORTED:
            return False
        with disk_errors(path):
            raise
    return True


def _name_holder(file: int, path: Path) -> None:
    with disk_errors(path):
        os.ftruncate(file, 0)
        os.pwrite(file, f"faultbench run on {socket.gethostname()}, process {os.getpid()}\n".encode(), 0)
