"""Modules of a lab's own that a campaign names under `plugins`: found by their source, imported when loaded."""

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from faultbench.plugins.source_files import digests, find_source
from faultbench.system.errors import FaultbenchError

_IMPORTED_FROM = "__faultbench_sources__"
"""Attribute of an imported module: the digests of what it was imported from."""


@dataclass(frozen=True)
class PluginModule:
    """A module of plug-ins as its source was when the campaign was read.

    folder, the campaign file's, is first on the search path, as a script's folder is. sources are the SHA-256 of
    the files that the module is made of, sorted.
    """

    name: str
    folder: Path
    file: Path
    sources: tuple[str, ...]

    def load(self) -> ModuleType:
        """Import it, which runs its code and puts its folder first on sys.path.

        FaultbenchError when that fails, when Python finds another module of this name, and when the sources are no
        longer what they were, so that results never carry the key of code that did not make them.
        """
        sys.path[:] = [str(self.folder), *(path for path in sys.path if path != str(self.folder))]
        with blaming(f"plug-in {self.name} cannot be imported", self.file):
            module = importlib.import_module(self.name)
        file = getattr(module, "__file__", None)
        if file is None or Path(file).resolve() != self.file.resolve():
            raise FaultbenchError(
                f"plug-in {self.name}: {file or 'another module'} is imported under this name, not {self.file}; "
                "rename it, or start anew"
            )
        if not hasattr(module, _IMPORTED_FROM):
            setattr(module, _IMPORTED_FROM, digests(self.name, self.folder))
        if getattr(module, _IMPORTED_FROM) != self.sources:
            raise FaultbenchError(
                f"plug-in {self.name}: {self.file}, or what it imports, changed while in use; start anew"
            )
        return module


def find_module(name: str, folder: Path) -> PluginModule:
    """The module of this name as Python would find it from the folder; FaultbenchError if it has no source."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise FaultbenchError(f"must be a module's name, such as mymodels or mylab.models; given {name[:60]!r}")
    folder = folder.absolute()
    file = find_source(name, folder)
    if file is None:
        raise FaultbenchError(
            f"no module {name!r} with Python source in {folder} or where Python looks{_guess(name, folder)}"
        )
    return PluginModule(name, folder, file, digests(name, folder))


def _guess(name: str, folder: Path) -> str:
    if name.endswith(".py") and (folder / name).is_file():
        return f"; write {name.removesuffix('.py')!r}"
    close = difflib.get_close_matches(name, [path.stem for path in folder.glob("*.py")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@contextmanager
def blaming(what: str, file: Path) -> Iterator[None]:
    """Turn whatever a lab's code raises inside the block into a FaultbenchError with the line of the lab's file."""
    try:
        yield
    except FaultbenchError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = ":".join(map(str, (file, *lines[-1:])))
        raise FaultbenchError(f"{place}: {what}: {type(error).__name__}: {reason}") from error
