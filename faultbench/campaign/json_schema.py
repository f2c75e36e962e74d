"""JSON Schema of campaign files for editors, with the names and options of all plug-ins."""

import re
from collections.abc import Collection
from typing import Any

from pydantic import TypeAdapter

from faultbench.campaign.choices import Modules, known, options_model
from faultbench.campaign.spec import AXES, CampaignSpec, Entry, ModelEntry
from faultbench.plugins.registry import Entry as PlugIn

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(modules: Modules = ()) -> dict[str, Any]:
    """The schema that a campaign file fulfils; it cannot tell repeats, idle data sets and missing files.

    modules are those that the campaign names under `plugins`.
    """
    schema = CampaignSpec.model_json_schema()
    for key, kind in AXES.items():
        shape = schema["$defs"][_entry_model(key).__name__]
        schema["properties"][key]["items"] = {"anyOf": _entries(known(kind, modules).values(), shape)}
    for unused in (Entry, ModelEntry):
        del schema["$defs"][unused.__name__]
    return {"$schema": _DIALECT, **schema, "title": "faultbench campaign"}


def _entry_model(key: str) -> type[Entry]:
    return ModelEntry if key == "models" else Entry


def _entries(plug_ins: Collection[PlugIn], shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Names alone, then mappings, a plug-in each."""
    return [{**_name(plug_in), "description": plug_in.summary} for plug_in in plug_ins] + [
        _mapping(plug_in, shape) for plug_in in plug_ins
    ]


def _name(plug_in: PlugIn) -> dict[str, Any]:
    if "<" not in plug_in.name:
        return {"const": plug_in.name}
    parts = enumerate(re.split(r"<(\w+)>", plug_in.name))  # fixed text and placeholders by turns
    pattern = "".join(_placeholder(plug_in, part) if n % 2 else _escaped(part) for n, part in parts)
    return {"type": "string", "pattern": f"^{pattern}$"}


def _placeholder(plug_in: PlugIn, name: str) -> str:
    is_integer = TypeAdapter(plug_in.placeholders.get(name, str)).json_schema().get("type") == "integer"
    return "-?[0-9]+" if is_integer else ".+"


def _escaped(text: str) -> str:
    """Text as a pattern that matches it: JSON Schema's dialect refuses some of the escapes that re.escape makes."""
    return re.sub(r"[.^$*+?()\[\]{}|\\/]", r"\\\g<0>", text)


def _mapping(plug_in: PlugIn, shape: dict[str, Any]) -> dict[str, Any]:
    """The form {name, label, options…} of one plug-in."""
    options = options_model(plug_in).model_json_schema().get("properties", {})
    properties = {**shape["properties"], **options, "name": _name(plug_in)}
    return {
        "type": "object",
        "description": plug_in.summary,
        "properties": properties,
        "required": ["name"],
        "additionalProperties": False,
    }
