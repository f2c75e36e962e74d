"""Read YAML text as plain values with the line and column of every key and value.

Aliases, anchors, merge keys, tags, repeated keys and a second document are refused, each with its position. Values are
read from PyYAML's parser events, because the loaders of PyYAML and ruamel.yaml recurse as deep as the text is nested,
and resolve aliases and merge keys without a message.

Unquoted words follow the core schema of YAML 1.2. YAML 1.1 reads `1e-7` as text, `no` as false, `010` as 8 and `1:30`
as 90.
"""

import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from faultbench.campaign.document.problems import CampaignError, KeyPath, Problem, SourcePosition, quote
from faultbench.system.printable import printable

MAX_DEPTH = 16
"""Most levels of nested lists and mappings. A campaign needs 5, for a data set in the `when` of a model."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair. The escape "\\ud83d" produces one, and no encoding can write it."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_INTEGER_LENGTH = 100
"""Most characters of an integer. Python's own conversion refuses integers of more than some thousand digits."""

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass
class Document:
    """Plain values of a campaign file, their positions, and the problems found so far."""

    source: str
    value: Any = None
    positions: dict[KeyPath, SourcePosition] = field(default_factory=dict)
    key_positions: dict[KeyPath, SourcePosition] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[KeyPath] = field(default_factory=set)
    """Values that replace something refused. Other problems of them are not reported."""
    allow_outside: bool = True
    """Whether the campaign may name files outside of its own folder."""

    @property
    def folder(self) -> Path:
        """Return the absolute folder of the campaign file, from which relative paths start."""
        return Path(self.source).parent.absolute()

    def position(self, key_path: KeyPath) -> SourcePosition:
        """Return the position of a value, or of the nearest value around it that has one."""
        while key_path and key_path not in self.positions:
            key_path = key_path[:-1]
        return self.positions.get(key_path, SourcePosition(self.source))

    def report(self, key_path: KeyPath, message: str, position: SourcePosition | None = None) -> None:
        """Add a problem of a value, unless it was refused. By default its position is that of the value."""
        if not any(key_path[:n] in self.refused for n in range(len(key_path) + 1)):
            self.problems.append(Problem(position or self.position(key_path), key_path, message))


def read_document(text: str, source: str) -> Document:
    """Return the document in a text. CampaignError if it is not YAML, or nested more than MAX_DEPTH deep."""
    document = Document(source)
    try:
        _DocumentBuilder(text, document).build()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError and OverflowError: int() and chr() fail in PyYAML on very large versions and escapes.
        problem = Problem(_error_position(error, text, source), (), f"not YAML: {_error_text(error)}")
        raise CampaignError(*document.problems, problem) from error
    return document


def scalar_value(word: str) -> str | int | float | bool | None:
    """Return the value of an unquoted word. NaN, ±inf and integers of more than 100 characters stay text."""
    if word in _WORDS:
        return _WORDS[word]
    if len(word) <= _MAX_INTEGER_LENGTH and _INTEGER.fullmatch(word):
        return int(word, 0 if word[:2] in ("0o", "0x") else 10)
    if _NUMBER.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    return word


class _DocumentBuilder:
    """Reader of a document in one pass over PyYAML's parser events."""

    def __init__(self, text: str, document: Document) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._document = document

    def build(self) -> None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._document.positions[()] = SourcePosition(self._document.source, 1, 1)
            return
        self._document.value = self._read_value(next(self._events), ())
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._report(after, (), "a second YAML document; a campaign file holds one")

    def _read_value(self, event: Any, key_path: KeyPath) -> Any:
        self._document.positions.setdefault(key_path, self._position_of(event))
        self._refuse_depth(event, key_path)
        self._refuse_indirection(event, key_path)
        match event:
            case yaml.ScalarEvent() if not _HALF_CHARACTER.search(event.value):
                return event.value if event.style else scalar_value(event.value)
            case yaml.SequenceStartEvent():
                return self._read_sequence(key_path)
            case yaml.MappingStartEvent():
                return self._read_mapping(key_path)
        self._document.refused.add(key_path)
        return None

    def _read_sequence(self, key_path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._read_value(event, (*key_path, len(values))))
        return values

    def _read_mapping(self, key_path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._read_key(event, key_path, mapping)
            value = self._read_value(next(self._events), (*key_path, "?" if key is None else key))
            if key is not None:
                mapping.setdefault(key, value)
        return mapping

    def _read_key(self, event: Any, key_path: KeyPath, taken: Container[str]) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._report(event, key_path, "a key must be a word; given a list, a mapping or an alias")
            self._read_value(event, (*key_path, "?"))
            return None
        self._refuse_indirection(event, key_path)
        key = str(event.value)
        if _HALF_CHARACTER.search(key):
            return None
        if key == "<<":
            self._report(event, key_path, "YAML merge keys (<<) are refused; write the keys out")
            return None
        if key in taken:
            first = self._document.key_positions[*key_path, key].line
            self._report(event, key_path, f"repeated key {quote(key)}; first given at line {first}; leave one out")
        self._document.key_positions.setdefault((*key_path, key), self._position_of(event))
        return key

    def _refuse_depth(self, event: Any, key_path: KeyPath) -> None:
        if len(key_path) > MAX_DEPTH:
            self._report(event, (), f"lists and mappings are nested more than {MAX_DEPTH} deep; a campaign needs 5")
            raise CampaignError(*self._document.problems)

    def _refuse_indirection(self, event: Any, key_path: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._report(event, key_path, f"YAML aliases are refused; given {quote(event.anchor)}; write the value out")
            return
        if event.anchor:
            self._report(event, key_path, f"YAML anchors are refused; given {quote(event.anchor)}; leave it out")
        if event.tag:
            self._report(event, key_path, f"YAML tags are refused; given {quote(event.tag)}; leave it out")
        if isinstance(event, yaml.ScalarEvent) and _HALF_CHARACTER.search(event.value):
            self._report(event, key_path, f"half a character; given {quote(event.value)}; write the character itself")

    def _report(self, event: Any, key_path: KeyPath, message: str) -> None:
        self._document.report(key_path, message, self._position_of(event))

    def _position_of(self, event: Any) -> SourcePosition:
        return SourcePosition(self._document.source, event.start_mark.line + 1, event.start_mark.column + 1)


def _error_position(error: Exception, text: str, source: str) -> SourcePosition:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark:
        return SourcePosition(source, mark.line + 1, mark.column + 1)
    if isinstance(error, ReaderError):
        before = text[: error.position]
        return SourcePosition(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return SourcePosition(source)


def _error_text(error: Exception) -> str:
    parts = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    return printable(", ".join(part for part in parts if part) or str(error))
