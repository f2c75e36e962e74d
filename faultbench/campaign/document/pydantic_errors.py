"""pydantic's errors → what users read: what is wrong, what was given, what would be right."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from faultbench.campaign.document.problems import LONGEST_QUOTE, Where, one_line, quoted
from faultbench.plugins.registry import suggest

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
"""pydantic's type of an error → what it asks for, to follow "must be"."""


@dataclass(frozen=True)
class Complaint:
    """What is wrong with the value at `where`; `key` names the key at fault where it is no value."""

    where: Where
    message: str
    key: str | None = None


def complaints(
    error: ValidationError, given: Any, keys_at: Callable[[Where], Mapping[str, Any]]
) -> Iterator[Complaint]:
    """What pydantic found wrong with `given`; the members of a union are told together.

    keys_at gives the keys that the mapping at a place may have.
    """
    found = [(_where(details, given), details) for details in error.errors(include_url=False)]
    for where, group in groupby(_without_shadowed(found), key=lambda pair: pair[0]):
        yield _complaint(where, [details for _, details in group], keys_at)


def keys_of(model: type[BaseModel], where: Where) -> Mapping[str, FieldInfo]:
    """The fields of the model that reads the mapping at `where` of a value that `model` reads."""
    for part in where:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return model.model_fields


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _where(details: ErrorDetails, given: Any) -> Where:
    """pydantic's location without the names it gives to the members of a union."""
    where: Where = ()
    for n, part in enumerate(details["loc"], start=1):
        is_key = isinstance(given, dict) and part in given
        is_index = isinstance(given, list) and isinstance(part, int) and part < len(given)
        if is_key or is_index:
            given = given[part]
        if is_key or is_index or (_is_missing_key(details) and n == len(details["loc"])):
            where = (*where, part)
    return where


def _is_missing_key(details: ErrorDetails) -> bool:
    """Whether a mapping lacks a key; where a list is too short it is an index that is missing."""
    return details["type"] == "missing" and isinstance(details["loc"][-1], str)


def _without_shadowed(found: list[tuple[Where, ErrorDetails]]) -> list[tuple[Where, ErrorDetails]]:
    """Errors without those of a union's members that did not get as far into the value as another did."""
    return [
        (where, details)
        for where, details in found
        if len(where) == len(details["loc"])
        or not any(len(other) > len(where) and other[: len(where)] == where for other, _ in found)
    ]


def _complaint(where: Where, group: list[ErrorDetails], keys_at: Callable[[Where], Mapping[str, Any]]) -> Complaint:
    kind, given = group[0]["type"], group[0]["input"]
    if kind == "extra_forbidden" or _is_missing_key(group[0]):
        return _about_key(kind, str(where[-1]), where[:-1], keys_at(where[:-1]))
    if kind == "missing":
        n_entries = max(int(details["loc"][-1]) for details in group) + 1
        return Complaint(where, f"must be a list of {n_entries}; given {quoted(given)}")
    if any(details["type"] not in _REQUIREMENTS for details in group):
        return Complaint(where, f"{group[0]['msg']}; given {quoted(given)}")
    must_be = " or ".join(dict.fromkeys(map(_phrase, group)))
    return Complaint(where, f"must be {must_be}; given {quoted(given)}{_hint(must_be, given)}")


def _about_key(kind: str, key: str, where: Where, keys: Mapping[str, Any]) -> Complaint:
    if kind == "extra_forbidden":
        return Complaint(where, f"unknown key {suggest(key[:LONGEST_QUOTE], keys)}", key)
    return Complaint(where, f"missing key {key!r}: {keys[key].description}")


def _phrase(details: ErrorDetails) -> str:
    limits = {name: int(x) if x == 0 else x for name, x in details.get("ctx", {}).items()}  # "0.0" reads oddly
    return _REQUIREMENTS[details["type"]].format_map(limits)


def _hint(must_be: str, given: Any) -> str:
    """What would be right, where it can be guessed."""
    if isinstance(given, str):
        close = difflib.get_close_matches(given, re.findall(r"'([^']*)'", must_be), n=1)
        if close:
            return f"; did you mean {close[0]!r}?"
    if must_be == "text" and isinstance(given, int | float):
        return "; put it in quotes"
    if must_be == "a list" and isinstance(given, str | int | float):
        return f"; write [{one_line(given) if isinstance(given, str) else quoted(given)}]"
    return ""
