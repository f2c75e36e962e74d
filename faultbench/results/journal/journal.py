"""Append-only journal of a results folder: a file of JSON lines per writer, with a CRC-32 per line.

A line is the record as JSON, a tab, the eight hex digits of the CRC-32 of the JSON bytes, and a newline. JSON escapes
tabs and newlines, so neither occurs inside a record, and a line is whole if and only if its CRC is right. A process
that is killed while it writes leaves one torn line; the next writer of that file starts on a new line, and readers drop
and count torn lines. To merge files of several machines, put them into one folder.
"""

import errno
import os
import re
import socket
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from faultbench.results.journal.lines import line
from faultbench.results.journal.records import Record
from faultbench.system.errors import EngineError
from faultbench.system.files.destinations import is_stream
from faultbench.system.files.disk import disk_errors

SYNC_EVERY_S = 1.0
"""Seconds between two syncs to disk: a power cut loses at most their records, which are run again on resuming."""


_WRITER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Journal:
    """File that one writer appends to; a context manager.

    folder is the journal folder itself and is made if it is missing. writer names the file in it and must be unique
    among processes that write at the same time. A full or read-only disk is an EngineError.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"a writer's name must match {_WRITER.pattern}, not {writer!r}")
        self.path = folder / f"{writer}.jsonl"
        is_stream(self.path)  # a link to another file is refused
        with disk_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            self._torn = _ends_torn(self._file)
            self._size = os.fstat(self._file).st_size
        self._synced_at_s = perf_counter()

    def append(self, record: Record) -> None:
        """Add a record; when this returns, the record survives the death of this process."""
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        with disk_errors(self.path):
            self._write(self._file, line(record))
            if perf_counter() - self._synced_at_s >= SYNC_EVERY_S:
                os.fsync(self._file)
                self._synced_at_s = perf_counter()
                self.check()

    def check(self) -> None:
        """Raise EngineError if the file is no longer where it was opened, or lost records that were written to it."""
        if self._file is None:
            return
        with disk_errors(self.path):
            mine = os.fstat(self._file)
            try:
                is_there = os.path.samestat(mine, self.path.stat())
            except OSError:
                is_there = False
        if is_there and mine.st_size >= self._size:
            return
        moved = _current_path(self._file) if mine.st_nlink and not is_there else None
        now = f"what this run recorded lies in {moved.parent}" if moved else "what this run recorded there may be lost"
        raise EngineError(f"{self.path}: was moved, removed or replaced while this run wrote to it; {now}")

    def close(self) -> None:
        """Sync everything to disk and close the file; closing twice is allowed."""
        file, self._file = self._file, None
        if file is None:
            return
        with disk_errors(self.path):
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, file: int, written: bytes) -> None:
        data = b"\n" + written if self._torn else written
        self._torn = True
        if os.write(file, data) != len(data):
            # A disk that fills up writes the first part of a line and reports it only by the count.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        self._size += len(data)


def writer_name() -> str:
    """Return the name of this machine's files; names differ between machines, so folders merge by copying."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-") or "run"


def _current_path(file: int) -> Path | None:
    """Return where an open file lies now; None if the system does not tell."""
    try:
        return Path(f"/proc/self/fd/{file}").readlink()
    except OSError:
        return None


def _ends_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
