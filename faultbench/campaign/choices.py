"""The entries of an axis → plug-ins with every option written out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from faultbench.campaign.document.problems import LONGEST_QUOTE, Where
from faultbench.campaign.document.pydantic_errors import complaints
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.named_files import content_digest, folder_of
from faultbench.campaign.spec import Entry
from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule
from faultbench.system.errors import FaultbenchError

Modules = tuple[PluginModule, ...]

_GUARDS = {"none": registry.Entry("guard", "none", "No weight guard.", "", "")}


@dataclass(frozen=True)
class Choice:
    """One entry of an axis: a plug-in by its name in the registry, with the value of each of its options.

    options are plain JSON values, sorted by name, defaults filled in. label, what tables and plots print, is
    no part of the identity.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(hash=False)
    label: str
    origin: PluginModule | None = None
    """The module of a lab's own that it comes from; what a worker needs to import it."""
    folder: Path = Path()
    """Where a `<path>` in the name starts: the campaign file's folder, absolute."""
    content: str | None = None
    """What tells the file or folder at a name's `<path>` from a changed one."""

    @property
    def record(self) -> dict[str, Any]:
        """What identifies the choice within its axis; of a lab's plug-in the source too, which has no version."""
        sources = {} if self.origin is None else {"sources": list(self.origin.sources)}
        content = {} if self.content is None else {"content": self.content}
        return {"name": self.name, "options": dict(self.options), **sources, **content}


def known(kind: str, modules: Modules = ()) -> Mapping[str, registry.Entry]:
    """The plug-ins of a kind by name, guards included, of which the registry has no folder yet."""
    return _GUARDS if kind == "guard" else registry.catalogue(kind, modules)


def read_choice(kind: str, entry: Entry, where: Where, document: Document, modules: Modules) -> Choice | None:
    """The choice that an entry makes; None, with the reasons reported to the document, if it makes none."""
    try:
        plug_in = _plug_in(kind, entry.name, modules)
    except FaultbenchError as error:
        document.report(where, str(error), document.place((*where, "name")))
        return None
    options = _options(plug_in, entry, where, document)
    has_path = "<path>" in plug_in.name
    content = content_digest(plug_in, entry.name, where, document) if has_path else None
    if options is None or (has_path and content is None):
        return None
    folder = folder_of(document) if has_path else Path()
    return Choice(kind, entry.name, options, entry.printed, plug_in.origin, folder, content)


def options_model(plug_in: registry.Entry) -> type[BaseModel]:
    """A pydantic model of a plug-in's options: their types, ranges and defaults, and no others."""
    fields: dict[str, Any] = {name: (option.annotation, option.default) for name, option in plug_in.options.items()}
    config = ConfigDict(extra="forbid", strict=True, validate_default=True, protected_namespaces=())
    return create_model(plug_in.name, __config__=config, **fields)


def _plug_in(kind: str, name: str, modules: Modules) -> registry.Entry:
    if kind == "guard" and name not in _GUARDS:
        raise FaultbenchError(f"unknown guard {registry.suggest(name[:LONGEST_QUOTE], _GUARDS)}")
    return _GUARDS[name] if kind == "guard" else registry.find(kind, name[:LONGEST_QUOTE], modules)[0]


def _options(plug_in: registry.Entry, entry: Entry, where: Where, document: Document) -> dict[str, Any] | None:
    model = options_model(plug_in)
    keys = {**model.model_fields, **type(entry).model_fields}
    try:
        # Through JSON, where a list may stand for a tuple and nothing else for another type.
        options = model.model_validate_json(json.dumps(entry.options))
    except ValidationError as error:
        for complaint in complaints(error, entry.options, lambda _: keys):
            at = None if complaint.key is None else document.key_places.get((*where, complaint.key))
            document.report((*where, *complaint.where), complaint.message, at)
        return None
    return dict(sorted(options.model_dump(mode="json").items()))
