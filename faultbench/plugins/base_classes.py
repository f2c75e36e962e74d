"""Base classes that a class inherits its fields from, found in source without importing any of it."""

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
    """Base class that may have fields, but whose source cannot be found."""


@dataclass(frozen=True)
class SourceModule:
    """Module as its source shows it. folder is the campaign file's, which may hold modules that it imports."""

    name: str
    tree: ast.Module
    folder: Path
    is_package: bool = False

    @cached_property
    def imports(self) -> dict[str, str]:
        """Return name → dotted name, for all imports at the top of the module, including those for type checkers."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        targets: dict[str, str] = {}
        for node in _top_statements(self.tree):
            if isinstance(node, ast.Import):
                targets |= dict(_binding(alias) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (origin := absolute_origin(node, package)):
                targets |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return targets

    def resolve(self, name: str) -> str:
        """Return the dotted name that a name of this module stands for: `faultbench.model` of `fb.model`."""
        first, _, rest = name.partition(".")
        return ".".join(filter(None, [self.imports.get(first, first), rest]))

    def find_class(self, name: str) -> ast.ClassDef | None:
        """Return the class that the module defines under this name; None if there is none."""
        return next((node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


Owner = tuple[ast.ClassDef, SourceModule]
"""Class that defines fields, and its module."""


def field_owners(node: ast.ClassDef, module: SourceModule) -> list[Owner]:
    """Return the dataclasses that a class inherits from, the most distant first, and then the class itself.

    Bases are followed in the same file, in the module's own package, in the campaign's folder and in faultbench.
    Python's own classes have no fields. Any other base of a dataclass raises UnreadableBaseError. Such a base of a
    class that is no dataclass, for example nn.Module, is skipped, because only dataclasses pass fields on.
    """
    return [*dict.fromkeys(_inherited(node, module, ())), (node, module)]


def _inherited(node: ast.ClassDef, module: SourceModule, subclasses: tuple[ast.ClassDef, ...]) -> Iterator[Owner]:
    if node in subclasses:
        raise UnreadableBaseError(f"class {node.name} is a base of itself")
    for base in reversed(node.bases):
        try:
            owner = _find_definition(_dotted(base), module)
        except UnreadableBaseError as error:
            if _is_dataclass(node):
                raise UnreadableBaseError(f"base {ast.unparse(base)}: {error}") from error
            continue
        if owner is not None:
            yield from _inherited(*owner, (*subclasses, node))
            if _is_dataclass(owner[0]):
                yield owner


def _dotted(base: ast.expr) -> str:
    """Return the text a.b.C for the expressions a.b.C and a.b.C[T]."""
    node = base.value if isinstance(base, ast.Subscript) else base
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise UnreadableBaseError("it is computed; write the name of a class")
    return ".".join([node.id, *reversed(parts)])


def _find_definition(name: str, module: SourceModule, *, n_left: int = 20) -> Owner | None:
    """Return the class that a name means in a module; None for a class of Python's own.

    n_left is the number of imports that may still be followed.
    """
    if (own := module.find_class(name)) is not None:
        return own, module
    first = name.partition(".")[0]
    if first not in module.imports:
        if hasattr(builtins, first):
            return None
        raise UnreadableBaseError(f"{module.name} neither defines nor imports {first!r} where its source can be read")
    target = module.resolve(name)
    if target.partition(".")[0] in sys.stdlib_module_names:
        return None
    origin, _, attribute = target.rpartition(".")
    file = find_in_reach(origin, module.name, module.folder) if origin else None
    if file is None or not n_left:
        raise UnreadableBaseError(
            f"the fields of {target} cannot be read: {origin or target} is not in the plug-in's package, beside the "
            "campaign, or in faultbench; write its options into the class itself"
        )
    home = SourceModule(origin, parse(file), module.folder, file.stem == "__init__")
    return _find_definition(attribute, home, n_left=n_left - 1)


def _top_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module's top level and of its `if TYPE_CHECKING:` blocks."""
    for node in tree.body:
        if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            yield from node.body
        else:
            yield node


def _binding(alias: ast.alias) -> tuple[str, str]:
    """Return the name that an import binds, and its meaning: `import a.b` binds a; `import a.b as c` binds c to a.b."""
    top = alias.name.partition(".")[0]
    return (alias.asname, alias.name) if alias.asname else (top, top)


def _is_dataclass(node: ast.ClassDef) -> bool:
    functions = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
    return any(last_name(function) == "dataclass" for function in functions)
