"""The append-only journal of a results folder: one file of JSON lines a writer, a CRC-32 a line.

A line is the record as JSON, a tab, the eight hex digits of the JSON bytes' CRC-32, a newline. JSON escapes
tabs and newlines, so neither occurs inside a record, and a line is whole exactly when its CRC is right. A
process killed in mid-write leaves one torn line; the next writer of that file starts on a new line, and
readers drop and count what is torn. Files from several machines are merged by putting them into one folder.
"""

import errno
import json
import os
import re
import socket
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeVar

from faultbench.results.journal.records import Golden, Overhead, Quarantine, Record, Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.results.journal.trial_columns import TrialColumns, TrialTable
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import disk_errors

SYNC_EVERY_S = 1.0
"""A power cut loses at most the records of so many seconds; they are run again on resuming."""

AnyRecord = Trial | Golden | Overhead | Quarantine | Hazards | Strata

K = TypeVar("K")
R = TypeVar("R", Trial, Golden, Hazards, Strata)

_WRITER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KINDS: dict[str, type[AnyRecord]] = {
    kind.KIND: kind for kind in (Trial, Golden, Overhead, Quarantine, Hazards, Strata)
}


class Journal:
    """The file that one writer appends to; a context manager.

    folder is the journal folder itself and is made when missing; writer names the file in it and must be
    unique among processes that write at the same time. A full or read-only disk is an EngineError.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"a writer's name must match {_WRITER.pattern}, not {writer!r}")
        self.path = folder / f"{writer}.jsonl"
        with disk_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            self._torn = _ends_torn(self._file)
        self._synced_at_s = perf_counter()

    def append(self, record: Record) -> None:
        """Add a record; it survives the death of this process from here on."""
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        with disk_errors(self.path):
            self._write(self._file, line(record))
            if perf_counter() - self._synced_at_s >= SYNC_EVERY_S:
                os.fsync(self._file)
                self._synced_at_s = perf_counter()

    def close(self) -> None:
        """Bring everything to the disk and close the file; closing twice is allowed."""
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
            # A disk that fills up takes the first part of a line and says so only by the count.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False


def writer_name() -> str:
    """What this machine's files are called: each has its own, so that folders of several merge by copying."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-") or "run"


@dataclass(frozen=True)
class JournalContents:
    """What a journal folder holds, merged over its files.

    goldens, overheads and hazards go by subject, strata by cell, trials and quarantined ones by cell and number, no
    trial being both; `n_damaged` lines were torn, altered or of no known kind.
    """

    goldens: Mapping[str, Golden] = field(default_factory=dict)
    trials: TrialTable = field(default_factory=TrialTable)
    overheads: Mapping[str, Overhead] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, int], Quarantine] = field(default_factory=dict)
    n_damaged: int = 0
    hazards: Mapping[str, Hazards] = field(default_factory=dict)
    strata: Mapping[str, Strata] = field(default_factory=dict)


def read_journal(folder: Path) -> JournalContents:
    """Everything that the files of a journal folder hold, as `read_journals` has it."""
    return read_journals([folder])


def read_journals(folders: Sequence[Path]) -> JournalContents:
    """Everything that the files of journal folders hold; a missing folder holds nothing.

    Equal golden runs, trials, hazards and strata merge; two that differ for one name are a FaultbenchError, since a
    trial is a function of its cell and number. An overhead is a measurement: the last one in the order of files wins. A
    quarantined trial that was run after all is a trial.
    """
    goldens: dict[str, Golden] = {}
    trials: list[tuple[Path, TrialColumns]] = []
    overheads: dict[str, Overhead] = {}
    quarantined: dict[tuple[str, int], Quarantine] = {}
    hazards: dict[str, Hazards] = {}
    strata: dict[str, Strata] = {}
    n_damaged = 0
    for path, found in chain.from_iterable(map(_records, folders)):
        if isinstance(found, TrialColumns):
            trials.append((path, found))
            continue
        trials.append((path, TrialColumns.of(record for record in found if isinstance(record, Trial))))
        for record in found:
            match record:
                case Golden():
                    _merge(goldens, record.subject, record, path)
                case Overhead():
                    overheads[record.subject] = record
                case Quarantine():
                    quarantined[record.cell, record.trial] = record
                case Hazards():
                    _merge(hazards, record.subject, record, path)
                case Strata():
                    _merge(strata, record.cell, record, path)
                case None:
                    n_damaged += 1
    merged = TrialTable.merged(trials)
    if not isinstance(merged, TrialTable):
        raise _conflict(*merged)
    still = {name: record for name, record in quarantined.items() if name not in merged}
    return JournalContents(goldens, merged, overheads, still, n_damaged, hazards, strata)


