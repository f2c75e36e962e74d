"""A campaign file → a checked Campaign, or everything that is wrong with it at once."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from faultbench.campaign import grid
from faultbench.campaign.axes import Axes, read_axes, read_bers
from faultbench.campaign.cells import Campaign
from faultbench.campaign.choices import Choice, Modules
from faultbench.campaign.document.overrides import override
from faultbench.campaign.document.problems import CampaignError, Place, Problem, Where
from faultbench.campaign.document.pydantic_errors import complaints, keys_of
from faultbench.campaign.document.yaml_source import Document, compose
from faultbench.campaign.keys import LAW, digest
from faultbench.campaign.plugin_check import read_plugins
from faultbench.campaign.spec import CampaignSpec, Entry

MAX_BYTES = 2**20

_SHARED = {"seed", "images", "batch", "training"}


def load_campaign(path: str | Path, overrides: Sequence[str] = (), *, allow_outside: bool = True) -> Campaign:
    """The campaign in a file, with `key=value` overrides applied; CampaignError lists all that is wrong.

    Unless allow_outside, the files that it names must be in its own folder, links followed.
    """
    return parse_campaign(_text(Path(path)), Path(path), overrides, allow_outside=allow_outside)


def parse_campaign(text: str, source: Path, overrides: Sequence[str] = (), *, allow_outside: bool = True) -> Campaign:
    """The campaign in YAML text; source is what errors name and what relative paths start from."""
    document = compose(text, str(source))
    document.allow_outside = allow_outside
    for assignment in overrides:
        override(document, assignment)
    spec = _spec(document)
    plugins = read_plugins(document)
    # Without all plug-ins there is no telling which names are wrong.
    axes = {} if plugins is None else read_axes(document, plugins)
    _check_grid(axes, read_bers(document), document)
    grid.refuse_unstratified(axes, spec, document)
    if spec is None or plugins is None or document.problems:
        raise CampaignError(*document.problems)
    return _campaign(spec, axes, source, plugins)


def _text(path: Path) -> str:
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise CampaignError(Problem(place, (), _unreadable(error))) from error
    if len(data) > MAX_BYTES:
        raise CampaignError(Problem(place, (), "larger than 1 MiB; a campaign file has some hundred lines"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        place = Place(str(path), data.count(b"\n", 0, error.start) + 1, error.start - line_start + 1)
        message = f"not UTF-8 text; given the byte 0x{data[error.start]:02x}; a campaign file is YAML in UTF-8"
        raise CampaignError(Problem(place, (), message)) from error


def _unreadable(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file; give the path of a campaign file"
        case IsADirectoryError():
            return "a folder; give the path of a campaign file"
        case _:
            reason = getattr(error, "strerror", None) or error
            return f"cannot be read: {reason}; give the path of a campaign file"


def _spec(document: Document) -> CampaignSpec | None:
    try:
        return CampaignSpec.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        for complaint in complaints(error, document.value, lambda where: keys_of(CampaignSpec, where)):
            at = None if complaint.key is None else document.key_places.get((*complaint.where, complaint.key))
            document.report(complaint.where, complaint.message, at)
        return None


def _check_grid(axes: Axes, bers: Mapping[Where, float], document: Document) -> None:
    for entrants in axes.values():
        grid.refuse_repeats(entrants, document)
    grid.refuse_repeated_bers(bers, document)
    if not document.problems:  # a misspelt entry would make these two fire for nothing
        grid.refuse_idle_datasets(axes, document)
        grid.refuse_endless_grid(axes, len(bers), document)


def _campaign(spec: CampaignSpec, axes: Axes, source: Path, plugins: Modules) -> Campaign:
    return Campaign(
        name=spec.name,
        source=source,
        trials=spec.trials if isinstance(spec.trials, int) else spec.trials.max,
        seed=spec.seed,
        spec=_written_out(spec, axes),
        cells=tuple(grid.cells(axes, spec)),
        identity=digest({"law": LAW, **_shared(spec)}),
        plugins=plugins,
    )


def _shared(spec: CampaignSpec) -> dict[str, Any]:
    """What all cells of a results folder have in common; how trials are drawn only where they are no plain ones."""
    return spec.model_dump(mode="json", include=_SHARED | ({"sampling"} if spec.sampling != "plain" else set()))


def _written_out(spec: CampaignSpec, axes: Axes) -> dict[str, Any]:
    """The campaign as plain JSON values with every default, also those of the plug-ins' options."""
    written = spec.model_dump(mode="json")
    for key, entrants in axes.items():
        entries: list[Entry] = getattr(spec, key)
        written[key] = [_entry(entry, entrant.choice) for entry, entrant in zip(entries, entrants, strict=True)]
    return written


def _entry(entry: Entry, choice: Choice) -> dict[str, Any]:
    given = entry.model_dump(mode="json", exclude_none=True)
    return {**given, "label": choice.label, **choice.options}
