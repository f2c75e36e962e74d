"""Tests that the errors which users meet form one documented tree."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import faultbench
from faultbench.system import errors
from faultbench.system.errors import FaultbenchError

PACKAGE = Path(faultbench.__file__).parent

DOCUMENT = PACKAGE.parent / "docs" / "python.md"

INTERNAL = {"MisdeclaredError", "StopNow", "UnreadableBaseError", "UnreadableError", "UnsoundFileError"}
"""Exceptions that never reach users."""

ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| `([\w.]+)` \| (\d+) \|", re.MULTILINE)

ROWS = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def exception_bases() -> dict[str, str]:
    """Return every exception class of the package and its first base, read from source."""
    classes = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.bases
    ]
    bases = {node.name: ast.unparse(node.bases[0]) for node in classes}

    def root(name: str) -> str:
        return root(bases[name]) if name in bases else name

    roots = {"Exception", "BaseException", "ValueError", "TypeError", "RuntimeError", "KeyboardInterrupt", "OSError"}
    return {name: base for name, base in bases.items() if root(base) in roots}


def test_the_manual_lists_every_public_error_with_its_base() -> None:
    public = {name: base for name, base in exception_bases().items() if not name.startswith("_")}
    assert {name: base for name, base in public.items() if name not in INTERNAL} == {
        name: base for name, base, *_ in ROWS
    }


def test_every_public_error_is_a_faultbench_error() -> None:
    for name, _, module, _ in ROWS:
        assert issubclass(getattr(importlib.import_module(module), name), FaultbenchError)


@pytest.mark.parametrize(("name", "base", "module", "code"), ROWS)
def test_a_row_of_the_manual_and_of_the_docstring_is_what_the_class_is(
    name: str, base: str, module: str, code: str
) -> None:
    error = getattr(importlib.import_module(module), name)
    assert (error.__bases__[0].__name__, error.exit_code) == (base, int(code))
    assert re.search(rf"[├└]── {name} +{code} ", errors.__doc__ or "")


def test_the_docstring_draws_the_tree_of_the_classes() -> None:
    drawn, above = {}, ["Exception"]
    for indent, name in re.findall(r"^([ │]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        above[depth:] = [name]
        drawn[name] = above[depth - 1]
    assert drawn == {name: base for name, base, *_ in ROWS}