def line(record: Record) -> bytes:
    """A record as a line of a journal file."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"%s\t%08x\n" % (text, zlib.crc32(text))


def _records(folder: Path) -> Iterator[tuple[Path, TrialColumns | Sequence[AnyRecord | None]]]:
    """What the lines of a folder's files hold, in order; None for one that is torn, altered or of no known kind."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FaultbenchError(f"{path}: cannot be read: {error.strerror}") from error
        # An empty line is what a writer leaves that met a full disk before its first byte.
        lines = [text for text in data.split(b"\n") if text]
        for start in range(0, len(lines), _N_TOGETHER):
            for found in _recorded([*_parsed(lines[start : start + _N_TOGETHER])]):
                yield path, found


_N_TOGETHER = 500
"""Lines that are read at once, in half the time that they take one by one."""

_DECODER = json.JSONDecoder()


def _parsed(lines: Sequence[bytes]) -> Iterator[Any]:
    """The JSON of each line; None for one that is torn or altered."""
    try:
        together = _DECODER.decode((b"[%s]" % b",".join(map(checked, lines))).decode())
        if len(together) == len(lines):
            return iter(together)
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
        pass
    return map(_parsed_alone, lines)


def _parsed_alone(whole: bytes) -> Any:
    try:
        decoded = checked(whole).decode()
        record, end = _DECODER.raw_decode(decoded)  # half the time of decode, which allows for blanks
    except (ValueError, RecursionError):
        return None
    return record if end == len(decoded) else None


def checked(whole: bytes) -> bytes:
    """The JSON of a line as it is written; ValueError unless its CRC-32 is right."""
    text, _, digits = whole.rpartition(b"\t")
    if digits != b"%08x" % zlib.crc32(text):
        raise ValueError("the line's CRC-32 is wrong")
    return text


def _recorded(several: Sequence[Any]) -> Iterator[TrialColumns | Sequence[AnyRecord | None]]:
    """The trials together, if they are sound and alike, whatever stands between them."""
    trials = [one for one in several if _kind_name(one) == Trial.KIND]
    try:
        yield TrialColumns.from_records(trials)
    except ValueError:
        yield [*map(_record, trials)]
    if len(trials) < len(several):
        yield [_record(one) for one in several if _kind_name(one) != Trial.KIND]


def _kind_name(found: Any) -> Any:
    return found.get("kind") if isinstance(found, dict) else None


def _record(found: Any) -> AnyRecord | None:
    name = _kind_name(found)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    try:
        return kind.from_record(found) if kind else None
    except ValueError:
        return None


def _merge(known: dict[K, R], name: K, record: R, path: Path) -> None:
    earlier = known.setdefault(name, record)
    if earlier is not record and earlier != record:
        raise _conflict(earlier, record, path)


def _conflict(earlier: R, record: R, path: Path) -> FaultbenchError:
    changes = (
        f"{entry.name} {getattr(earlier, entry.name)} before, {getattr(record, entry.name)} here"
        for entry in fields(record)
        if getattr(earlier, entry.name) != getattr(record, entry.name)
    )
    where = f"subject {record.subject}" if isinstance(record, Golden | Hazards) else f"cell {record.cell}"
    where += f" trial {record.trial}" if isinstance(record, Trial) else ""
    return FaultbenchError(
        f"{path}: {record.KIND} of {where} recorded twice with different outcomes: {'; '.join(changes)}; "
        "results of different machines or versions do not mix: remove one of the files or use another folder"
    )


def _ends_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
