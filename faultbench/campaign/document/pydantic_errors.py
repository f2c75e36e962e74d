"""Messages for pydantic's errors: what is wrong, what was given and what would be right."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from faultbench.campaign.document.problems import MAX_QUOTE_LENGTH, KeyPath, quote
from faultbench.campaign.document.yaml_source import Document
from faultbench.plugins.registry import suggest
from faultbench.system.printable import printable

_REQUIREMENTS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "at least {min_length} character(s) long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
"""pydantic's type of an error → the requirement, as it follows "must be"."""

MAX_SUGGESTIONS = 200
"""Most unknown keys that a similar key is searched for: each search takes as long as hundreds of checks."""


@dataclass(frozen=True)
class FieldError:
    """Problem of the value at key_path, or of a key in it that is unknown or missing."""

    key_path: KeyPath
    message: str
    key: str | None = None
    """Unknown key in the mapping at key_path."""


KeysAt = Callable[[KeyPath], Mapping[str, Any]]
"""Function from a key path to the keys that the mapping there may have."""


def report_errors(
    error: ValidationError, value: Any, keys_at: KeysAt, document: Document, key_path: KeyPath = ()
) -> None:
    """Report to the document what pydantic found wrong with the value at key_path."""
    for problem in field_errors(error, value, keys_at):
        problem_path = (*key_path, *problem.key_path)
        position = None if problem.key is None else document.key_positions.get((*problem_path, problem.key))
        document.report(problem_path, problem.message, position)


def field_errors(error: ValidationError, value: Any, keys_at: KeysAt) -> Iterator[FieldError]:
    """Yield what pydantic found wrong with a value. The errors of a union's members become one."""
    errors = [(_key_path(details, value), details) for details in error.errors(include_url=False)]
    for number, (key_path, group) in enumerate(groupby(_deepest_of_unions(errors), key=lambda pair: pair[0])):
        keys = keys_at if number < MAX_SUGGESTIONS else _no_keys
        yield _field_error(key_path, [details for _, details in group], keys)


def keys_of(model: type[BaseModel], key_path: KeyPath) -> Mapping[str, FieldInfo]:
    """Return the fields of the model that reads the mapping at key_path, if `model` reads the whole value."""
    for part in key_path:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return model.model_fields


def _no_keys(_key_path: KeyPath) -> Mapping[str, Any]:
    return {}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _key_path(details: ErrorDetails, value: Any) -> KeyPath:
    """Return pydantic's location of an error without the names that it gives to the members of a union."""
    key_path: KeyPath = ()
    for n, part in enumerate(details["loc"], start=1):
        is_key = isinstance(value, dict) and part in value
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_key or is_index:
            value = value[part]
        if is_key or is_index or (_is_missing_key(details) and n == len(details["loc"])):
            key_path = (*key_path, part)
    return key_path


def _is_missing_key(details: ErrorDetails) -> bool:
    """Return whether a mapping lacks a key. In a list that is too short, an index is missing instead."""
    return details["type"] == "missing" and isinstance(details["loc"][-1], str)


def _deepest_of_unions(errors: list[tuple[KeyPath, ErrorDetails]]) -> list[tuple[KeyPath, ErrorDetails]]:
    """Return the errors without those of union members that fail at an outer value, if another member got deeper."""
    return [
        (key_path, details)
        for key_path, details in errors
        if len(key_path) == len(details["loc"])
        or not any(len(other) > len(key_path) and other[: len(key_path)] == key_path for other, _ in errors)
    ]


def _field_error(key_path: KeyPath, group: list[ErrorDetails], keys_at: KeysAt) -> FieldError:
    if not _is_missing_key(group[0]):  # a list may be too short for one member of a union and wrong for another
        group = [details for details in group if details["type"] != "missing"] or group
    kind, value = group[0]["type"], group[0]["input"]
    if kind == "extra_forbidden" or _is_missing_key(group[0]):
        return _key_error(kind, str(key_path[-1]), key_path[:-1], keys_at(key_path[:-1]))
    if kind == "missing":
        n_entries = max(int(details["loc"][-1]) for details in group) + 1
        return FieldError(key_path, f"must be a list of {n_entries}; given {quote(value)}")
    if any(details["type"] not in _REQUIREMENTS for details in group):
        return FieldError(key_path, f"{group[0]['msg']}; given {quote(value)}")
    must_be = " or ".join(dict.fromkeys(map(_requirement, group)))
    return FieldError(key_path, f"must be {must_be}; given {quote(value)}{_hint(must_be, value)}")


def _key_error(kind: str, key: str, key_path: KeyPath, keys: Mapping[str, Any]) -> FieldError:
    if kind == "extra_forbidden":
        suggestion = suggest(key[:MAX_QUOTE_LENGTH], keys) if keys else quote(key)
        return FieldError(key_path, f"unknown key {suggestion}", key)
    description = f": {keys[key].description}" if keys else ""
    return FieldError(key_path, f"missing key {key!r}{description}")


def _requirement(details: ErrorDetails) -> str:
    limits = {name: int(x) if x == 0 else x for name, x in details.get("ctx", {}).items()}  # 0, not 0.0
    return _REQUIREMENTS[details["type"]].format_map(limits)


def _hint(must_be: str, value: Any) -> str:
    """Return what would be right, if it can be guessed."""
    if isinstance(value, str):
        close = difflib.get_close_matches(value, re.findall(r"'([^']*)'", must_be), n=1)
        if close:
            return f"; did you mean {close[0]!r}?"
    if must_be == "text" and isinstance(value, int | float):
        return "; put it in quotes"
    if must_be == "a list" and isinstance(value, str | int | float) and len(str(value)) <= MAX_QUOTE_LENGTH:
        return f"; write [{printable(value) if isinstance(value, str) else quote(value)}]"
    return ""
