"""JSON Schema of campaign files for editors, with the names and options of all plug-ins."""

import re
from typing import Any

from faultbench.campaign.choices import known, options_model
from faultbench.campaign.spec import AXES, CampaignSpec, Entry, ModelEntry
from faultbench.registry import Entry as PlugIn

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema that a campaign file fulfils; it cannot tell repeats, idle data sets and missing files."""
    schema = CampaignSpec.model_json_schema()
    for key, kind in AXES.items():
        shape = schema["$defs"][_entry_model(key).__name__]
        schema["properties"][key]["items"] = {"anyOf": _entries(kind, shape)}
    for unused in (Entry, ModelEntry):
        del schema["$defs"][unused.__name__]
    return {"$schema": _DIALECT, **schema, "title": "faultbench campaign"}


def _entry_model(key: str) -> type[Entry]:
    return ModelEntry if key == "models" else Entry


def _entries(kind: str, shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Names alone, then mappings, a plug-in each."""
    plug_ins = known(kind).values()
    return [{**_name(plug_in), "description": plug_in.summary} for plug_in in plug_ins] + [
        _mapping(plug_in, shape) for plug_in in plug_ins
    ]


def _name(plug_in: PlugIn) -> dict[str, Any]:
    if "<" not in plug_in.name:
        return {"const": plug_in.name}
    fixed = re.split(r"<\w+>", plug_in.name)
    pattern = ".+".join(re.sub(r"[.^$*+?()\[\]{}|\\/]", r"\\\g<0>", part) for part in fixed)
    return {"type": "string", "pattern": f"^{pattern}$"}


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
