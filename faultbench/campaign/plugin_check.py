"""Check of the modules under `plugins`: they are found and read as source, and none of them is imported."""

from pathlib import Path

from pydantic import PydanticUserError, ValidationError
from pydantic_core import SchemaError

from faultbench.campaign.choices import options_model
from faultbench.campaign.document.problems import quote
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.keys import canonical_text
from faultbench.campaign.spec import AXES, MAX_ENTRIES, ModelEntry
from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.plugins.registry import Modules
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import printable

_KINDS = [kind for kind in AXES.values() if kind in registry.FOLDERS]


def read_plugins(document: Document) -> Modules | None:
    """Return the modules under `plugins`. Return None, with the problems reported, if one cannot be used.

    The folder of the campaign file is first on the search path, as the folder of a Python script is.
    """
    names = document.value.get("plugins", []) if isinstance(document.value, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names[:MAX_ENTRIES]):
        return None  # the validation of CampaignSpec reports it
    modules: list[PluginModule] = []
    for n, name in enumerate(names[:MAX_ENTRIES]):
        try:
            modules.append(_read_module(name, names[:n], tuple(modules), Path(document.source).parent))
        except FaultbenchError as error:
            document.report(("plugins", n), printable(str(error)))
    return tuple(modules) if len(modules) == len(names) else None


def _read_module(name: str, earlier_names: list[str], earlier: Modules, folder: Path) -> PluginModule:
    if name in earlier_names:
        raise FaultbenchError(f"repeats plugins[{earlier_names.index(name)}], {quote(name)}; leave one out")
    module = find_module(name, folder)
    for kind in _KINDS:
        registry.catalogue(kind, (*earlier, module))  # refuses names that are taken
    declarations = [declaration for kind in _KINDS for declaration in registry.declarations(module, kind)]
    if not declarations:
        raise FaultbenchError(
            f"{module.file} declares nothing that a campaign can name; "
            f"put a decorator of faultbench ({', '.join(f'@fb.{kind}' for kind in _KINDS)}) before a function or class"
        )
    for declaration in declarations:
        _check_options(declaration)
    return module


def _check_options(plugin: registry.PluginDeclaration) -> None:
    title = f"{plugin.module}: {plugin.kind.replace('_', ' ')} {quote(plugin.name)}"
    if taken := sorted(plugin.options.keys() & ModelEntry.model_fields):
        raise FaultbenchError(f"{title}: option {taken[0]!r} is a key of every entry; give it another name")
    try:
        canonical_text(options_model(plugin)().model_dump(mode="json"))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise FaultbenchError(
            f"{title}: option {wrong['loc'][0]!r}: {wrong['msg']}; its default is {quote(wrong['input'])}"
        ) from error
    except (PydanticUserError, SchemaError, TypeError, ValueError, NameError) as error:
        raise FaultbenchError(f"{title}: its options are invalid: {str(error).partition(chr(10))[0]}") from error
