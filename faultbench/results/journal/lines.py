"""Lines of a journal file: a record as JSON, a tab, the CRC-32 of the JSON in hex, a newline."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faultbench.results.journal.records import Golden, Overhead, Quarantine, Record, Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.results.journal.trial_columns import TrialColumns
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.regular_files import UnsoundFileError, read_regular

MAX_BYTES = 2**34
"""Largest size of a journal file: some fifty million trials."""

AnyRecord = Trial | Golden | Overhead | Quarantine | Hazards | Strata

_KINDS: dict[str, type[AnyRecord]] = {
    kind.KIND: kind for kind in (Trial, Golden, Overhead, Quarantine, Hazards, Strata)
}

_N_TOGETHER = 500
"""Lines that are parsed at once, in half the time of single lines."""

_DECODER = json.JSONDecoder()


def line(record: Record) -> bytes:
    """Return a record as a line of a journal file."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"%s\t%08x\n" % (text, zlib.crc32(text))


def records_in(folder: Path) -> Iterator[tuple[Path, TrialColumns | Sequence[AnyRecord | None]]]:
    """Yield the records of the lines of a folder's files, in order; None for a torn, altered or unknown line."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            data = read_regular(path, MAX_BYTES)
        except (OSError, UnsoundFileError) as error:
            raise FaultbenchError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        # A writer that meets a full disk before its first byte leaves an empty line.
        lines = [text for text in data.split(b"\n") if text]
        for start in range(0, len(lines), _N_TOGETHER):
            for records in _group_records([*_parse(lines[start : start + _N_TOGETHER])]):
                yield path, records


def _parse(lines: Sequence[bytes]) -> Iterator[Any]:
    """Return the JSON of each line; None for a torn or altered line."""
    try:
        together = _DECODER.decode((b"[%s]" % b",".join(map(checked_json, lines))).decode())
        if len(together) == len(lines):
            return iter(together)
    except (ValueError, RecursionError):  # RecursionError for deeply nested brackets
        pass
    return map(_parse_line, lines)


def _parse_line(whole: bytes) -> Any:
    try:
        decoded = checked_json(whole).decode()
        record, end = _DECODER.raw_decode(decoded)  # half the time of decode, which skips blanks
    except (ValueError, RecursionError):
        return None
    return record if end == len(decoded) else None


def checked_json(whole: bytes) -> bytes:
    """Return the JSON of a line as it is written; ValueError unless its CRC-32 is right."""
    text, _, digits = whole.rpartition(b"\t")
    if digits != b"%08x" % zlib.crc32(text):
        raise ValueError("the line's CRC-32 is wrong")
    return text


def _group_records(parsed: Sequence[Any]) -> Iterator[TrialColumns | Sequence[AnyRecord | None]]:
    """Yield the trials together, as columns if all are valid and have the same fields; then the other records."""
    trials = [content for content in parsed if _kind_name(content) == Trial.KIND]
    try:
        yield TrialColumns.from_records(trials)
    except ValueError:
        yield [*map(_record, trials)]
    if len(trials) < len(parsed):
        yield [_record(content) for content in parsed if _kind_name(content) != Trial.KIND]


def _kind_name(content: Any) -> Any:
    return content.get("kind") if isinstance(content, dict) else None


def _record(content: Any) -> AnyRecord | None:
    """Return the record that JSON holds; None if it is invalid or of an unknown kind."""
    name = _kind_name(content)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    try:
        return kind.from_record(content) if kind else None
    except ValueError:
        return None
