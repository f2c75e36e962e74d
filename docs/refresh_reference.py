"""Write docs/reference.md: every key of a campaign file and every plug-in, from the schema itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultbench.campaign.choices import known_plugins, options_model
from faultbench.campaign.json_schema import json_schema
from faultbench.campaign.spec import AXES
from faultbench.plugins.registry import PluginDeclaration

PAGE = Path(__file__).parent / "reference.md"

HEAD = """# Campaign files

`docs/refresh_reference.py` makes this page from the schema that `faultbench schema` prints for editors.
`faultbench list` shows the same for the plug-ins of a kind. Lists are axes of the grid. `-s key=value` on the command
line overrides a key.

## Keys
"""

ENTRIES = """
An entry of an axis is a name, or a mapping with a name, a `label` for tables and plots, and the options of the
plug-in: `{name: clip_act, granularity: channel, label: Clip-Act (channel)}`. An entry of `models` also takes
`when: {dataset: …}`, the data sets that it is for, and `weights`, a file to load instead of training, or a mapping:
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD, *_keys(json_schema()["properties"]), ENTRIES, *_weights(json_schema()["$defs"])]
    for key, kind in AXES.items():
        parts += [f"\n## {key}\n", *_plug_ins(kind)]
    parts += ["\n## Engines\n", "`faultbench run --engine` chooses one of these.\n", *_plug_ins("engine")]
    return "\n".join(parts) + "\n"


def _keys(properties: dict[str, Any]) -> Iterator[str]:
    yield "| key | is | default |\n| --- | --- | --- |"
    for key, shape in properties.items():
        yield f"| `{key}` | {_cell(shape.get('description', ''))} | {_default(shape)} |"
    for key, shape in json_schema()["$defs"]["Training"]["properties"].items():
        kind = f"{_cell(_type(shape))}: {shape['description']}"
        yield f"| `training: {{{key}: …}}` | {kind} | {_default(shape)} |"


def _weights(shapes: dict[str, Any]) -> Iterator[str]:
    rows = {f"weights: {{{key}: …}}": shape for key, shape in shapes["WeightsEntry"]["properties"].items()}
    rows |= {f"normalisation: {{{key}: …}}": shape for key, shape in shapes["Normalisation"]["properties"].items()}
    yield "| key | is | default |\n| --- | --- | --- |"
    for key, shape in rows.items():
        yield f"| `{key}` | {_cell(shape['description'])} | {_default(shape)} |"
    yield "\n[Your own network](own_model.md) shows how it is used."


def _plug_ins(kind: str) -> Iterator[str]:
    for plug_in in known_plugins(kind).values():
        yield f"- `{plug_in.name}`: {plug_in.summary}"
        yield from (f"  - {line}" for line in _options(plug_in))


def _options(plug_in: PluginDeclaration) -> Iterator[str]:
    shapes = options_model(plug_in).model_json_schema()
    for name, shape in shapes.get("properties", {}).items():
        yield f"`{name}`: {_type(shape)}; {_default(shape)} by default"


def _type(shape: dict[str, Any]) -> str:
    if "anyOf" in shape:
        return " or ".join(_type(part) for part in shape["anyOf"])
    if "enum" in shape:
        return " or ".join(f"`{value}`" for value in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    if shape.get("type") == "array":
        return _array(shape)
    named = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "null": "`null`"}
    return named.get(shape.get("type", ""), "text") + _range(shape)


def _array(shape: dict[str, Any]) -> str:
    if "prefixItems" in shape:
        return f"list of {len(shape['prefixItems'])}, each {_type(shape['prefixItems'][0])}"
    return f"list, each {_type(shape['items'])}"


def _range(shape: dict[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {shape[key]}" for key, word in words.items() if key in shape]
    return f" {', '.join(limits)}" if limits else ""


def _default(shape: dict[str, Any]) -> str:
    if "default" not in shape:
        return "required" if "$ref" not in shape else "`{schedule: fast}`"
    return f"`{_written(shape['default'])}`"


def _written(value: Any) -> str:
    """Return a value as a campaign file spells it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return _written(value["name"]) if "name" in value else "{schedule: fast}" if value else "{}"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
