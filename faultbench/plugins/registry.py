"""Name → plug-in, for everything a campaign file can name: faultbench's own, and those of a lab's modules.

A plug-in is a function or a class under one of the decorators below. Its parameters (for a class: its
annotated fields) with a default are the options that a campaign file may set; the others are supplied by
faultbench or by `<placeholders>` in the plug-in's name. What there is is read from *source*: from every file of
a kind's folder, and from the modules that a campaign names under `plugins`. So `faultbench list` and `validate`
know every name, option and default without importing torch, or anything of a lab's.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from faultbench.plugins.declarations import Entry, MisdeclaredError, Option, declared
from faultbench.plugins.modules import PluginModule, blaming
from faultbench.plugins.source_files import parse
from faultbench.system.errors import FaultbenchError

__all__ = [
    "FOLDERS",
    "Entry",
    "Option",
    "build",
    "catalogue",
    "dataset",
    "declarations",
    "engine",
    "fault_model",
    "find",
    "model",
    "number_format",
    "scheme",
    "suggest",
]

T = TypeVar("T", bound=Callable[..., Any])

Modules = tuple[PluginModule, ...]

FOLDERS = {
    "dataset": "datasets",
    "model": "networks/models",
    "scheme": "schemes",
    "number_format": "memory/formats",
    "fault_model": "memory/faults",
    "engine": "runner/engines",
}
"""Kind → folder of the package that holds its plug-ins; the folder's name is also the plural users read."""


def dataset(name: str) -> Callable[[T], T]:
    """Register a data set under this name."""
    return _marker(name)


def model(name: str) -> Callable[[T], T]:
    """Register a network under this name."""
    return _marker(name)


def scheme(name: str) -> Callable[[T], T]:
    """Register an activation scheme under this name."""
    return _marker(name)


def number_format(name: str) -> Callable[[T], T]:
    """Register a number format under this name."""
    return _marker(name)


def fault_model(name: str) -> Callable[[T], T]:
    """Register a fault model under this name."""
    return _marker(name)


def engine(name: str) -> Callable[[T], T]:
    """Register an engine under this name."""
    return _marker(name)


@cache
def catalogue(kind: str, modules: Modules = ()) -> Mapping[str, Entry]:
    """All plug-ins of a kind by name, sorted: faultbench's own and those of a lab's modules.

    A name taken twice raises FaultbenchError; among faultbench's own, where it is our mistake, ValueError.
    """
    entries = dict(catalogue(kind)) if modules else _own(kind)
    for module in modules:
        for entry in declarations(module, kind):
            if other := next((one for one in entries.values() if one.match(entry.name) is not None), None):
                raise FaultbenchError(
                    f"{_words(kind)} {entry.name!r} of {entry.module} is declared by {other.module} too, as "
                    f"{other.name!r}; give yours another name"
                )
            entries[entry.name] = entry
    return dict(sorted(entries.items()))


@cache
def declarations(module: PluginModule, kind: str) -> Sequence[Entry]:
    """The plug-ins of a kind that a lab's module declares; FaultbenchError where its source cannot be read."""
    try:
        return tuple(declared(parse(module.file), kind, module.name, module))
    except MisdeclaredError as error:
        raise FaultbenchError(f"{module.file}:{error.line}: {error}") from error


def find(kind: str, text: str, modules: Modules = ()) -> tuple[Entry, dict[str, Any]]:
    """The plug-in that text names and its placeholders' values; FaultbenchError with a suggestion if none."""
    known = catalogue(kind, modules)
    for entry in sorted(known.values(), key=_precedence):
        placeholders = entry.match(text)
        if placeholders is not None:
            return entry, {name: _value(entry, text, name, given) for name, given in placeholders.items()}
    raise FaultbenchError(f"unknown {_words(kind)} {suggest(text, known)}")


def build(
    kind: str, text: str, options: Mapping[str, Any], modules: Modules = (), folder: Path = Path(), **supplied: Any
) -> Any:
    """Call the plug-in that text names with its options and with what faultbench supplies.

    What stands for a name's `<path>` starts at folder. FaultbenchError, whatever it was, when the code of a lab's
    plug-in fails.
    """
    entry, placeholders = find(kind, text, modules)
    if "path" in placeholders:
        placeholders["path"] = str(folder / placeholders["path"])
    plug_in = entry.load()
    with nullcontext() if entry.origin is None else blaming(f"{_words(kind)} {text!r}", entry.origin.file):
        return plug_in(**placeholders, **options, **supplied)


def suggest(given: str, known: Mapping[str, Any]) -> str:
    """The part of an error message that quotes a wrong name, guesses the right one and lists them all."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{given!r}{guess} (known: {', '.join(known)})"


def _marker(name: str) -> Callable[[T], T]:
    # The decorator leaves its target alone: `declared` reads name and options from the source.
    if not name:
        raise ValueError("a plug-in needs a name")
    return lambda target: target


def _own(kind: str) -> dict[str, Entry]:
    folder = Path(__file__).parents[1] / FOLDERS[kind]
    package = ".".join(("faultbench", *Path(FOLDERS[kind]).parts))
    entries: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.py")):
        for entry in declared(parse(path), kind, f"{package}.{path.stem}"):
            if entry.name in entries:
                raise ValueError(f"{kind} {entry.name!r}: declared by {entries[entry.name].module} and {entry.module}")
            entries[entry.name] = entry
    return entries


def _precedence(entry: Entry) -> tuple[bool, bool]:
    """Exact names first, then faultbench's own, so that no `<placeholder>` takes over a name that means something."""
    return "<" in entry.name, entry.origin is not None


def _value(entry: Entry, text: str, name: str, given: str) -> Any:
    """What stands in a placeholder's place, as its type; only one spelling of a value is taken."""
    try:
        value = TypeAdapter(entry.placeholders.get(name, str)).validate_python(given)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should", "must", 1)
        raise FaultbenchError(f"{_words(entry.kind)} {text!r}: {name} {reason}; given {given!r}") from error
    if str(value) != given:
        raise FaultbenchError(f"{_words(entry.kind)} {text!r}: {name} is written {value}; given {given!r}")
    return value


def _words(kind: str) -> str:
    return kind.replace("_", " ")
