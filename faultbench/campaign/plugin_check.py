"""The modules of a lab's own that a campaign names → found by their source and checked, none of them imported."""

from pathlib import Path

from pydantic import PydanticUserError, ValidationError
from pydantic_core import SchemaError

from faultbench.campaign.choices import Modules, options_model
from faultbench.campaign.document.problems import one_line, quoted
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.keys import canonical
from faultbench.campaign.spec import AXES, MAX_ENTRIES, ModelEntry
from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.system.errors import FaultbenchError

_KINDS = [kind for kind in AXES.values() if kind in registry.FOLDERS]


def read_plugins(document: Document) -> Modules | None:
    """The modules under `plugins`; None, with the reasons reported to the document, when one is not usable.

    The campaign file's folder comes first on the search path, as a Python script's does on its.
    """
    names = document.value.get("plugins", []) if isinstance(document.value, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names[:MAX_ENTRIES]):
        return None  # the check of the campaign's shape tells why
    found: list[PluginModule] = []
    for n, name in enumerate(names[:MAX_ENTRIES]):
        try:
            found.append(_usable(name, names[:n], tuple(found), Path(document.source).parent))
        except FaultbenchError as error:
            document.report(("plugins", n), one_line(str(error)))
    return tuple(found) if len(found) == len(names) else None


def _usable(name: str, earlier_names: list[str], earlier: Modules, folder: Path) -> PluginModule:
    if name in earlier_names:
        raise FaultbenchError(f"repeats plugins[{earlier_names.index(name)}], {quoted(name)}; leave one out")
    module = find_module(name, folder)
    for kind in _KINDS:
        registry.catalogue(kind, (*earlier, module))  # refuses names that are taken
    entries = [entry for kind in _KINDS for entry in registry.declarations(module, kind)]
    if not entries:
        raise FaultbenchError(
            f"{module.file} declares nothing that a campaign can name; "
            f"put a decorator of faultbench.plugins.registry ({', '.join(_KINDS)}) before a function or class"
        )
    for entry in entries:
        _check_options(entry)
    return module


def _check_options(entry: registry.Entry) -> None:
    what = f"{entry.module}: {entry.kind.replace('_', ' ')} {quoted(entry.name)}"
    if taken := sorted(entry.options.keys() & ModelEntry.model_fields):
        raise FaultbenchError(f"{what}: option {taken[0]!r} is a key that entries have anyway; give it another name")
    try:
        canonical(options_model(entry)().model_dump(mode="json"))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise FaultbenchError(
            f"{what}: option {wrong['loc'][0]!r}: {wrong['msg']}; its default is {quoted(wrong['input'])}"
        ) from error
    except (PydanticUserError, SchemaError, TypeError, ValueError, NameError) as error:
        raise FaultbenchError(f"{what}: its options make no sense: {str(error).partition(chr(10))[0]}") from error
