"""Problems of a campaign: position, key and message of each, collected so that all are reported at once."""

from dataclasses import dataclass
from typing import Any

from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of a campaign to a value; () is the whole campaign."""

MAX_QUOTE_LENGTH = 60
"""Most characters of a user's text that a message repeats."""

MAX_PROBLEMS_SHOWN = 40
"""Most problems that an error prints a line for."""

MAX_KEYS_SHOWN = 20
"""Most keys and indices of a key path that a message prints."""

MAX_SOURCE_LENGTH = 500
"""Most characters of the path or the override that a message begins with."""


@dataclass(frozen=True)
class SourcePosition:
    """Position of a value in the user's input: line and column from 1, or line 0 for a whole file or an override."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        source = shortened(self.source, MAX_SOURCE_LENGTH)
        return f"{source}:{self.line}:{self.column}" if self.line else source


@dataclass(frozen=True)
class Problem:
    """Line of an error report: `file:line:column: key: message`."""

    position: SourcePosition
    key_path: KeyPath
    message: str

    def __str__(self) -> str:
        parts = (str(self.position), key_path_text(self.key_path), shortened(self.message))
        return ": ".join(part for part in parts if part)


class CampaignError(FaultbenchError):
    """All problems of a campaign in the order of the file, overrides last.

    str() has a line for each of the first `MAX_PROBLEMS_SHOWN`, and one that counts the others.
    """

    def __init__(self, *problems: Problem) -> None:
        ordered = sorted(problems, key=lambda problem: _reading_order(problem.position))
        super().__init__(*ordered)
        self.problems = tuple(ordered)

    def __str__(self) -> str:
        shown, n_more = self.problems[:MAX_PROBLEMS_SHOWN], len(self.problems) - MAX_PROBLEMS_SHOWN
        return "\n".join([*map(str, shown), *([f"… and {n_more:,} more"] if n_more > 0 else [])])


def key_path_text(key_path: KeyPath) -> str:
    """Return a key path as users write it, such as `models[1].when.dataset`; empty for the whole campaign."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key_text(part)}" for part in key_path[:MAX_KEYS_SHOWN]]
    return "".join([*parts, *(["…"] if len(key_path) > MAX_KEYS_SHOWN else [])]).removeprefix(".")


def quote(value: Any) -> str:
    """Return a value in one short line. Text is in quotes, so that '5' differs from 5."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case _:
            text = repr(value)
            return text if len(text) <= MAX_QUOTE_LENGTH else f"{text[: MAX_QUOTE_LENGTH - 1]}…"


def _reading_order(position: SourcePosition) -> tuple[bool, int, int]:
    return position.line == 0, position.line, position.column


def _key_text(key: str) -> str:
    return key if key.isidentifier() and len(key) <= MAX_QUOTE_LENGTH else quote(key)
