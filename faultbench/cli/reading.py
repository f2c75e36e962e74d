"""Reading a results folder while the verb loads what shows it: matplotlib takes as long as a journal."""

import gc
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from faultbench.results.folder import read_folder
from faultbench.system.processes import meanwhile

if TYPE_CHECKING:
    from faultbench.results.analysis.results import Results


def read(path: Path, *modules: str) -> "Results":
    """The results at path; on return the modules are loaded."""
    gc.set_threshold(100_000)  # rows and figures live until the end; looking for garbage as usual costs a sixth
    folder = meanwhile(partial(read_folder, path), partial(_load, ("faultbench.results.analysis.results", *modules)))

    from faultbench.results.analysis.results import results_of

    return results_of(folder)


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)
