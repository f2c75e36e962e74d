"""What a source file declares: its plug-ins with their options, read without importing it."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from faultbench.plugins.annotations import last_name, read_type, read_value
from faultbench.plugins.base_classes import SourceModule, UnreadableBaseError, field_owners
from faultbench.plugins.modules import PluginModule

_HERE = Path(__file__).parent.parent


class MisdeclaredError(ValueError):
    """A plug-in whose name or options cannot be read from its source; line is the source's."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


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
    placeholders: Mapping[str, Any] = field(default_factory=dict)
    """Types of the name's placeholders; one without a type is text."""
    origin: PluginModule | None = None
    """The module of a lab's own that it comes from; None for faultbench's."""

    def match(self, text: str) -> dict[str, str] | None:
        """The placeholders' texts when text is this name, None when it is not."""
        pattern = "".join(
            f"(?P<{part}>.+?)" if is_placeholder else re.escape(part) for part, is_placeholder in _parts(self.name)
        )
        found = re.fullmatch(pattern, text)
        return found.groupdict() if found else None

    def load(self) -> Any:
        """The plug-in itself; imports its module."""
        module = importlib.import_module(self.module) if self.origin is None else self.origin.load()
        return getattr(module, self.attribute)


def declared(tree: ast.Module, kind: str, module: str, origin: PluginModule | None = None) -> Iterator[Entry]:
    """The plug-ins of a kind that a module's source declares; MisdeclaredError at one that cannot be read."""
    is_package = origin is not None and origin.file.stem == "__init__"
    source = SourceModule(module, tree, _HERE if origin is None else origin.folder, is_package)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and last_name(decorator.func) == kind:
                    name, summary = _name(decorator), (ast.get_docstring(node) or "").partition("\n")[0]
                    yield Entry(kind, name, summary, module, node.name, *_taken(node, name, source), origin)


def _name(decorator: ast.Call) -> str:
    match decorator.args:
        case [ast.Constant(value=str(name))] if name and name.isprintable():
            placeholders = [part for part, is_placeholder in _parts(name) if is_placeholder]
            if len(set(placeholders)) == len(placeholders) and all(part.isidentifier() for part in placeholders):
                return name
            raise MisdeclaredError(f"{name!r}: <placeholders> are named as parameters are, each once", decorator.lineno)
    raise MisdeclaredError("the name of a plug-in must be printable text in quotes", decorator.lineno)


def _parts(name: str) -> Iterator[tuple[str, bool]]:
    """What a name is made of, and whether each part is a placeholder."""
    return zip(re.split(r"<(\w+)>", name), cycle((False, True)), strict=False)


@dataclass(frozen=True)
class _Parameter:
    """A parameter of a function, or an annotated field of a class."""

    owner: str
    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    line: int

    def type(self) -> Any:
        if self.annotation is None:
            raise MisdeclaredError(f"{self.owner}: option {self.name!r} needs an annotation", self.line)
        return self._read(read_type, self.annotation)

    def option(self, default: ast.expr) -> Option:
        return Option(self.type(), self._read(read_value, default))

    def _read(self, read: Callable[[ast.expr], Any], node: ast.expr) -> Any:
        try:
            return read(node)
        except (ValueError, RecursionError) as error:
            raise MisdeclaredError(f"{self.owner}: option {self.name!r}: {error}", self.line) from error


def _taken(
    node: ast.FunctionDef | ast.ClassDef, name: str, source: SourceModule
) -> tuple[dict[str, Option], dict[str, Any]]:
    """The options of a plug-in, which have a default, and the types of its name's placeholders, which have none."""
    parameters = list(_fields(node, source) if isinstance(node, ast.ClassDef) else _arguments(node))
    options = {one.name: one.option(one.default) for one in parameters if one.default is not None}
    in_name = {part for part, is_placeholder in _parts(name) if is_placeholder}
    typed = [one for one in parameters if one.name in in_name and one.annotation is not None]
    return options, {one.name: one.type() for one in typed}


def _fields(node: ast.ClassDef, source: SourceModule) -> Iterator[_Parameter]:
    """Annotated fields in a dataclass's order: those of its bases first, and each as it was annotated last."""
    found: dict[str, _Parameter] = {}
    try:
        owners = field_owners(node, source)
    except UnreadableBaseError as error:
        raise MisdeclaredError(f"{node.name}: {error}", node.lineno) from error
    for owner, module in owners:
        is_here = module.name == source.name
        label = owner.name if is_here else f"{node.name}, from {owner.name} of {module.name}"
        for name, item in _annotated(owner):
            line = item.lineno if is_here else node.lineno
            found[name] = _Parameter(label, name, item.annotation, item.value, line)
    return (one for one in found.values() if one.annotation is not None and not _is_shared(one.annotation))


def _annotated(owner: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    for item in owner.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id, item


def _arguments(node: ast.FunctionDef) -> Iterator[_Parameter]:
    positional = [*node.args.posonlyargs, *node.args.args]
    n_without = len(positional) - len(node.args.defaults)
    defaults = [*[None] * n_without, *node.args.defaults, *node.args.kw_defaults]
    for argument, default in zip([*positional, *node.args.kwonlyargs], defaults, strict=True):
        yield _Parameter(node.name, argument.arg, argument.annotation, default, argument.lineno)


def _is_shared(annotation: ast.expr) -> bool:
    """Whether a field is the class's own and not each instance's."""
    return last_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation) == "ClassVar"
