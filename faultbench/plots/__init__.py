"""One file a plot: a module of this folder with a function `draw` is one, and is found by being there.

`draw(results)` gives a matplotlib Figure, or None when the results hold nothing for it to show. It runs inside
`style.styled()`. Figures are made without pyplot: nothing global, no display needed.
"""

import importlib
import os
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from faultbench.blocks import by_block
from faultbench.errors import FaultbenchError
from faultbench.plots.style import save, styled
from faultbench.registry import suggest
from faultbench.tables import Results

Style = Literal["screen", "paper"]
Draw = Callable[[Results], Figure | None]


@cache
def catalogue() -> dict[str, Draw]:
    """Every plot by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module.draw for module in modules if hasattr(module, "draw")}


def write_plots(results: Results, folder: Path, only: Collection[str] = (), style: Style = "screen") -> Iterator[Path]:
    """Draw every plot, or only those named, into folder; gives each path once written.

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
    works = [(name, stem.with_name(stem.name.format(name))) for name, stem in product(only or catalogue(), stems)]
    parts = [part for _, part in product(only or catalogue(), stems.values())]
    for paths in _side_by_side(works, parts, kinds):
        yield from paths


def _side_by_side(
    works: Sequence[tuple[str, Path]], parts: Sequence[Results], kinds: Sequence[str]
) -> Iterator[list[Path]]:
    """The paths that each plot was written to, in their order."""
    n_processes = min(os.cpu_count() or 1, len(works))
    # Forked, the results need not be sent to anyone. A process in which torch has threads must not fork.
    if n_processes < 2 or sys.modules.get("torch") is not None or "fork" not in get_all_start_methods():
        yield from (_drawn(name, stem, part, kinds) for (name, stem), part in zip(works, parts, strict=True))
        return
    with ProcessPoolExecutor(
        n_processes, mp_context=get_context("fork"), initializer=_keep, initargs=(works, parts, kinds)
    ) as pool:
        yield from pool.map(_drawn_of, range(len(works)))


_kept: list[tuple[str, Path, Results, Sequence[str]]] = []
"""What a process that draws was forked with."""


def _keep(works: Sequence[tuple[str, Path]], parts: Sequence[Results], kinds: Sequence[str]) -> None:
    _kept[:] = [(name, stem, part, kinds) for (name, stem), part in zip(works, parts, strict=True)]


def _drawn_of(number: int) -> list[Path]:
    return _drawn(*_kept[number])


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
