"""A figure with one panel a block of results, all with the same axes, a legend of the schemes and a caption."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from faultbench.output.plots.style import COLUMN_IN, PAGE_IN, SMALL_PT, plain, width_in
from faultbench.output.scheme_styles import GREY, Look, looks
from faultbench.results.analysis.blocks import Block, Line, blocks
from faultbench.results.analysis.results import Results

_PANEL_HEIGHT_IN = 2.0
_LEGEND_ROW_IN = 0.17
CAPTION_ROW_IN = 0.11
_HANDLE_IN = 0.42
"""What a legend's entry takes besides its text."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel: its axes, and the lines of its block with their looks."""

    axes: Axes
    lines: tuple[tuple[Line, Look], ...]


def panels(results: Results, *, xlabel: str, ylabel: str, caption: str) -> tuple[Figure, list[Panel]]:
    """A figure with a panel for each block, still without data, all with the same axes."""
    found = blocks(results)
    n_rows, n_columns, width = page_grid(len(found))
    line_looks = _line_looks(found, results)
    legend_columns = _legend_columns(list(line_looks), width)
    text = wrapped(caption, width)
    legend_height = math.ceil(len(line_looks) / legend_columns) * _LEGEND_ROW_IN
    height = n_rows * _PANEL_HEIGHT_IN + legend_height + (text.count("\n") + 1) * CAPTION_ROW_IN
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, block in zip(grid, found, strict=False):
        axes.set_title(plain(block.name), pad=4, y=1)  # a place not given is searched for in every drawing
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
    for axes in grid[len(found) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(found) - n_columns) : len(found)]:
        axes.set_xlabel(xlabel)
    for axes in grid[::n_columns]:
        axes.set_ylabel(ylabel)
    _add_legend(figure, line_looks, legend_columns)
    add_caption(figure, text)
    return figure, [Panel(axes, _looked(block, line_looks)) for axes, block in zip(grid, found, strict=False)]


def page_grid(n_panels: int) -> tuple[int, int, float]:
    """Rows, columns and inches: a single panel fills a column of a paper, several go in pairs over its page."""
    n_columns = min(n_panels, 2)
    return math.ceil(n_panels / n_columns), n_columns, COLUMN_IN if n_columns == 1 else PAGE_IN


def wrapped(caption: str, width: float) -> str:
    """The caption in lines that fit a figure of so many inches."""
    lines: list[list[str]] = []
    taken = math.inf
    for word in caption.split():
        needed = width_in(f"{word} ", SMALL_PT)
        if taken + needed > 0.96 * width:
            lines.append([])
            taken = 0.0
        lines[-1].append(word)
        taken += needed
    return "\n".join(" ".join(words) for words in lines)


def add_caption(figure: Figure, text: str) -> Text:
    """Small grey lines at the bottom, for which the layout keeps room."""
    return figure.supxlabel(text, fontsize=SMALL_PT, color=GREY, x=0.01, ha="left", linespacing=1.25)


def _line_looks(found: Sequence[Block], results: Results) -> dict[str, Look]:
    lines = [line for block in found for line in block.lines]
    by_scheme = looks(results.manifest.scheme_names)
    guards = list(dict.fromkeys(line.guard for line in lines))
    return {line.label: by_scheme[line.scheme].dashed(guards.index(line.guard)) for line in lines}


def _looked(block: Block, line_looks: Mapping[str, Look]) -> tuple[tuple[Line, Look], ...]:
    return tuple((line, line_looks[line.label]) for line in block.lines)


def _add_legend(figure: Figure, line_looks: Mapping[str, Look], n_columns: int) -> None:
    figure.legend(
        [Line2D([], [], **look.line, **look.points) for look in line_looks.values()],
        [plain(label) for label in line_looks],
        loc="outside upper center",
        ncols=n_columns,
    )


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """The most columns, filled one after the other and evenly, that fit so many inches."""
    widths = [_HANDLE_IN + width_in(label) for label in labels]
    for n_rows in range(1, len(labels)):
        columns = [widths[start : start + n_rows] for start in range(0, len(widths), n_rows)]
        if sum(map(max, columns)) <= width:
            return len(columns)
    return 1
