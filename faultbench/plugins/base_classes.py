"""The classes that a class has its fields from, found in source without importing any of it."""

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from faultbench.plugins.annotations import last_name
from faultbench.plugins.source_files import absolute_origin, find_in_reach, parse


class UnreadableBaseError(ValueError):
    """A base class that may bring fields along, but whose source is out of reach."""


@dataclass(frozen=True)
class SourceModule:
    """A module as its source has it; folder, the campaign file's, is where its neighbours lie."""

    name: str
    tree: ast.Module
    folder: Path
    is_package: bool = False

    @cached_property
    def imports(self) -> dict[str, str]:
        """Names that imports at the top of the module bind → the dotted names that they stand for."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        found: dict[str, str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                found |= dict(_bound(alias) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (origin := absolute_origin(node, package)):
                found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return found

    def defined(self, name: str) -> ast.ClassDef | None:
        """The class that the module defines under this name."""
        return next((node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


Owner = tuple[ast.ClassDef, SourceModule]


def field_owners(node: ast.ClassDef, module: SourceModule) -> list[Owner]:
    """The class, and before it the dataclasses that it inherits from, the remotest first.

    Followed are bases of the same file, of the module's own package, of the campaign's folder and of faultbench.
    Python's own classes bring no fields. UnreadableBaseError at any other base of a dataclass; one of a class
    that is none, such as nn.Module, brings no fields either, since only dataclasses pass them on.
    """
    return [*dict.fromkeys(_inherited(node, module, ())), (node, module)]


def _inherited(node: ast.ClassDef, module: SourceModule, below: tuple[ast.ClassDef, ...]) -> Iterator[Owner]:
    if node in below:
        raise UnreadableBaseError(f"class {node.name} is a base of itself")
    for base in reversed(node.bases):
        written = ast.unparse(base)
        try:
            found = _definition(_dotted(base), module)
        except UnreadableBaseError as error:
            if _is_dataclass(node):
                raise UnreadableBaseError(f"base {written}: {error}") from error
            continue
        if found is not None:
            yield from _inherited(*found, (*below, node))
            if _is_dataclass(found[0]):
                yield found


def _dotted(base: ast.expr) -> str:
    """a.b.C of the expressions a.b.C and a.b.C[T]."""
    node = base.value if isinstance(base, ast.Subscript) else base
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise UnreadableBaseError("it is computed; write a class's name")
    return ".".join([node.id, *reversed(parts)])


def _definition(name: str, module: SourceModule, *, n_left: int = 20) -> Owner | None:
    """The class that a name means in a module; None for one of Python's own. n_left imports may still pass it on."""
    if (own := module.defined(name)) is not None:
        return own, module
    first, _, rest = name.partition(".")
    if first not in module.imports:
        if hasattr(builtins, first):
            return None
        raise UnreadableBaseError(f"{module.name} neither defines nor imports {first!r} where its source can be read")
    target = ".".join(filter(None, [module.imports[first], rest]))
    if target.partition(".")[0] in sys.stdlib_module_names:
        return None
    origin, _, attribute = target.rpartition(".")
    file = find_in_reach(origin, module.name, module.folder) if origin else None
    if file is None or not n_left:
        raise UnreadableBaseError(
            f"the fields of {target} cannot be read: {origin or target} is neither of the plug-in's package nor "
            "beside the campaign nor faultbench's; write its options into the class itself"
        )
    there = SourceModule(origin, parse(file), module.folder, file.stem == "__init__")
    return _definition(attribute, there, n_left=n_left - 1)


def _bound(alias: ast.alias) -> tuple[str, str]:
    """`import a.b` binds a; `import a.b as c` binds c to a.b."""
    top = alias.name.partition(".")[0]
    return (alias.asname, alias.name) if alias.asname else (top, top)


def _is_dataclass(node: ast.ClassDef) -> bool:
    functions = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(last_name(function) == "dataclass" for function in functions)
