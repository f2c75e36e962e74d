"""Choices of a campaign: entries of its axes as plug-ins with every option written out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from faultbench.campaign.document.problems import MAX_QUOTE_LENGTH, KeyPath
from faultbench.campaign.document.pydantic_errors import report_errors
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.keys import OWN_NETWORKS_VERSION
from faultbench.campaign.named_files import content_digest
from faultbench.campaign.spec import PluginEntry
from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule
from faultbench.plugins.registry import Modules, PluginDeclaration
from faultbench.system.errors import FaultbenchError

_GUARDS = {"none": PluginDeclaration("guard", "none", "No weight guard.", "", "")}

_LATER_OPTIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("dataset", "mnist"): {"resize": False},
    ("dataset", "fashion_mnist"): {"resize": False},
}
"""Options added to a plug-in after results were recorded, with the value that those results had.

An option at this value is left out of the record, so that the keys of those results stay the same.
"""


@dataclass(frozen=True)
class Choice:
    """Entry of an axis: a plug-in by its name in the registry, with the value of each of its options.

    options are plain JSON values, sorted by name, with defaults filled in. label is the text in tables and plots; it is
    not part of the identity.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(hash=False)
    label: str
    origin: PluginModule | None = None
    """Module of a lab's own that declares the plug-in. A worker imports it."""
    folder: Path = Path()
    """Folder that a `<path>` in the name is relative to: the absolute folder of the campaign file."""
    content: str | None = None
    """Digest of the file or folder that a `<path>` in the name leads to."""

    @property
    def record(self) -> dict[str, Any]:
        """Return what identifies the choice within its axis, with the source digests of a lab's plug-in."""
        sources = {} if self.origin is None else {"sources": list(self.origin.sources)}
        content = {} if self.content is None else {"content": self.content}
        law = {"law": OWN_NETWORKS_VERSION} if self.kind == "model" and self.origin is not None else {}
        return {"name": self.name, "options": self._recorded_options, **sources, **content, **law}

    @property
    def _recorded_options(self) -> dict[str, Any]:
        """Return the options without later ones that have the value of earlier results."""
        later = _LATER_OPTIONS.get((self.kind, self.name), {}) if self.origin is None else {}
        return {key: value for key, value in self.options.items() if key not in later or later[key] != value}


def known_plugins(kind: str, modules: Modules = ()) -> Mapping[str, PluginDeclaration]:
    """Return the plug-ins of a kind by name. The registry has no folder of guards yet; they are listed here."""
    return _GUARDS if kind == "guard" else registry.catalogue(kind, modules)


def read_choice(
    kind: str, entry: PluginEntry, key_path: KeyPath, document: Document, modules: Modules
) -> Choice | None:
    """Return the choice that an entry makes. Return None, with the problems reported, if the entry is wrong."""
    try:
        plugin = _find_plugin(kind, entry.name, modules)
    except FaultbenchError as error:
        document.report(key_path, str(error), document.position((*key_path, "name")))
        return None
    options = _read_options(plugin, entry, key_path, document)
    has_path = "<path>" in plugin.name
    content = content_digest(plugin, entry.name, key_path, document) if has_path else None
    if options is None or (has_path and content is None):
        return None
    folder = document.folder if has_path else Path()
    return Choice(kind, entry.name, options, entry.printed, plugin.origin, folder, content)


def options_model(plugin: PluginDeclaration) -> type[BaseModel]:
    """Return a pydantic model of a plug-in's options: their types, ranges and defaults, and no other keys."""
    fields: dict[str, Any] = {name: (option.annotation, option.default) for name, option in plugin.options.items()}
    config = ConfigDict(extra="forbid", strict=True, validate_default=True, protected_namespaces=())
    return create_model(plugin.name, __config__=config, **fields)


def _find_plugin(kind: str, name: str, modules: Modules) -> PluginDeclaration:
    if kind == "guard" and name not in _GUARDS:
        raise FaultbenchError(f"unknown guard {registry.suggest(name[:MAX_QUOTE_LENGTH], _GUARDS)}")
    return _GUARDS[name] if kind == "guard" else registry.find(kind, name[:MAX_QUOTE_LENGTH], modules)[0]


def _read_options(
    plugin: PluginDeclaration, entry: PluginEntry, key_path: KeyPath, document: Document
) -> dict[str, Any] | None:
    model = options_model(plugin)
    keys = {**model.model_fields, **type(entry).model_fields}
    try:
        # Read from JSON, where strict mode accepts a list for a tuple and converts nothing else.
        options = model.model_validate_json(json.dumps(entry.options))
    except ValidationError as error:
        report_errors(error, entry.options, lambda _: keys, document, key_path)
        return None
    return dict(sorted(options.model_dump(mode="json").items()))
