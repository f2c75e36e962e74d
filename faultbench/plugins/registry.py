"""Registry of plug-ins: everything that a campaign file can name, from faultbench and from a lab's modules.

A plug-in is a function or a class under one of the decorators below. Its parameters (for a class: its annotated
fields) with a default are the options that a campaign file may set. faultbench or `<placeholders>` in the plug-in's
name supply the others. Plug-ins are found by reading *source*: every file of a kind's folder, and the modules that a
campaign names under `plugins`. So `faultbench list` and `validate` know every name, option and default without
importing torch or a lab's code.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from faultbench.plugins.declarations import MisdeclaredError, PluginDeclaration, PluginOption, read_declarations
from faultbench.plugins.modules import PluginModule, as_user_error
from faultbench.plugins.source_files import parse
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

__all__ = [
    "FOLDERS",
    "PluginDeclaration",
    "PluginOption",
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

LONGEST_NAME = 200
"""Most characters of a wrong name that a message quotes."""

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
"""Kind → folder of the package that holds its plug-ins."""

_PACKAGE = Path(__file__).parent.parent


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
def catalogue(kind: str, modules: Modules = ()) -> Mapping[str, PluginDeclaration]:
    """Return all plug-ins of a kind by name, sorted: faultbench's own and those of a lab's modules.

    FaultbenchError if two plug-ins have the same name. If both are faultbench's own, ValueError.
    """
    entries = dict(catalogue(kind)) if modules else _own_plugins(kind)
    for module in modules:
        for entry in declarations(module, kind):
            if other := next((known for known in entries.values() if known.match(entry.name) is not None), None):
                raise FaultbenchError(
                    f"{_words(kind)} {entry.name!r} of {entry.module} is declared by {other.module} too, as "
                    f"{other.name!r}; give yours another name"
                )
            entries[entry.name] = entry
    return dict(sorted(entries.items()))


@cache
def declarations(module: PluginModule, kind: str) -> Sequence[PluginDeclaration]:
    """Return the plug-ins of a kind that a lab's module declares. FaultbenchError if its source cannot be read."""
    try:
        return tuple(read_declarations(parse(module.file), kind, module.name, module))
    except MisdeclaredError as error:
        raise FaultbenchError(f"{module.file}:{error.line}: {error}") from error


def find(kind: str, text: str, modules: Modules = ()) -> tuple[PluginDeclaration, dict[str, Any]]:
    """Return the plug-in that text names, and the values of its placeholders.

    FaultbenchError, with a suggestion, if there is none.
    """
    known = catalogue(kind, modules)
    for entry in sorted(known.values(), key=_precedence):
        placeholders = entry.match(text)
        if placeholders is not None:
            return entry, {name: _value(entry, text, name, spelling) for name, spelling in placeholders.items()}
    raise FaultbenchError(f"unknown {_words(kind)} {suggest(text, known)}")


def build(
    kind: str, text: str, options: Mapping[str, Any], modules: Modules = (), folder: Path = Path(), **supplied: Any
) -> Any:
    """Call the plug-in that text names with its options and with the arguments that faultbench supplies.

    A relative `<path>` in the name starts at folder. FaultbenchError if the code of a lab's plug-in raises anything.
    """
    entry, placeholders = find(kind, text, modules)
    if "path" in placeholders:
        placeholders["path"] = str(folder / placeholders["path"])
    plug_in = entry.load()
    with nullcontext() if entry.origin is None else as_user_error(f"{_words(kind)} {text!r}", entry.origin.file):
        return plug_in(**placeholders, **options, **supplied)


def suggest(wrong: str, known: Mapping[str, Any]) -> str:
    """Return the part of an error message that quotes a wrong name, suggests a known one and lists them all."""
    wrong = shortened(wrong, LONGEST_NAME)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{wrong!r}{guess} (known: {', '.join(known)})"


def _marker(name: str) -> Callable[[T], T]:
    # The decorator leaves its target alone: `read_declarations` reads name and options from the source.
    if not name:
        raise ValueError("a plug-in needs a name")
    return lambda target: target


def _own_plugins(kind: str) -> dict[str, PluginDeclaration]:
    entries: dict[str, PluginDeclaration] = {}
    for path in sorted((_PACKAGE / FOLDERS[kind]).glob("*.py")):
        for entry in read_declarations(parse(path), kind, f"faultbench.{FOLDERS[kind].replace('/', '.')}.{path.stem}"):
            if entry.name in entries:
                raise ValueError(f"{kind} {entry.name!r}: declared by {entries[entry.name].module} and {entry.module}")
            entries[entry.name] = entry
    return entries


def _precedence(entry: PluginDeclaration) -> tuple[bool, bool]:
    """Return the sort key that puts exact names first, then faultbench's own.

    So no `<placeholder>` matches a name that means another plug-in.
    """
    return "<" in entry.name, entry.origin is not None


def _value(entry: PluginDeclaration, text: str, name: str, spelling: str) -> Any:
    """Return the value of a placeholder, as its type. Only one spelling of each value is accepted."""
    try:
        value = TypeAdapter(entry.placeholders.get(name, str)).validate_python(spelling)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should", "must", 1)
        raise FaultbenchError(f"{_words(entry.kind)} {text!r}: {name} {reason}; given {spelling!r}") from error
    if str(value) != spelling:
        raise FaultbenchError(f"{_words(entry.kind)} {text!r}: {name} is written {value}; given {spelling!r}")
    return value


def _words(kind: str) -> str:
    return kind.replace("_", " ")
