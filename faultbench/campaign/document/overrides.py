"""`-s key=value`: one value of a campaign replaced from the command line; errors then name the override."""

from collections.abc import Iterable
from typing import Any

from faultbench.campaign.document.problems import CampaignError, Place, Problem, Where, quoted, spelled
from faultbench.campaign.document.yaml_source import Document, compose


def override(document: Document, assignment: str) -> None:
    """Put the value of `key=value`, read as YAML, into the document; `training.schedule` is a key of a key.

    Keys that the document lacks are made, so that the check of the whole campaign tells whether they exist.
    """
    place = Place(f"-s {assignment}")
    keys, equals, text = assignment.partition("=")
    where = tuple(keys.strip().split("."))
    if not equals or not all(where):
        document.problems.append(Problem(place, (), "an override reads key=value, such as trials=20"))
        return
    target = _mapping_at(document, where[:-1], place)
    if target is not None:
        _forget(document, where)
        target[where[-1]] = _value(document, text, where, place)


def _mapping_at(document: Document, where: tuple[str, ...], place: Place) -> dict[str, Any] | None:
    value = document.value
    if where:
        holder = _mapping_at(document, where[:-1], place)
        if holder is None:
            return None
        document.places.setdefault(where, place)
        document.key_places.setdefault(where, place)
        value = holder.setdefault(where[-1], {})
    if isinstance(value, dict):
        return value
    if where:  # of the campaign itself the check of the whole tells it
        message = f"{spelled(where)} is {quoted(value)}, not a mapping; override it whole"
        document.problems.append(Problem(place, (), message))
    return None


def _value(document: Document, text: str, where: Where, place: Place) -> Any:
    document.places[where] = document.key_places[where] = place
    try:
        given = compose(text, place.source)
    except CampaignError as error:
        _adopt(document, error.problems, where, place)
        document.refused.add(where)
        return None
    _adopt(document, given.problems, where, place)
    document.refused.update((*where, *below) for below in given.refused)
    return given.value


def _adopt(document: Document, problems: Iterable[Problem], where: Where, place: Place) -> None:
    document.problems.extend(Problem(place, (*where, *problem.where), problem.message) for problem in problems)


def _forget(document: Document, where: Where) -> None:
    """Drop what is known of the value that an override replaces; places below it are then the override's."""
    for places in (document.places, document.key_places):
        for old in [old for old in places if old[: len(where)] == where]:
            del places[old]
    document.refused -= {old for old in document.refused if old[: len(where)] == where}
