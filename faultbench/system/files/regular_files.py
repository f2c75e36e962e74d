"""Reading of files of unknown origin: regular files of limited size, and JSON of limited depth."""

import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_DEPTH = 40
"""Deepest nesting of lists and mappings. A manifest holds a campaign, which is nested 6 deep."""

LONGEST_TEXT = 2**20
"""Most characters of a text. A command line may hold an argument of 128 KiB."""

_CHUNK_BYTES = 2**20

LARGEST = 2**63
"""Whole numbers must be smaller than this. Seeds may be almost as large."""


class UnsoundFileError(ValueError):
    """File that is not safe to read. The message says why, without the path."""


@contextmanager
def opened_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read its bytes, following links. `UnsoundFileError` or OSError if that is not possible."""
    require_regular(path.stat())  # before opening, because a device may react to being opened
    # Without O_NONBLOCK, a pipe that has replaced the file since the check would make this wait for its writer.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        require_regular(os.fstat(number))
    except UnsoundFileError:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as source:
        yield source


def require_regular(status: os.stat_result) -> None:
    """Raise `UnsoundFileError` for the status of a folder, a pipe, a device or a socket."""
    if not stat.S_ISREG(status.st_mode):
        raise UnsoundFileError("not a regular file")


def read_at_most(source: BufferedReader, most_bytes: int) -> bytes:
    """Return the rest of an open file. If it is longer than most_bytes, return most_bytes + 1 bytes.

    The size is asked first, because `read(n)` reserves n bytes of memory, however small the file is.
    """
    parts = [source.read(min(os.fstat(source.fileno()).st_size, most_bytes) + 1)]
    n_left = most_bytes + 1 - len(parts[0])
    while parts[-1] and n_left > 0:  # the file may grow while it is read
        parts.append(source.read(min(_CHUNK_BYTES, n_left)))
        n_left -= len(parts[-1])
    return b"".join(parts)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file of at most most_bytes. OSError or `UnsoundFileError` for other files."""
    with opened_regular(path) as source:
        n_bytes = os.fstat(source.fileno()).st_size
        data = b"" if n_bytes > most_bytes else read_at_most(source, most_bytes)
    if max(n_bytes, len(data)) > most_bytes:
        raise UnsoundFileError(f"larger than {most_bytes // 2**20} MiB")
    return data


def read_json(path: Path, most_bytes: int) -> Any:
    """Return the values in a JSON file. OSError if it cannot be read, and ValueError if its JSON is not sound.

    Sound means that numbers are finite, whole numbers are smaller than `LARGEST`, and texts and nesting are limited.
    """
    try:
        value = json.loads(read_regular(path, most_bytes), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UnsoundFileError(f"nested more than {MAX_DEPTH} deep") from error
    check_plain(value)
    return value


def check_plain(value: Any) -> None:
    """Raise `UnsoundFileError` if a JSON value holds anything too deep, too long, too large or not finite."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        match item:
            case dict():
                _check_depth(depth)
                for key, inner in item.items():
                    _check_text(key)
                    waiting.append((inner, depth + 1))
            case list():
                _check_depth(depth)
                waiting.extend((inner, depth + 1) for inner in item)
            case str():
                _check_text(item)
            case float() if not math.isfinite(item):
                raise UnsoundFileError(f"not a finite number: {item}")
            case int() if abs(item) >= LARGEST:
                raise UnsoundFileError("a whole number of more than 63 bits")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise UnsoundFileError(f"nested more than {MAX_DEPTH} deep")


def _check_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UnsoundFileError(f"a text of {len(text):,} characters; at most {LONGEST_TEXT:,} are read")


def _refuse_constant(name: str) -> None:
    raise UnsoundFileError(f"not a finite number: {name}")
