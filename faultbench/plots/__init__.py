"""One file a plot: a module of this folder with a function `draw` is one, and is found by being there.

`draw(results)` gives a matplotlib Figure, or None when the results hold nothing for it to show. It runs inside
`style.styled()`. Figures are made without pyplot: nothing global, no display needed.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from faultbench.errors import FaultbenchError
from faultbench.plots.style import save, styled
from faultbench.registry import suggest
from faultbench.tables import Results

Draw = Callable[[Results], Figure | None]


@cache
def catalogue() -> dict[str, Draw]:
    """Every plot by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module.draw for module in modules if hasattr(module, "draw")}


def write_plots(results: Results, folder: Path, only: Collection[str] = ()) -> Iterator[Path]:
    """Draw every plot, or only those named, into folder as PDF, SVG and PNG; gives each path once written."""
    for name in only:
        if name not in catalogue():
            raise FaultbenchError(f"unknown plot {suggest(name, catalogue())}")
    for name in only or catalogue():
        with styled():
            figure = catalogue()[name](results)
            paths = save(figure, folder / name) if figure else []
        yield from paths
