"""Modules of a lab's own that a campaign names under `plugins`. Their source is found first, and imported on load."""

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from faultbench.plugins.public_names import import_advice, require_modules
from faultbench.plugins.source_files import digests, find_source, own_sources
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

_RESERVED = sys.stdlib_module_names | {
    "PIL", "click", "faultbench", "jinja2", "joblib", "matplotlib", "numpy", "pandas", "pydantic", "rich",
    "safetensors", "scipy", "torch", "torchvision", "yaml",
}  # fmt: skip
"""Modules that faultbench imports. If a plug-in had such a name, Python would import one of the two for both."""

LONGEST_REASON = 300
"""Most characters of an error's message that a FaultbenchError repeats."""

_IMPORTED_FROM = "__faultbench_sources__"
"""Attribute of an imported module that holds the digests of the sources that it was imported from."""

LONGEST_NAME = 250
"""Most characters of a module's name. Names in file systems are not longer."""


@dataclass(frozen=True)
class PluginModule:
    """Module of plug-ins, with its source as it was when the campaign was read.

    folder is the campaign file's. It is first on the search path, like the folder of a script. sources are the SHA-256
    digests, sorted, of the files that the module is made of.
    """

    name: str
    folder: Path
    file: Path
    sources: tuple[str, ...]

    def load(self) -> ModuleType:
        """Import the module, which runs its code and puts its folder first on sys.path.

        FaultbenchError if that fails, if Python finds another module of this name, or if the sources have changed, so
        that results never have the key of code that did not make them.
        """
        sys.path[:] = [str(self.folder), *(path for path in sys.path if path != str(self.folder))]
        with as_user_error(f"plug-in {self.name} cannot be imported", self.file):
            module = importlib.import_module(self.name)
        file = getattr(module, "__file__", None)
        if file is None or Path(file).resolve() != self.file.resolve():
            raise FaultbenchError(
                f"plug-in {self.name}: {file or 'another module'} is imported under this name, not {self.file}; "
                "rename it, or start a new process"
            )
        if not hasattr(module, _IMPORTED_FROM):
            setattr(module, _IMPORTED_FROM, digests(self.name, self.folder))
        if getattr(module, _IMPORTED_FROM) != self.sources:
            raise FaultbenchError(
                f"plug-in {self.name}: {self.file}, or what it imports, changed while in use; start a new process"
            )
        return module


def find_module(name: str, folder: Path) -> PluginModule:
    """Return the module of this name as Python would find it from the folder. FaultbenchError if it has no source."""
    if len(name) > LONGEST_NAME or not all(part.isidentifier() for part in name.split(".")):
        raise FaultbenchError(f"must be a module's name, such as mymodels or mylab.models; given {name[:60]!r}")
    if (top := name.partition(".")[0]) in _RESERVED:
        raise FaultbenchError(f"a plug-in cannot have the name {top!r}, which faultbench itself imports; rename it")
    folder = folder.absolute()
    file = find_source(name, folder)
    if file is None:
        raise FaultbenchError(
            f"no module {name!r} with Python source in {folder} or where Python looks{_guess(name, folder)}"
        )
    for source in own_sources(name, folder):
        require_modules(source.tree, source.path)
    return PluginModule(name, folder, file, digests(name, folder))


def _guess(name: str, folder: Path) -> str:
    if name.endswith(".py") and (folder / name).is_file():
        return f"; write {name.removesuffix('.py')!r}"
    close = difflib.get_close_matches(name, [path.stem for path in folder.glob("*.py") if path.is_file()], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@contextmanager
def as_user_error(what: str, file: Path | None) -> Iterator[None]:
    """Turn any exception of a lab's code inside the block, including SystemExit, into a FaultbenchError.

    The message begins with the last line of the lab's file that ran. file is None for faultbench's own code.
    """
    try:
        yield
    except FaultbenchError:
        raise
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = "" if file is None else f"{':'.join(map(str, (file, *lines[-1:])))}: "
        reason = shortened(str(error).strip().partition("\n")[0], LONGEST_REASON)
        advice = f"; {text}" if (text := import_advice(error)) else ""
        raise FaultbenchError(f"{place}{what}: {type(error).__name__}: {reason}{advice}") from error
