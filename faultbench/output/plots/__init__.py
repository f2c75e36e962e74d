"""One file a plot: a module of this folder with a function `draw` is one, and is found by being there.

`draw(results)` gives a matplotlib Figure, or None when the results hold nothing for it to show. It runs inside
`style.styled()`. Figures are made without pyplot: nothing global, no display needed.
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
from faultbench.system.processes import side_by_side

_LONGEST = "attribution"
"""The plot that takes as long as all others together: whoever draws it begins at once."""

Style = Literal["screen", "paper"]
Draw = Callable[[Results], Figure | None]


@cache
def catalogue() -> dict[str, Draw]:
    """Every plot by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module.draw for module in modules if hasattr(module, "draw")}


def write_plots(results: Results, folder: Path, only: Collection[str] = (), style: Style = "screen") -> Iterator[Path]:
    """Draw every plot, or only those named, into folder; gives the paths.

    Plots are drawn side by side, as many as there are cores. For screens all blocks are panels of one figure, as PDF,
    SVG and PNG. For papers each block is a figure as wide as a column, as PDF and SVG, in the folder `paper` inside.
    """
    for name in only:
        if name not in catalogue():
            raise FaultbenchError(f"unknown plot {suggest(name, catalogue())}")
    stems = {folder / "{}": results}
    if style == "paper":
        stems = {folder / "paper" / f"{{}}{suffix}": block for suffix, block in _by_block(results)}
    kinds = ("pdf", "svg") if style == "paper" else ("pdf", "svg", "png")
    wanted = list(product(only or catalogue(), stems.items()))
    longest_first = sorted(wanted, key=lambda one: one[0] != _LONGEST)
    calls = [
        partial(_drawn, name, stem.with_name(stem.name.format(name)), part, kinds)
        for name, (stem, part) in longest_first
    ]
    drawn = dict(zip([(name, stem) for name, (stem, _) in longest_first], side_by_side(calls), strict=True))
    for name, (stem, _) in wanted:
        yield from drawn[name, stem]


def _drawn(name: str, stem: Path, part: Results, kinds: Sequence[str]) -> list[Path]:
    with styled():
        figure = catalogue()[name](part)
        return save(figure, stem, kinds) if figure else []


def _by_block(results: Results) -> Iterator[tuple[str, Results]]:
    """The results of each block by what its files' names end in; nothing where it is the only one."""
    found = by_block(results)
    if len(found) == 1:
        yield "", results
        return
    taken: Counter[str] = Counter()
    for name, part in found.items():
        # Labels are anybody's text: what no file's name should hold is left out, and what then is alike is numbered.
        ending = "-" + re.sub(r"[^\w.-]+", "", re.sub(r"[\s/]+", "_", name.replace(", ", "-")), flags=re.ASCII)
        taken[ending] += 1
        yield ending if taken[ending] == 1 else f"{ending}-{taken[ending]}", part
