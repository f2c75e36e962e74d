"""YAML text → plain values that remember their line and column.

What YAML lets say one thing and mean another is refused: aliases, anchors, merge keys, tags, repeated keys,
several documents. Values are read from the parser's events and not from composed nodes, since PyYAML's
composer recurses as deep as the text does and stops at the first alias.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from faultbench.campaign.document.problems import CampaignError, Place, Problem, Where, one_line, quoted
from faultbench.campaign.document.scalars import meaning

MAX_DEPTH = 16
"""Lists and mappings in each other; the deepest of a campaign, a data set of a model's `when`, is 5 deep."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which the escape "\\ud83d" leaves and no encoding can write."""


@dataclass
class Document:
    """Plain values, where each stands, and what was found wrong so far."""

    source: str
    value: Any = None
    places: dict[Where, Place] = field(default_factory=dict)
    key_places: dict[Where, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[Where] = field(default_factory=set)
    """Values that stand for something refused: what else is wrong with them is no news."""
    allow_outside: bool = True
    """Whether it may name files outside of its own folder."""

    def place(self, where: Where) -> Place:
        """The place of a value, or of the nearest that holds it."""
        while where and where not in self.places:
            where = where[:-1]
        return self.places.get(where, Place(self.source))

    def report(self, where: Where, message: str, place: Place | None = None) -> None:
        """Note a problem of a value; it is shown at the value's place unless another is given."""
        if not any(where[:n] in self.refused for n in range(len(where) + 1)):
            self.problems.append(Problem(place or self.place(where), where, message))


def compose(text: str, source: str) -> Document:
    """The document in text; CampaignError if it is not YAML, or nested too deep to be a campaign."""
    document = Document(source)
    try:
        _Builder(text, document).build()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError and OverflowError: PyYAML lets int() and chr() fail on absurd versions and escapes.
        problem = Problem(_place_of(error, text, source), (), f"not YAML: {_reason(error)}")
        raise CampaignError(*document.problems, problem) from error
    return document


class _Builder:
    """One pass over the parser's events; values, places and problems go to the document."""

    def __init__(self, text: str, document: Document) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._document = document

    def build(self) -> None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._document.places[()] = Place(self._document.source, 1, 1)
            return
        self._document.value = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._report(after, (), "a second YAML document; a campaign file holds one")

    def _value(self, event: Any, where: Where) -> Any:
        self._document.places.setdefault(where, self._place(event))
        self._refuse_depth(event, where)
        self._refuse_indirection(event, where)
        match event:
            case yaml.ScalarEvent() if not _HALF_CHARACTER.search(event.value):
                return event.value if event.style else meaning(event.value)
            case yaml.SequenceStartEvent():
                return self._sequence(where)
            case yaml.MappingStartEvent():
                return self._mapping(where)
        self._document.refused.add(where)
        return None

    def _sequence(self, where: Where) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*where, len(values))))
        return values

    def _mapping(self, where: Where) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, where, mapping)
            value = self._value(next(self._events), (*where, "?" if key is None else key))
            if key is not None:
                mapping.setdefault(key, value)
        return mapping

    def _key(self, event: Any, where: Where, taken: Container[str]) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._report(event, where, "a key must be a word; given a list, a mapping or an alias")
            self._value(event, (*where, "?"))
            return None
        self._refuse_indirection(event, where)
        key = str(event.value)
        if _HALF_CHARACTER.search(key):
            return None
        if key == "<<":
            self._report(event, where, "YAML merge keys (<<) are refused; write the keys out")
            return None
        if key in taken:
            first = self._document.key_places[*where, key].line
            self._report(event, where, f"repeated key {quoted(key)}; first given at line {first}; leave one out")
        self._document.key_places.setdefault((*where, key), self._place(event))
        return key

    def _refuse_depth(self, event: Any, where: Where) -> None:
        if len(where) > MAX_DEPTH:
            self._report(event, (), f"lists and mappings are nested more than {MAX_DEPTH} deep; a campaign needs 5")
            raise CampaignError(*self._document.problems)

    def _refuse_indirection(self, event: Any, where: Where) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._report(event, where, f"YAML aliases are refused; given {quoted(event.anchor)}; write the value out")
            return
        if event.anchor:
            self._report(event, where, f"YAML anchors are refused; given {quoted(event.anchor)}; leave it out")
        if event.tag:
            self._report(event, where, f"YAML tags are refused; given {quoted(event.tag)}; leave it out")
        if isinstance(event, yaml.ScalarEvent) and _HALF_CHARACTER.search(event.value):
            self._report(event, where, f"half a character; given {quoted(event.value)}; write the character itself")

    def _report(self, event: Any, where: Where, message: str) -> None:
        self._document.report(where, message, self._place(event))

    def _place(self, event: Any) -> Place:
        return Place(self._document.source, event.start_mark.line + 1, event.start_mark.column + 1)


def _place_of(error: Exception, text: str, source: str) -> Place:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark:
        return Place(source, mark.line + 1, mark.column + 1)
    if isinstance(error, ReaderError):
        before = text[: error.position]
        return Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Place(source)


def _reason(error: Exception) -> str:
    words = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    return one_line(", ".join(word for word in words if word) or str(error))
