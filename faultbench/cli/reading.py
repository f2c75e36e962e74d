"""Reading of a results folder while modules load: importing matplotlib takes as long as reading a journal."""

import gc
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from faultbench.results.folder import read_folder
from faultbench.system.processes import run_beside

if TYPE_CHECKING:
    from faultbench.results.analysis.results import Results


def read(path: Path, *modules: str) -> "Results":
    """Return the results at path; the modules are loaded at the same time."""
    gc.set_threshold(100_000)  # rows and figures live until the end, and the usual collections cost a sixth of the time
    folder = run_beside(partial(read_folder, path), partial(_load, ("faultbench.results.analysis.results", *modules)))

    from faultbench.results.analysis.results import results_of

    return results_of(folder)


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)
