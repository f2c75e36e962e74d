"""Python modules as source: where Python would find one, and the files that it is made of. Nothing is imported."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from faultbench.system.errors import FaultbenchError


def find_source(module: str, folder: Path) -> Path | None:
    """The source file of a module, with a folder first on Python's search path; None when there is none.

    importlib.util.find_spec would import the packages that the module is in; here only their folders are looked into.
    """
    return _find(module, [str(folder), *sys.path], sys.meta_path)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file; FaultbenchError, beginning with file:line, when it has none."""
    return _parsed(_read(file), file)


def digests(module: str, folder: Path) -> tuple[str, ...]:
    """SHA-256 in hex, sorted, of every source file that a module is made of; names of files do not enter.

    These are its own file, those of the packages that it is in, and what they import, at any remove, from the
    module's own package or from the folder. faultbench itself is not counted, nor is what is installed besides.
    """
    found: dict[str, str] = {}
    waiting, met = list(_with_packages(module)), set[str]()
    while waiting:
        name = waiting.pop()
        file = None if name in met else _beside(name, module, folder)
        met.add(name)
        if file is not None:
            data = _read(file)
            found[name] = hashlib.sha256(data).hexdigest()
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            waiting.extend(_imported(_parsed(data, file), package))
    return tuple(sorted(found.values()))


def find_in_reach(name: str, module: str, folder: Path) -> Path | None:
    """The source of what a module may build on: its own package, what lies in the folder, and faultbench."""
    return find_source(name, folder) if _top(name) == "faultbench" else _beside(name, module, folder)


def absolute_origin(node: ast.ImportFrom, package: str) -> str | None:
    """The module that `from … import` names, seen from a package; None above the top-level one."""
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # it would fail when run, if it ever is
        return None


def _beside(name: str, module: str, folder: Path) -> Path | None:
    """The source of a module of the same package as another, or of one in the folder."""
    top = _top(name)
    if top == _top(module):
        return find_source(name, folder)
    return None if top == "faultbench" else _find(name, [str(folder)], [PathFinder])


def _find(module: str, locations: Sequence[str], finders: Sequence[Any]) -> Path | None:
    # The first part alone is asked of all finders, so that editable installs are found. Each further part is
    # looked up as if it were a top-level module, since finders take a dotted name for that of an imported package.
    first, *rest = module.split(".")
    spec = next((spec for finder in finders if (spec := finder.find_spec(first, locations))), None)
    for part in rest:
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ())) if spec else None
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    return Path(spec.origin)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Modules that a source may import anywhere in it, packages included; `from a import b` may mean a.b."""
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
    """a.b.c → a, a.b, a.b.c."""
    parts = module.split(".")
    return (".".join(parts[: n + 1]) for n in range(len(parts)))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FaultbenchError(f"{file}: cannot be read: {error.strerror or error}") from error


def _parsed(data: bytes, file: Path) -> ast.Module:
    try:
        return ast.parse(data, str(file))
    except SyntaxError as error:
        raise FaultbenchError(f"{file}:{error.lineno or 1}: no Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; brackets without end
        raise FaultbenchError(f"{file}:1: no Python: {error or type(error).__name__}") from error
