"""Safe writing to disks that fill up, become read-only or lose power."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultbench.system.error_lines import disk_cause
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.files.destinations import is_stream, write_through
from faultbench.system.files.temporary_files import owned, temporary_of


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block, or a library's error that it caused, into an EngineError that names path."""
    try:
        yield
    except FaultbenchError:
        raise
    except Exception as error:
        # For example, a failed write of a PDF by matplotlib ends with an error of zlib about its stream.
        if (cause := error if isinstance(error, OSError) else disk_cause(error)) is None:
            raise
        raise unwritable(path, cause.strerror or str(cause)) from error


def unwritable(path: Path, reason: str) -> EngineError:
    """Return the error for a file that the disk refuses."""
    return EngineError(f"{path}: cannot be written: {reason}; fix that and run again: recorded results are kept")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path. After the block, the file written there replaces the file at `path`.

    Readers see the old file or the new one. Missing folders are created. After an exception the old file is unchanged,
    and the temporary one is removed. If `path` is a device or a pipe, the content is copied into it after the block.
    FaultbenchError if it is a folder or a link.
    """
    if is_stream(path):
        with _copied_into(path) as temporary:
            yield temporary
        return
    temporary = temporary_of(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with owned(temporary):
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)


def append_text(path: Path, text: str) -> None:
    """Add text to the end of a file, which is created if it is missing. EngineError if the disk refuses."""
    if is_stream(path):
        with _copied_into(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    else:
        with disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(text)


@contextmanager
def _copied_into(stream: Path) -> Iterator[Path]:
    with disk_errors(stream), tempfile.TemporaryDirectory(prefix="faultbench-") as folder:
        temporary = Path(folder) / stream.name
        yield temporary
        sys.stdout.flush()  # the stream may be standard output, and earlier output must come first
        write_through(temporary, stream)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
