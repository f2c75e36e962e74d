"""Source files of Python modules, found as Python would find them. Nothing is imported."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from faultbench.system.errors import FaultbenchError


def find_source(module: str, folder: Path) -> Path | None:
    """Return the source file of a module, with a folder first on Python's search path; None if there is none.

    importlib.util.find_spec would import the packages that hold the module. Here only their folders are searched.
    """
    return _find(module, [str(folder), *sys.path], sys.meta_path)


def parse(file: Path) -> ast.Module:
    """Return the syntax tree of a source file. FaultbenchError, which begins with file:line, if it is not Python."""
    return _parse_data(_read_file(file), file)


@dataclass(frozen=True)
class SourceFile:
    """Source file that a module is made of."""

    path: Path
    data: bytes
    tree: ast.Module


def own_sources(module: str, folder: Path) -> Iterator[SourceFile]:
    """Yield every source file that a module is made of.

    These are its own file, those of the packages that it is in, and what they import, directly or indirectly, from the
    module's own package or from the folder. Files of faultbench and of other installed packages are left out.
    """
    waiting, visited = list(_with_packages(module)), set[str]()
    while waiting:
        name = waiting.pop()
        path = None if name in visited else _find_own(name, module, folder)
        visited.add(name)
        if path is not None:
            data = _read_file(path)
            source = SourceFile(path, data, _parse_data(data, path))
            yield source
            package = name if path.stem == "__init__" else name.rpartition(".")[0]
            waiting.extend(_imported_modules(source.tree, package))


def digests(module: str, folder: Path) -> tuple[str, ...]:
    """Return the SHA-256 in hex, sorted, of every source file that a module is made of; file names do not count."""
    return tuple(sorted(hashlib.sha256(source.data).hexdigest() for source in own_sources(module, folder)))


def find_in_reach(name: str, module: str, folder: Path) -> Path | None:
    """Return the source file of a module of the same package as another, in the folder, or of faultbench; or None."""
    return find_source(name, folder) if _top(name) == "faultbench" else _find_own(name, module, folder)


def absolute_origin(node: ast.ImportFrom, package: str) -> str | None:
    """Return the module that `from … import` names, seen from a package; None if it is above the top-level package."""
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # the statement may never run
        return None


def _find_own(name: str, module: str, folder: Path) -> Path | None:
    """Return the source file of a module of the same package as another, or in the folder; None if there is none."""
    top = _top(name)
    if top == _top(module):
        return find_source(name, folder)
    return None if top == "faultbench" else _find(name, [str(folder)], [PathFinder])


def _find(module: str, locations: Sequence[str], finders: Sequence[Any]) -> Path | None:
    # All finders are asked for the first part only, so that editable installs are found. Each further part is looked
    # up as a top-level module, because finders expect the packages in a dotted name to be imported.
    first, *rest = module.split(".")
    spec = next((spec for finder in finders if (spec := finder.find_spec(first, locations))), None)
    for part in rest:
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ())) if spec else None
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    return Path(spec.origin)


def _imported_modules(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the modules that a source may import anywhere, with their packages. `from a import b` may mean a.b."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = absolute_origin(node, package)
            names = [f"{origin}.{alias.name}" for alias in node.names] if origin else []
        for name in names:
            yield from _with_packages(name)


def _with_packages(module: str) -> Iterator[str]:
    """Return a, a.b and a.b.c for a.b.c."""
    parts = module.split(".")
    return (".".join(parts[: n + 1]) for n in range(len(parts)))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FaultbenchError(f"{file}: cannot be read: {error.strerror or error}") from error


def _parse_data(data: bytes, file: Path) -> ast.Module:
    try:
        return ast.parse(data, str(file))
    except SyntaxError as error:
        raise FaultbenchError(f"{file}:{error.lineno or 1}: not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte, or brackets that are nested too deeply
        raise FaultbenchError(f"{file}:1: not Python: {error or type(error).__name__}") from error
