"""Loading of campaign files: a checked Campaign, or all problems of the file at once."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from faultbench.campaign import grid
from faultbench.campaign.axes import Axes, read_axes, read_bers
from faultbench.campaign.cells import Campaign
from faultbench.campaign.choices import Choice
from faultbench.campaign.document.overrides import apply_override
from faultbench.campaign.document.problems import CampaignError, KeyPath, Problem, SourcePosition
from faultbench.campaign.document.pydantic_errors import keys_of, report_errors
from faultbench.campaign.document.yaml_source import Document, read_document
from faultbench.campaign.keys import RESULTS_VERSION, digest
from faultbench.campaign.plugin_check import read_plugins
from faultbench.campaign.spec import CampaignSpec, PluginEntry
from faultbench.plugins.registry import Modules
from faultbench.system import arguments

MAX_BYTES = 2**20

_SHARED_KEYS = {"seed", "images", "batch", "training"}
"""Keys with one value for all cells of a results folder."""


def load_campaign(path: str | Path, overrides: Sequence[str] = (), *, allow_outside: bool = True) -> Campaign:
    """Return the campaign in a file, with `key=value` overrides applied. CampaignError lists all problems.

    Unless allow_outside, the files that the campaign names must be in its own folder, with links followed.
    """
    source = arguments.path("load_campaign: path", path, "the path of a campaign file")
    if not isinstance(overrides, list | tuple) or not all(isinstance(override, str) for override in overrides):
        arguments.refuse("load_campaign: overrides", overrides, "a list of texts such as 'trials=100'")
    return parse_campaign(_read_text(source), source, overrides, allow_outside=allow_outside)


def parse_campaign(text: str, source: Path, overrides: Sequence[str] = (), *, allow_outside: bool = True) -> Campaign:
    """Return the campaign in YAML text. Messages name source, and relative paths start from its folder."""
    document = read_document(text, str(source))
    document.allow_outside = allow_outside
    for assignment in overrides:
        apply_override(document, assignment)
    spec = _read_spec(document)
    plugins = read_plugins(document)
    # If a plug-in module is missing, it is unknown which names are wrong.
    axes = {} if plugins is None else read_axes(document, plugins)
    _check_grid(axes, read_bers(document), document)
    grid.refuse_unstratified(axes, spec, document)
    if spec is None or plugins is None or document.problems:
        raise CampaignError(*document.problems)
    return _campaign(spec, axes, source, plugins)


def _read_text(path: Path) -> str:
    position = SourcePosition(str(path))
    try:
        data = _read_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise CampaignError(Problem(position, (), _reading_problem(error))) from error
    if len(data) > MAX_BYTES:
        raise CampaignError(Problem(position, (), "larger than 1 MiB; a campaign file has some hundred lines"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        position = SourcePosition(str(path), data.count(b"\n", 0, error.start) + 1, error.start - line_start + 1)
        message = f"not UTF-8 text; given the byte 0x{data[error.start]:02x}; a campaign file is YAML in UTF-8"
        raise CampaignError(Problem(position, (), message)) from error


def _read_bytes(path: Path) -> bytes:
    """Return the content of a file, or the first MAX_BYTES + 1 bytes of a larger one."""
    # A pipe that a shell opened, such as /dev/stdin or <(…), has no path of its own and is read.
    if path.is_fifo() and path.resolve().exists():
        raise OSError("a named pipe, which may wait for ever")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _reading_problem(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file; give the path of a campaign file"
        case IsADirectoryError():
            return "a folder; give the path of a campaign file"
        case _:
            reason = getattr(error, "strerror", None) or error
            return f"cannot be read: {reason}; give the path of a campaign file"


def _read_spec(document: Document) -> CampaignSpec | None:
    try:
        return CampaignSpec.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        report_errors(error, document.value, lambda key_path: keys_of(CampaignSpec, key_path), document)
        return None


def _check_grid(axes: Axes, bers: Mapping[KeyPath, float], document: Document) -> None:
    for entries in axes.values():
        grid.refuse_repeats(entries, document)
    grid.refuse_repeated_bers(bers, document)
    if not document.problems:  # a misspelt entry would cause wrong reports of these two
        grid.refuse_unused_datasets(axes, document)
        grid.refuse_huge_grid(axes, len(bers), document)


def _campaign(spec: CampaignSpec, axes: Axes, source: Path, plugins: Modules) -> Campaign:
    return Campaign(
        name=spec.name,
        source=source,
        trials=spec.trials if isinstance(spec.trials, int) else spec.trials.max,
        seed=spec.seed,
        spec=_full_spec(spec, axes),
        cells=tuple(grid.build_cells(axes, spec)),
        identity=digest({"law": RESULTS_VERSION, **_shared_values(spec)}),
        plugins=plugins,
    )


def _shared_values(spec: CampaignSpec) -> dict[str, Any]:
    """Return what all cells of a results folder have in common. Plain sampling is left out, as in `Subject.record`."""
    return spec.model_dump(mode="json", include=_SHARED_KEYS | ({"sampling"} if spec.sampling != "plain" else set()))


def _full_spec(spec: CampaignSpec, axes: Axes) -> dict[str, Any]:
    """Return the campaign as plain JSON values with every default, including those of the plug-ins' options."""
    values = spec.model_dump(mode="json")
    for key, axis_entries in axes.items():
        entries: list[PluginEntry] = getattr(spec, key)
        pairs = zip(entries, axis_entries, strict=True)
        values[key] = [_full_entry(entry, axis_entry.choice) for entry, axis_entry in pairs]
    return values


def _full_entry(entry: PluginEntry, choice: Choice) -> dict[str, Any]:
    return {**entry.model_dump(mode="json", exclude_none=True), "label": choice.label, **choice.options}
