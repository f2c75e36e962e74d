"""Reading a results folder while the verb loads what shows it: matplotlib takes as long as a journal."""

import gc
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from faultbench.forks import meanwhile

if TYPE_CHECKING:
    from faultbench.tables import Results


def read(folder: Path, *modules: str) -> "Results":
    """The results at folder; on return the modules are loaded."""
    gc.set_threshold(100_000)  # rows and figures live until the end; looking for garbage as usual costs a sixth

    from faultbench.tables import read_results

    reading = partial(read_results, folder)
    return meanwhile(reading, partial(_load, modules)) if modules else reading()


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)
