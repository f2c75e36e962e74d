"""Standard output and error of a command, which may be closed, full, without a reader, or limited to ASCII."""

import codecs
import io
import os
import select
import sys
from typing import Any

from faultbench.system.errors import EngineError, FaultbenchError

_PLAIN = {
    "±": "+/-", "×": "x", "…": "...", "·": ".", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">=", "←": "<-",
    "σ": "sigma", "Δ": "delta ", "√": "sqrt",
}  # fmt: skip
"""Character of faultbench's own texts → its spelling for terminals that show only ASCII."""

_HANDLER = "faultbench.plain"


def guard() -> None:
    """Make standard output and error safe to write to. FaultbenchError if standard output is closed.

    Characters that a terminal cannot show are spelled in ASCII. If the reader goes away, further output is dropped, so
    that `faultbench … | head` ends as without `head`. A full disk behind standard output is an EngineError; one behind
    standard error cannot be reported. Streams that a caller of `main` put in place of Python's own stay unchanged.
    """
    _fill_descriptors()
    codecs.register_error(_HANDLER, _spell)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115,PTH123 - open until the process ends
    elif sys.stderr is sys.__stderr__:
        sys.stderr = _guard_stream(sys.stderr, is_result=False)
    if sys.stdout is None:
        raise FaultbenchError("standard output is closed; send it to a file, or to /dev/null")
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guard_stream(sys.stdout, is_result=True)


def flush() -> None:
    """Write out all buffered output. EngineError if the disk behind standard output is full."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


class _GuardedStream(io.RawIOBase):
    """Descriptor that drops all output after its first failure."""

    def __init__(self, descriptor: int, *, is_result: bool) -> None:
        self._descriptor, self._is_result, self._is_over = descriptor, is_result, False

    def write(self, data: Any) -> int:
        if self._is_over:
            return len(data)
        try:
            return self._write(data)
        except OSError as error:
            self._is_over = True  # else the interpreter would try again when it ends, and print an error
            if self._is_result and not isinstance(error, BrokenPipeError):
                raise EngineError(f"standard output: cannot be written: {error.strerror}") from error
            return len(data)

    def _write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # the parent process may have made the pipe non-blocking
                select.select([], [self._descriptor], [])

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


def _guard_stream(stream: Any, *, is_result: bool) -> Any:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return stream
    raw = _GuardedStream(descriptor, is_result=is_result)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=_HANDLER,
        newline="\n",
        line_buffering=stream.line_buffering,
    )


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Return the ASCII spelling of the characters that a stream cannot encode, and the position after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in text), error.end


def _fill_descriptors() -> None:
    """Open the null device for each closed standard descriptor, because the next opened file would get its number.

    Then a warning of a library could be written into a journal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
