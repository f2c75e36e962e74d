"""Figure with a panel per block of results, all with the same axes, a legend of the schemes and a caption."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from faultbench.output.plots.style import COLUMN_IN, PAGE_IN, SMALL_PT, plain, width_in
from faultbench.output.scheme_styles import GREY, Look, line_looks
from faultbench.results.analysis.blocks import Block, Line, blocks
from faultbench.results.analysis.results import Results

_PANEL_HEIGHT_IN = 2.0
_LEGEND_ROW_IN = 0.17
CAPTION_ROW_IN = 0.11
_HANDLE_IN = 0.42
"""Width of a legend's entry besides its text."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Panel of a block: its axes, and the lines with their looks."""

    axes: Axes
    lines: tuple[tuple[Line, Look], ...]


def panels(results: Results, *, xlabel: str, ylabel: str, caption: str) -> tuple[Figure, list[Panel]]:
    """Return a figure with a panel for each block, all with the same axes and still without data, and the panels."""
    shown = blocks(results)
    n_rows, n_columns, width = page_grid(len(shown))
    look_of = line_looks([line for block in shown for line in block.lines], results.manifest.scheme_names)
    legend_columns = _legend_columns(list(look_of), width)
    text = wrapped(caption, width)
    legend_height = math.ceil(len(look_of) / legend_columns) * _LEGEND_ROW_IN
    height = n_rows * _PANEL_HEIGHT_IN + legend_height + (text.count("\n") + 1) * CAPTION_ROW_IN
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, block in zip(grid, shown, strict=False):
        axes.set_title(plain(block.name), pad=4, y=1)  # without a place, matplotlib searches one in every drawing
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(shown) - n_columns) : len(shown)]:
        axes.set_xlabel(xlabel)
    for axes in grid[::n_columns]:
        axes.set_ylabel(ylabel)
    _add_legend(figure, look_of, legend_columns)
    add_caption(figure, text)
    return figure, [_panel(axes, block, look_of) for axes, block in zip(grid, shown, strict=False)]


def page_grid(n_panels: int) -> tuple[int, int, float]:
    """Return rows, columns and width in inches: one panel fills a column of a paper, several go in pairs on a page."""
    n_columns = min(n_panels, 2)
    return math.ceil(n_panels / n_columns), n_columns, COLUMN_IN if n_columns == 1 else PAGE_IN


def wrapped(caption: str, width: float) -> str:
    """Return the caption broken into lines that fit a figure of this width, in inches."""
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
    """Add the caption as small grey lines at the bottom, for which the layout keeps room."""
    return figure.supxlabel(text, fontsize=SMALL_PT, color=GREY, x=0.01, ha="left", linespacing=1.25)


def _panel(axes: Axes, block: Block, look_of: Mapping[str, Look]) -> Panel:
    return Panel(axes, tuple((line, look_of[line.label]) for line in block.lines))


def _add_legend(figure: Figure, look_of: Mapping[str, Look], n_columns: int) -> None:
    figure.legend(
        [Line2D([], [], **look.line, **look.points) for look in look_of.values()],
        [plain(label) for label in look_of],
        loc="outside upper center",
        ncols=n_columns,
    )


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """Return the largest number of evenly filled columns that fit this width, in inches."""
    widths = [_HANDLE_IN + width_in(label) for label in labels]
    for n_rows in range(1, len(labels)):
        columns = [widths[start : start + n_rows] for start in range(0, len(widths), n_rows)]
        if sum(map(max, columns)) <= width:
            return len(columns)
    return 1
