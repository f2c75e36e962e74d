"""Reading a results folder while the verb loads what shows it: matplotlib takes as long as a journal."""

import gc
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from faultbench.forks import meanwhile
from faultbench.results_folder import read_folder

if TYPE_CHECKING:
    from faultbench.tables import Results


def read(path: Path, *modules: str) -> "Results":
    """The results at path; on return the modules are loaded."""
    gc.set_threshold(100_000)  # rows and figures live until the end; looking for garbage as usual costs a sixth
    folder = meanwhile(partial(read_folder, path), partial(_load, ("faultbench.tables", *modules)))

    from faultbench.tables import results_of

    return results_of(folder)


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)
