"""Plug-ins that a test file tests: those that Python files beside it declare, or modules that it names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.system.errors import FaultbenchError

_NOT_PLUGINS = ("test_*.py", "*_test.py", "conftest.py", "setup.py")


@dataclass(frozen=True)
class Plugin:
    """Plug-in under test: its name in a campaign file, options, and the lab's modules it comes from."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    modules: tuple[PluginModule, ...] = ()

    @property
    def declaration(self) -> registry.PluginDeclaration:
        """Declaration that the name means."""
        return registry.find(self.kind, self.name, self.modules)[0]

    @property
    def file(self) -> Path | None:
        """Source file of a lab's plug-in, for error messages; None for faultbench's own."""
        origin = self.declaration.origin
        return None if origin is None else origin.file

    def build(self, **supplied: Any) -> Any:
        """Build the plug-in with its options, as a run does."""
        return registry.build(self.kind, self.name, dict(self.options), self.modules, **supplied)

    def __str__(self) -> str:
        """Return the name and the options as a test's id."""
        return "-".join([self.name, *(str(value) for _, value in self.options)])


def own_plugins(kind: str, examples: Mapping[str, Sequence[str]]) -> list[Plugin]:
    """Return faultbench's own plug-ins of a kind."""
    return list(_named(kind, registry.catalogue(kind), (), examples))


def lab_plugins(
    kind: str, test_file: Path, root: Path, modules: Sequence[str], examples: Mapping[str, Sequence[str]]
) -> list[Plugin]:
    """Return the plug-ins of a kind that a lab's modules declare, without importing them.

    They are the modules of these names, or without names those of `_folders`. FaultbenchError if there is none, and
    if a source cannot be read.
    """
    folders = _folders(test_file, root)
    found = [_module(name, folders) for name in modules] if modules else _declaring(kind, folders)
    plugins = [
        plugin
        for module in found
        for plugin in _named(kind, [entry.name for entry in registry.declarations(module, kind)], (module,), examples)
    ]
    if not plugins:
        places = ", ".join(modules or map(str, folders))
        raise FaultbenchError(
            f'{test_file}: no {kind.replace("_", " ")} is declared in {places}; put @fb.{kind}("name") before yours, '
            'or name its module: modules = ["mylab"] in a subclass of the test class'
        )
    return plugins


def _folders(test_file: Path, root: Path) -> list[Path]:
    """Return the test file's folder and those above it, up to pytest's root folder."""
    above = [test_file.parent, *test_file.parent.parents]
    return above[: above.index(root) + 1] if root in above else above[:1]


def _module(name: str, folders: Sequence[Path]) -> PluginModule:
    """Return the module of a name as found from the nearest folder that knows it."""
    for folder in folders[:-1]:
        if (folder / name.partition(".")[0]).with_suffix(".py").is_file() or (folder / name.partition(".")[0]).is_dir():
            return find_module(name, folder)
    return find_module(name, folders[-1])


def _declaring(kind: str, folders: Sequence[Path]) -> list[PluginModule]:
    """Return the modules of the nearest folder whose files declare plug-ins of the kind."""
    for folder in folders:
        modules = [find_module(path.stem, folder) for path in sorted(folder.glob("*.py")) if _may_declare(path)]
        if declaring := [module for module in modules if registry.declarations(module, kind)]:
            return declaring
    return []


def _may_declare(path: Path) -> bool:
    if any(path.match(pattern) for pattern in _NOT_PLUGINS) or not path.stem.isidentifier():
        return False
    return b"faultbench" in path.read_bytes()


def _named(
    kind: str,
    names: Sequence[str] | Mapping[str, Any],
    modules: tuple[PluginModule, ...],
    examples: Mapping[str, Sequence[str]],
) -> Iterator[Plugin]:
    """Yield a plug-in for each name, and one for each example of a name with placeholders."""
    for name in names:
        if "<" in name and name not in examples:
            raise FaultbenchError(
                f"{kind.replace('_', ' ')} {name!r} has placeholders: say what to test, "
                f'examples = {{"{name}": ["…"]}} in a subclass of the test class'
            )
        for text in examples.get(name, [name]):
            yield Plugin(kind, text, modules=modules)
