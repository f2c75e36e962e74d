"""Overrides `-s key=value` of the command line. Problems of their values are reported at the override."""

from collections.abc import Iterable
from typing import Any

from faultbench.campaign.document.problems import (
    CampaignError,
    KeyPath,
    Problem,
    SourcePosition,
    key_path_text,
    quote,
)
from faultbench.campaign.document.yaml_source import MAX_DEPTH, Document, read_document


def apply_override(document: Document, assignment: str) -> None:
    """Set the value of `key=value`, read as YAML, in the document. A dot separates nested keys: `training.schedule`.

    Keys that the document lacks are added; the check of the whole campaign reports unknown ones.
    """
    position = SourcePosition(f"-s {assignment}")
    keys, equals, text = assignment.partition("=")
    key_path = tuple(keys.strip().split("."))
    if len(key_path) > MAX_DEPTH:
        message = f"{len(key_path)} keys in each other; a campaign has at most {MAX_DEPTH}"
        document.problems.append(Problem(position, (), message))
        return
    if not equals or not all(key_path):
        document.problems.append(Problem(position, (), "an override reads key=value, such as trials=20"))
        return
    target = _mapping_at(document, key_path[:-1], position)
    if target is not None:
        _forget(document, key_path)
        target[key_path[-1]] = _read_value(document, text, key_path, position)


def _mapping_at(document: Document, key_path: tuple[str, ...], position: SourcePosition) -> dict[str, Any] | None:
    value = document.value
    if key_path:
        parent = _mapping_at(document, key_path[:-1], position)
        if parent is None:
            return None
        document.positions.setdefault(key_path, position)
        document.key_positions.setdefault(key_path, position)
        value = parent.setdefault(key_path[-1], {})
    if isinstance(value, dict):
        return value
    if key_path:  # if the campaign itself is no mapping, the check of the whole reports it
        message = f"{key_path_text(key_path)} is {quote(value)}, not a mapping; override it whole"
        document.problems.append(Problem(position, (), message))
    return None


def _read_value(document: Document, text: str, key_path: KeyPath, position: SourcePosition) -> Any:
    document.positions[key_path] = document.key_positions[key_path] = position
    try:
        override = read_document(text, position.source)
    except CampaignError as error:
        _add_problems(document, error.problems, key_path, position)
        document.refused.add(key_path)
        return None
    _add_problems(document, override.problems, key_path, position)
    document.refused.update((*key_path, *below) for below in override.refused)
    return override.value


def _add_problems(document: Document, problems: Iterable[Problem], key_path: KeyPath, position: SourcePosition) -> None:
    document.problems.extend(Problem(position, (*key_path, *problem.key_path), problem.message) for problem in problems)


def _forget(document: Document, key_path: KeyPath) -> None:
    """Remove the positions and refusals of the value that an override replaces, and of everything below it."""
    for positions in (document.positions, document.key_positions):
        for old in [old for old in positions if old[: len(key_path)] == key_path]:
            del positions[old]
    document.refused -= {old for old in document.refused if old[: len(key_path)] == key_path}
