"""Plots of results: every module of this folder with a function `draw` is a plot.

`draw(results)` returns a matplotlib Figure, or None if the results hold nothing to show. It runs inside
`style.styled()`. Figures are made without pyplot, so there is no global state and no display is needed.
"""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from faultbench.output.plots.style import save, styled
from faultbench.plugins.registry import suggest
from faultbench.results.analysis.blocks import by_block
from faultbench.results.analysis.results import Results
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.destinations import refuse_linked
from faultbench.system.processes import run_in_parallel

_LONGEST = "attribution"
"""Plot that takes as long as all others together; it is started first."""

Style = Literal["screen", "paper"]
Draw = Callable[[Results], Figure | None]


@cache
def catalogue() -> dict[str, Draw]:
    """Return name → plot, for every plot."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module.draw for module in modules if hasattr(module, "draw")}


def write_plots(results: Results, folder: Path, only: Collection[str] = (), style: Style = "screen") -> Iterator[Path]:
    """Draw every plot, or only those named, into folder, and yield the paths.

    As many plots as there are cores are drawn at a time. In the style screen, all blocks are panels of one figure, as
    PDF, SVG and PNG. In the style paper, each block is a figure as wide as a column, as PDF and SVG, in the folder
    `paper` inside.
    """
    refuse_linked(folder)
    for name in only:
        if name not in catalogue():
            raise FaultbenchError(f"unknown plot {suggest(name, catalogue())}")
    stems = {folder / "{}": results}
    if style == "paper":
        stems = {folder / "paper" / f"{{}}{suffix}": block for suffix, block in _by_block(results)}
    kinds = ("pdf", "svg") if style == "paper" else ("pdf", "svg", "png")
    wanted = list(product(only or catalogue(), stems.items()))
    longest_first = sorted(wanted, key=lambda plot: plot[0] != _LONGEST)
    calls = [
        partial(_draw_files, name, stem.with_name(stem.name.format(name)), part, kinds)
        for name, (stem, part) in longest_first
    ]
    drawn = dict(zip([(name, stem) for name, (stem, _) in longest_first], run_in_parallel(calls), strict=True))
    for name, (stem, _) in wanted:
        yield from drawn[name, stem]


def _draw_files(name: str, stem: Path, part: Results, kinds: Sequence[str]) -> list[Path]:
    with styled():
        try:
            figure = catalogue()[name](part)
        except Exception as error:
            error.add_note(f"while drawing the plot {name}")
            raise
        return save(figure, stem, kinds) if figure else []


def _by_block(results: Results) -> Iterator[tuple[str, Results]]:
    """Yield the ending of file names and the results of each block; the ending is empty if there is one block."""
    parts = by_block(results)
    if len(parts) == 1:
        yield "", results
        return
    taken: Counter[str] = Counter()
    for name, part in parts.items():
        # Users choose the labels: characters that file names should not hold are left out, and equal names numbered.
        ending = "-" + re.sub(r"[^\w.-]+", "", re.sub(r"[\s/]+", "_", name.replace(", ", "-")), flags=re.ASCII)
        taken[ending] += 1
        yield ending if taken[ending] == 1 else f"{ending}-{taken[ending]}", part
