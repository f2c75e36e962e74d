"""The JSON Schema of campaign files agrees with what the loader takes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from faultbench.campaign import parse_campaign
from faultbench.campaign.document.yaml_source import read_document
from faultbench.campaign.json_schema import json_schema
from tests.builders.campaign_texts import SOURCE, more_plug_ins, problems, small

NO_OF_THE_CHECK = {"title", "description", "default", "$schema", "$defs"}
"""Keywords that hold for nobody's value."""


@pytest.fixture(scope="module")
def schema() -> Iterator[dict[str, Any]]:
    with more_plug_ins():
        yield json_schema()


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value fulfils a schema of the few keywords that ours uses; KeyError at any other."""
    checks = {
        "$ref": lambda ref: fits(value, root["$defs"][ref.removeprefix("#/$defs/")], root),
        "oneOf": lambda members: sum(fits(value, member, root) for member in members) == 1,
        "anyOf": lambda members: any(fits(value, member, root) for member in members),
        "const": lambda constant: value == constant,
        "enum": lambda values: value in values,
        "type": lambda name: is_of_type(value, name),
        "pattern": lambda pattern: bool(re.search(pattern, value)),
        "minimum": lambda limit: value >= limit,
        "maximum": lambda limit: value <= limit,
        "exclusiveMinimum": lambda limit: value > limit,
        "exclusiveMaximum": lambda limit: value < limit,
        "minLength": lambda n: len(value) >= n,
        "maxLength": lambda n: len(value) <= n,
        "minItems": lambda n: len(value) >= n,
        "maxItems": lambda n: len(value) <= n,
        "prefixItems": lambda members: all(
            fits(one, member, root) for one, member in zip(value, members, strict=False)
        ),
        "items": lambda item: all(fits(element, item, root) for element in value),
        "required": lambda keys: set(keys) <= set(value),
        "properties": lambda properties: all(fits(value[k], properties[k], root) for k in value.keys() & properties),
        "additionalProperties": lambda allowed: allowed or set(value) <= set(schema["properties"]),
    }
    rules = sorted(schema.keys() - NO_OF_THE_CHECK, key=lambda rule: rule != "type")  # type first: it guards the rest
    return all(checks[rule](schema[rule]) for rule in rules)


def is_of_type(value: Any, name: str) -> bool:
    types: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, types[name])


RIGHT = [
    {},
    {"bers": "[1.0e-7, 0.5]"},
    {"schemes": "[relu, {name: knobs, bits: 8, rates: [0.1, 1], limit: 2, layers: null}]"},
    {"schemes": "[{name: knobs, deploy: hard, enabled: true, label: x}]"},
    {"formats": "[q15.16, float32, {name: q3.4, label: small}]"},
    {"datasets": "[digits, {name: shapes, size: 4}]"},
    {"models": "[digits_cnn, {name: resnet20, when: {dataset: [digits]}}, 'zoo:a/b']"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, keys: {a: b}, golden_accuracy: 1}}]"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, normalisation: {mean: [0], std: [0.5]}}}]"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, drop: [a, 'b.*'], state_dict: model}}]"},
    {"trials": "{max: 1000, until: {accuracy_halfwidth: 0.01}}"},
    {"trials": "{max: 90, min: 9, until: {accuracy_halfwidth: 0.01, confidence: 0.99}}"},
    {"images": "all", "batch": "10", "guards": "[none]", "training": "{schedule: paper}", "seed": "3"},
]

WRONG = [
    {"bers": "[10]"},
    {"bers": "[0]"},
    {"bers": "[]"},
    {"bers": ""},
    {"name": "a b"},
    {"trails": "3"},
    {"trials": "0"},
    {"trials": "{max: 3}"},
    {"trials": "{max: 300, until: {accuracy_halfwidth: 1}}"},
    {"trials": "{max: 300, until: {}}"},
    {"images": "some"},
    {"schemes": "[ftclipact]"},
    {"schemes": "relu"},
    {"schemes": "[{label: x}]"},
    {"schemes": "[{name: knobs, bits: 9}]"},
    {"schemes": "[{name: knobs, limit: aut}]"},
    {"schemes": "[{name: relu, granularity: layer}]"},
    {"schemes": "[{name: relu, weights: x}]"},
    {"formats": "[q15_16]"},
    {"formats": "[qx.y]"},
    {"plugins": "[5]"},
    {"guards": "[secded]"},
    {"models": "[{name: digits_cnn, when: {data: digits}}]"},
    {"models": "[{name: digits_cnn, weights: {keys: {}}}]"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, normalisation: {mean: [0], std: [0]}}}]"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, golden_accuracy: 91.7}}]"},
    {"models": "[{name: digits_cnn, weights: {file: README.md, drop: ['']}}]"},
    {"training": "{schedule: slow}"},
]


@pytest.mark.parametrize("changed", RIGHT)
def test_what_the_loader_takes_fits_the_schema(schema: dict[str, Any], changed: dict[str, str]) -> None:
    text = small(**changed)
    with more_plug_ins():
        written = parse_campaign(text, SOURCE).spec
    assert fits(read_document(text, "").value, schema, schema)
    assert fits(written, schema, schema)


@pytest.mark.parametrize("changed", WRONG)
def test_what_the_loader_refuses_does_not_fit_the_schema(schema: dict[str, Any], changed: dict[str, str]) -> None:
    text = small(**changed)
    with more_plug_ins():
        assert problems(text)
    assert not fits(read_document(text, "").value, schema, schema)


def test_the_schema_names_its_dialect_and_is_plain_json(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_every_reference_of_the_schema_leads_somewhere(schema: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(schema)))
    assert references == set(schema["$defs"])


def test_an_editor_sees_names_summaries_types_and_defaults(schema: dict[str, Any]) -> None:
    entries = schema["properties"]["schemes"]["items"]["anyOf"]
    assert {"const": "knobs", "description": "A scheme for tests."} in entries
    (mapping,) = (entry for entry in entries if entry.get("properties", {}).get("name") == {"const": "knobs"})
    assert mapping["properties"]["bits"] == {
        "default": 4,
        "maximum": 8,
        "minimum": 1,
        "title": "Bits",
        "type": "integer",
    }
