"""JSON Schema of campaign files for editors, with the names and options of all plug-ins."""

import re
from collections.abc import Collection
from typing import Any

from pydantic import TypeAdapter

from faultbench.campaign.choices import known_plugins, options_model
from faultbench.campaign.spec import AXES, CampaignSpec, ModelEntry, PluginEntry
from faultbench.plugins.registry import Modules, PluginDeclaration

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(modules: Modules = ()) -> dict[str, Any]:
    """Return the schema of campaign files. It cannot detect repeats, unused data sets and missing files.

    modules are those that the campaign names under `plugins`.
    """
    schema = CampaignSpec.model_json_schema()
    for key, kind in AXES.items():
        shape = schema["$defs"][_entry_model(key).__name__]
        schema["properties"][key]["items"] = {"anyOf": _entry_schemas(known_plugins(kind, modules).values(), shape)}
    for unused in (PluginEntry, ModelEntry):
        del schema["$defs"][unused.__name__]
    return {"$schema": _DIALECT, **schema, "title": "faultbench campaign"}


def _entry_model(key: str) -> type[PluginEntry]:
    return ModelEntry if key == "models" else PluginEntry


def _entry_schemas(plugins: Collection[PluginDeclaration], shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of the bare names, then those of the mappings, one of each per plug-in."""
    names = [{**_name_schema(plugin), "description": plugin.summary} for plugin in plugins]
    return names + [_mapping_schema(plugin, shape) for plugin in plugins]


def _name_schema(plugin: PluginDeclaration) -> dict[str, Any]:
    if "<" not in plugin.name:
        return {"const": plugin.name}
    parts = enumerate(re.split(r"<(\w+)>", plugin.name))  # fixed text and placeholders alternate
    pattern = "".join(_placeholder_pattern(plugin, part) if n % 2 else _escape_pattern(part) for n, part in parts)
    return {"type": "string", "pattern": f"^{pattern}$"}


def _placeholder_pattern(plugin: PluginDeclaration, name: str) -> str:
    is_integer = TypeAdapter(plugin.placeholders.get(name, str)).json_schema().get("type") == "integer"
    return "-?[0-9]+" if is_integer else ".+"


def _escape_pattern(text: str) -> str:
    """Return a pattern that matches this text. JSON Schema does not accept all escapes that re.escape makes."""
    return re.sub(r"[.^$*+?()\[\]{}|\\/]", r"\\\g<0>", text)


def _mapping_schema(plugin: PluginDeclaration, shape: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a plug-in's form {name, label, options…}."""
    options = options_model(plugin).model_json_schema().get("properties", {})
    properties = {**shape["properties"], **options, "name": _name_schema(plugin)}
    return {
        "type": "object",
        "description": plugin.summary,
        "properties": properties,
        "required": ["name"],
        "additionalProperties": False,
    }
