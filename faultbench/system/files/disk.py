"""Writing to disks that fill up, turn read-only or lose power."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultbench.system.errors import EngineError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError from inside into an EngineError that names path."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"{path}: cannot be written: {error.strerror or error}; mend that and run again: what is recorded is kept"
        ) from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of `path` at the end.

    Readers see the old file or the new one. Folders are made as needed. After an exception the old file
    stands and nothing is left beside it.
    """
    # With the host's name, because shards on several machines may share the disk.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
