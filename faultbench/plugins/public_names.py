"""Public names of faultbench, and advice for plug-ins whose imports from it fail."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from faultbench.system.errors import FaultbenchError

_PACKAGE = Path(__file__).parents[1]

PUBLIC_PACKAGES = (
    "faultbench",
    "faultbench.schemes",
    "faultbench.datasets",
    "faultbench.memory",
    "faultbench.runner.engines",
)
"""Packages whose `__all__` is public."""

_RENAMED = {
    "Counted": "SizedDataset",
    "Effort": "FittingEffort",
    "Extent": "FittingExtent",
    "Foreseen": "ForeseeableScheme",
    "held_out": "hold_out",
    "in_random_order": "shuffle",
    "mirrored": "mirror_randomly",
    "shifted": "shift_randomly",
}
"""Public name in earlier versions → its present name."""

_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)'")


@cache
def public_homes() -> Mapping[str, str]:
    """Return public name → package to import it from, as read from source."""
    return {name: package for package in reversed(PUBLIC_PACKAGES) for name in _listed_names(_source(package))}


def require_modules(tree: ast.Module, file: Path) -> None:
    """Raise FaultbenchError if the top level of a file imports modules that faultbench does not have.

    The message says what to write in their place. Imports under `if` and `try` are left to Python.
    """
    missing = [(node.lineno, module, names) for node in tree.body for module, names in _missing(node)]
    if missing:
        line, module, _ = missing[0]
        names = [name for _, _, names in missing for name in names]
        more = f" (nor those of lines {', '.join(str(line) for line, _, _ in missing[1:])})" if missing[1:] else ""
        raise FaultbenchError(f"{file}:{line}: faultbench has no module {module}{more}; {_advice(names)}")


def import_advice(error: BaseException) -> str | None:
    """Return what to write in place of an import from faultbench that failed; None for other errors."""
    if not isinstance(error, ImportError) or (error.name or "").partition(".")[0] != "faultbench":
        return None
    return _advice(_CANNOT_IMPORT.findall(str(error)))


def _advice(names: Sequence[str]) -> str:
    """Return the imports of the present names, or where to look for names that are not public."""
    by_package: dict[str, set[str]] = {}
    for name in (_RENAMED.get(name, name) for name in names):
        by_package.setdefault(public_homes().get(name, ""), set()).add(name)
    private = sorted(by_package.pop("", ()))
    parts = [_import_line(package, sorted(by_package[package])) for package in PUBLIC_PACKAGES if package in by_package]
    if private or not parts:
        which = ", ".join(private) or "what you need"
        parts.append(f"`import faultbench as fb` and take {which} from what fb, {', '.join(PUBLIC_PACKAGES[1:])} list")
    return f"write {' and '.join(parts)}"


def _import_line(package: str, names: Sequence[str]) -> str:
    if package == "faultbench":
        return f"`import faultbench as fb` ({', '.join(f'fb.{name}' for name in names)})"
    return f"`from {package} import {', '.join(names)}`"


def _missing(node: ast.stmt) -> Iterator[tuple[str, list[str]]]:
    """Yield the missing modules of faultbench that a statement imports, each with the names imported from it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ours(alias.name) and _find(alias.name) is None:
                yield alias.name, []
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _is_ours(node.module):
        if _find(node.module) is None:
            yield node.module, [alias.name for alias in node.names]
        elif node.module == "faultbench":
            for alias in node.names:
                if alias.name not in public_homes() and alias.name != "*" and _find(f"faultbench.{alias.name}") is None:
                    yield f"faultbench.{alias.name}", []


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "faultbench"


def _find(module: str) -> Path | None:
    """Return the source file of a module of faultbench; None if there is none."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _source(package: str) -> ast.Module:
    return ast.parse((_PACKAGE.joinpath(*package.split(".")[1:]) / "__init__.py").read_bytes())


def _listed_names(tree: ast.Module) -> list[str]:
    """Return the names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []
