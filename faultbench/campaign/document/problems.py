"""What is wrong with a campaign: the place, the key and the words, gathered so that all are told at once."""

from dataclasses import dataclass
from typing import Any

from faultbench.system.errors import FaultbenchError

Where = tuple[str | int, ...]
"""Keys and list indices from the root of a campaign to one value; () is the whole campaign."""

LONGEST_QUOTE = 60
"""Characters of a user's text that a message repeats."""


@dataclass(frozen=True)
class Place:
    """Where a user finds a value: a line and a column from 1, or line 0 for a whole file or an override."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        source = one_line(self.source)
        return f"{source}:{self.line}:{self.column}" if self.line else source


@dataclass(frozen=True)
class Problem:
    """One line of an error report: `file:line:column: where: message`."""

    place: Place
    where: Where
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), spelled(self.where), self.message) if part)


class CampaignError(FaultbenchError):
    """All that is wrong with a campaign, in the order of the file, overrides last; str() has a line each."""

    def __init__(self, *problems: Problem) -> None:
        ordered = sorted(problems, key=lambda problem: _reading_order(problem.place))
        super().__init__(*ordered)
        self.problems = tuple(ordered)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def spelled(where: Where) -> str:
    """A key as users write it: `models[1].when.dataset`; empty for the whole campaign."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_bare(part)}" for part in where)
    return "".join(parts).removeprefix(".")


def quoted(value: Any) -> str:
    """A given value in one short line; text stands in quotes, so that '5' is not 5."""
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
            return _shortened(repr(value))


def one_line(text: str) -> str:
    """Text as it is when it prints on one line, else with its control characters escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def _reading_order(place: Place) -> tuple[bool, int, int]:
    return place.line == 0, place.line, place.column


def _bare(key: str) -> str:
    return key if key.isidentifier() and len(key) <= LONGEST_QUOTE else quoted(key)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"
