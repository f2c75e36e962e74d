"""Name → plug-in, for everything a campaign file can name: one file each, found by a folder scan.

A plug-in is a function or a class under one of the decorators below. Its parameters (for a class: its
annotated fields) with a default are the options that a campaign file may set; the others are supplied by
faultbench or by `<placeholders>` in the plug-in's name. The scan reads the *source*, not the module, so that
`faultbench list` and `validate` know every name, option and default without importing torch.
"""

import ast
import difflib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from faultbench.errors import FaultbenchError

T = TypeVar("T", bound=Callable[..., Any])

FOLDERS = {
    "dataset": "datasets",
    "model": "models",
    "scheme": "schemes",
    "number_format": "formats",
    "fault_model": "faults",
    "engine": "engines",
}
"""Kind → folder of the package that holds its plug-ins; the folder is also the plural users read."""

_ANNOTATIONS = {"Annotated": Annotated, "Literal": Literal, "Field": Field}
"""What an option's annotation may use besides the builtins."""


@dataclass(frozen=True)
class Option:
    """One option of a plug-in: its type (as pydantic reads it) and its default."""

    annotation: Any
    default: Any


@dataclass(frozen=True)
class Entry:
    """One plug-in as its source declares it, not imported yet."""

    kind: str
    name: str
    summary: str
    module: str
    attribute: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def match(self, text: str) -> dict[str, str] | None:
        """The placeholders' values when text is this name, None when it is not."""
        parts = re.split(r"<(\w+)>", self.name)
        pattern = "".join(
            f"(?P<{part}>.+?)" if odd else re.escape(part) for part, odd in zip(parts, _alternate(), strict=False)
        )
        found = re.fullmatch(pattern, text)
        return found.groupdict() if found else None

    def load(self) -> Any:
        """The plug-in itself; imports its module."""
        return getattr(importlib.import_module(self.module), self.attribute)


def dataset(name: str) -> Callable[[T], T]:
    """Register a data set under this name."""
    return _marker(name)


def model(name: str) -> Callable[[T], T]:
    """Register a network under this name."""
    return _marker(name)


def scheme(name: str) -> Callable[[T], T]:
    """Register an activation scheme under this name."""
    return _marker(name)


def number_format(name: str) -> Callable[[T], T]:
    """Register a number format under this name."""
    return _marker(name)


def fault_model(name: str) -> Callable[[T], T]:
    """Register a fault model under this name."""
    return _marker(name)


def engine(name: str) -> Callable[[T], T]:
    """Register an engine under this name."""
    return _marker(name)


@cache
def catalogue(kind: str) -> Mapping[str, Entry]:
    """All plug-ins of a kind by name, sorted; a name taken twice raises ValueError."""
    folder = Path(__file__).parent / FOLDERS[kind]
    entries: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.py")):
        for entry in _declared(path, kind):
            if entry.name in entries:
                raise ValueError(f"{kind} {entry.name!r}: declared by {entries[entry.name].module} and {entry.module}")
            entries[entry.name] = entry
    return dict(sorted(entries.items()))


def find(kind: str, text: str) -> tuple[Entry, dict[str, str]]:
    """The plug-in that text names and its placeholders' values; FaultbenchError with a suggestion if none."""
    exact_names_first = sorted(catalogue(kind).values(), key=lambda entry: "<" in entry.name)
    for entry in exact_names_first:
        placeholders = entry.match(text)
        if placeholders is not None:
            return entry, placeholders
    raise FaultbenchError(f"unknown {kind.replace('_', ' ')} {suggest(text, catalogue(kind))}")


def build(kind: str, text: str, options: Mapping[str, Any], **supplied: Any) -> Any:
    """Call the plug-in that text names with its options and with what faultbench supplies."""
    entry, placeholders = find(kind, text)
    return entry.load()(**placeholders, **options, **supplied)


def suggest(given: str, known: Mapping[str, Any]) -> str:
    """The part of an error message that quotes a wrong name, guesses the right one and lists them all."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{given!r}{guess} (known: {', '.join(known)})"


def _marker(name: str) -> Callable[[T], T]:
    # The decorator leaves its target alone: `_declared` reads name and options from the source.
    if not name:
        raise ValueError("a plug-in needs a name")
    return lambda target: target


def _alternate() -> Iterator[bool]:
    while True:
        yield False
        yield True


def _declared(path: Path, kind: str) -> Iterator[Entry]:
    module = f"faultbench.{path.parent.name}.{path.stem}"
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", None) == kind:
                name = ast.literal_eval(decorator.args[0])
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                yield Entry(kind, name, summary, module, node.name, dict(_options(node)))


def _options(node: ast.FunctionDef | ast.ClassDef) -> Iterator[tuple[str, Option]]:
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or _is_class_variable(item.annotation):
                continue
            if isinstance(item.target, ast.Name) and item.value:
                yield item.target.id, _option(item.annotation, item.value)
    else:
        for argument, default in _defaulted(node.args):
            if argument.annotation is None:
                raise ValueError(f"{node.name}: option {argument.arg!r} needs an annotation")
            yield argument.arg, _option(argument.annotation, default)


def _defaulted(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    n_without = len(positional) - len(arguments.defaults)
    yield from zip(positional[n_without:], arguments.defaults, strict=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument, default


def _is_class_variable(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).startswith("ClassVar")


def _option(annotation: ast.expr, default: ast.expr) -> Option:
    expression = compile(ast.Expression(annotation), "<annotation>", "eval")
    return Option(eval(expression, dict(_ANNOTATIONS)), ast.literal_eval(default))  # our own source
