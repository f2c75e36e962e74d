"""Tests that types and values are read from source as pydantic reads them, without running the source."""

import ast
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from faultbench.plugins.annotations import last_name, read_type, read_value


def expression(source: str) -> ast.expr:
    return ast.parse(source, mode="eval").body


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("int", int),
        ("None", None),
        ("int | None", int | None),
        ("int | float | str", int | float | str),
        ("list[str]", list[str]),
        ("tuple[float, ...]", tuple[float, ...]),
        ("tuple[int, str]", tuple[int, str]),
        ("dict[str, list[int]]", dict[str, list[int]]),
        ("Literal['layer', 3, None, True]", Literal["layer", 3, None, True]),
        ("typing.Literal['a']", Literal["a"]),
        ("Literal['a'] | bool", Literal["a"] | bool),
    ],
)
def test_a_type_is_read_as_python_means_it(source: str, meant: Any) -> None:
    assert read_type(expression(source)) == meant


@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [
        ("Annotated[int, Field(ge=0, le=31)]", [0, 31], [-1, 32]),
        ("Annotated[float, Field(gt=-1.5)] | None", [None, -1.4], [-1.5]),
        ("t.Annotated[list[Annotated[int, p.Field(lt=3)]], p.Field(min_length=1)]", [[2]], [[], [3]]),
        ("Annotated[str, Field(pattern='^a+$')]", ["aa"], ["b"]),
    ],
)
def test_constraints_of_a_field_hold(source: str, right: list[Any], wrong: list[Any]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(read_type(expression(source)))
    for value in right:
        assert adapter.validate_python(value) == value
    for value in wrong:
        with pytest.raises(ValueError, match="validation error"):
            adapter.validate_python(value)


TOUCH = "__import__('pathlib').Path('touched').touch()"

HOSTILE = [
    TOUCH,
    f'"{TOUCH}"',
    f'list["{TOUCH}"]',
    f'int | "{TOUCH}"',
    f"Literal[{TOUCH}]",
    f"Annotated[int, {TOUCH}]",
    f"Annotated[int, Field(ge={TOUCH})]",
    f"Annotated[int, Field(default_factory=lambda: {TOUCH})]",
    f'Annotated["{TOUCH}", Field(ge=0)]',
    "Annotated[int, Field(ge=0, **x)]",
    "Annotated[int, Field(alias='other')]",
    "Annotated[int, Field(0)]",
    "Annotated[int]",
    "10**10**10",
    "Path",
    "int and str",
    "(lambda: int)()",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_what_would_have_to_run_is_refused_and_does_not_run(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be read from source|is not a literal"):
        TypeAdapter(read_type(expression(source)))
    assert not list(tmp_path.iterdir())


def test_values_are_literals_only() -> None:
    assert read_value(expression("{'a': [-1.5, (2,), None]}")) == {"a": [-1.5, (2,), None]}
    for source in ("DEPTH", "max(1, 2)", "{[]: 1}", TOUCH):
        with pytest.raises(ValueError, match="is not a literal, such as 8 or 'layer'"):
            read_value(expression(source))


def test_the_last_name_is_what_an_attribute_or_a_name_ends_in() -> None:
    names = {source: last_name(expression(source)) for source in ("model", "registry.model", "a.b.model", "f()", "1")}
    assert list(names.values()) == ["model", "model", "model", "", ""]
