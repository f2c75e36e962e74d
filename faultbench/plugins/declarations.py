"""Declarations of plug-ins and their options, read from a source file without importing it."""

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
from faultbench.plugins.source_files import find_in_reach

_HERE = Path(__file__).parents[2]


class MisdeclaredError(ValueError):
    """Plug-in whose name or options cannot be read from its source. line is the line in the source."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class PluginOption:
    """Option of a plug-in: its type, as pydantic reads it, and its default."""

    annotation: Any
    default: Any


@dataclass(frozen=True)
class PluginDeclaration:
    """Plug-in as its source declares it. It is not imported yet."""

    kind: str
    name: str
    summary: str
    module: str
    attribute: str
    options: Mapping[str, PluginOption] = field(default_factory=dict)
    placeholders: Mapping[str, Any] = field(default_factory=dict)
    """Types of the placeholders in the name. A placeholder without a type is text."""
    origin: PluginModule | None = None
    """Module of a lab's own that declares it; None for faultbench's."""

    def match(self, text: str) -> dict[str, str] | None:
        """Return the texts of the placeholders if text is this name; None if it is not."""
        pattern = "".join(
            f"(?P<{part}>.+?)" if is_placeholder else re.escape(part) for part, is_placeholder in _parts(self.name)
        )
        match = re.fullmatch(pattern, text)
        return match.groupdict() if match else None

    def load(self) -> Any:
        """Import the module, and return the plug-in."""
        module = importlib.import_module(self.module) if self.origin is None else self.origin.load()
        return getattr(module, self.attribute)


def read_declarations(
    tree: ast.Module, kind: str, module: str, origin: PluginModule | None = None
) -> Iterator[PluginDeclaration]:
    """Yield the plug-ins of a kind that a module's source declares. MisdeclaredError if one cannot be read."""
    is_package = origin is not None and origin.file.stem == "__init__"
    source = SourceModule(module, tree, _HERE if origin is None else origin.folder, is_package)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _marks(decorator.func, kind, source):
                    name, summary = _name(decorator), (ast.get_docstring(node) or "").partition("\n")[0]
                    options, placeholders = _read_parameters(node, name, source)
                    yield PluginDeclaration(kind, name, summary, module, node.name, options, placeholders, origin)


def _marks(function: ast.expr, kind: str, source: SourceModule) -> bool:
    """Return whether a decorator is faultbench's for a kind, whatever name the source imports it under.

    A decorator of the same name from a package outside the module's sources is not faultbench's.
    """
    name = ast.unparse(function)
    origin, _, attribute = source.resolve(name).rpartition(".")
    if attribute != kind:
        return False
    is_imported = name.partition(".")[0] in source.imports
    return not is_imported or find_in_reach(origin, source.name, source.folder) is not None


def _name(decorator: ast.Call) -> str:
    match decorator.args:
        case [ast.Constant(value=str(name))] if name and name.isprintable():
            placeholders = [part for part, is_placeholder in _parts(name) if is_placeholder]
            if len(set(placeholders)) == len(placeholders) and all(part.isidentifier() for part in placeholders):
                return name
            problem = f"{name!r}: give each <placeholder> a name of its own that a parameter can have"
            raise MisdeclaredError(problem, decorator.lineno)
    raise MisdeclaredError("the name of a plug-in must be printable text in quotes", decorator.lineno)


def _parts(name: str) -> Iterator[tuple[str, bool]]:
    """Return the parts of a plug-in's name, each with whether it is a placeholder."""
    return zip(re.split(r"<(\w+)>", name), cycle((False, True)), strict=False)


@dataclass(frozen=True)
class _Parameter:
    """Parameter of a function, or annotated field of a class."""

    owner: str
    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    line: int

    def type(self) -> Any:
        if self.annotation is None:
            raise MisdeclaredError(f"{self.owner}: option {self.name!r} needs an annotation", self.line)
        return self._read(read_type, self.annotation)

    def option(self, default: ast.expr) -> PluginOption:
        return PluginOption(self.type(), self._read(read_value, default))

    def _read(self, read: Callable[[ast.expr], Any], node: ast.expr) -> Any:
        try:
            return read(node)
        except (ValueError, RecursionError) as error:
            raise MisdeclaredError(f"{self.owner}: option {self.name!r}: {error}", self.line) from error


def _read_parameters(
    node: ast.FunctionDef | ast.ClassDef, name: str, source: SourceModule
) -> tuple[dict[str, PluginOption], dict[str, Any]]:
    """Return the options of a plug-in, that is, its parameters with a default, and the types of its placeholders."""
    parameters = list(_fields(node, source) if isinstance(node, ast.ClassDef) else _arguments(node))
    options = {item.name: item.option(item.default) for item in parameters if item.default is not None}
    placeholders = {part for part, is_placeholder in _parts(name) if is_placeholder}
    typed = [item for item in parameters if item.name in placeholders and item.annotation is not None]
    return options, {item.name: item.type() for item in typed}


def _fields(node: ast.ClassDef, source: SourceModule) -> Iterator[_Parameter]:
    """Return the annotated fields in the order of a dataclass, those of its bases first.

    The last annotation of a field counts.
    """
    fields: dict[str, _Parameter] = {}
    try:
        owners = field_owners(node, source)
    except UnreadableBaseError as error:
        raise MisdeclaredError(f"{node.name}: {error}", node.lineno) from error
    for owner, module in owners:
        is_here = module.name == source.name
        label = owner.name if is_here else f"{node.name}, from {owner.name} of {module.name}"
        for name, item in _annotated(owner):
            line = item.lineno if is_here else node.lineno
            fields[name] = _Parameter(label, name, item.annotation, item.value, line)
    return (item for item in fields.values() if item.annotation is not None and not _is_shared(item.annotation))


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
    """Return whether a field belongs to the class and not to each instance."""
    return last_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation) == "ClassVar"
