"""The layer × bit map: how much harm a flip does, by where it is and which way it goes."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from faultbench.attribution import CERTAIN, EXCLUDED
from faultbench.blocks import images_text
from faultbench.flip_counts import FAILING_DROP
from faultbench.harm_map import BlockMap, LineMap, harm_maps, row_text, span
from faultbench.plots.panels import CAPTION_ROW_IN, add_caption, wrapped
from faultbench.plots.style import COLUMN_IN, PAGE_IN, plain
from faultbench.tables import Results

_COLOURS = "magma_r"
"""Rises evenly in lightness, so that it reads in grey; its lowest colour differs from white paper."""
_EXCLUDED = ListedColormap(["#ECECEC"])
_MOST_VECTORS = 20_000
"""Cells of a figure beyond which they are pixels in its PDF and SVG."""
_MANY_ROWS = 30


def draw(results: Results) -> Figure | None:
    """A panel a protected network, as wide as a page where there are several; None where no trial is counted."""
    found = harm_maps(results)
    return draw_maps(found, _caption(results, found)) if any(block.maps for block in found) else None


def draw_maps(found: Sequence[BlockMap], caption: str) -> Figure:
    """A panel a map, of which there must be one."""
    panels = [(block, one) for block in found for one in block.maps]
    n_columns = min(len(panels), 3 if max(len(block.rows) for block in found) <= _MANY_ROWS else 6)
    width = COLUMN_IN if len(panels) == 1 else PAGE_IN
    text = wrapped(caption, width)
    bands = list(chain.from_iterable(_bands(block, n_columns) for block in found))
    heights = [_height(block) for block, _ in bands]
    figure = Figure(figsize=(width, sum(heights) + (text.count("\n") + 1) * CAPTION_ROW_IN + 0.2))
    grid = figure.subplots(len(bands), n_columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for (block, maps), row in zip(bands, grid, strict=True):
        _draw_band(block, maps, row, names_block=len(found) > 1)
    mesh = grid[0, 0].collections[0]
    bar = figure.colorbar(mesh, ax=grid.ravel().tolist(), shrink=0.6 if len(bands) > 1 else 0.9, aspect=24, pad=0.015)
    bar.ax.set_title("Harm\n(%)", pad=5, y=1, fontsize=7.5)
    bar.outline.set_visible(False)
    add_caption(figure, text)
    return figure


def _bands(block: BlockMap, n_columns: int) -> list[tuple[BlockMap, Sequence[LineMap]]]:
    """The rows of panels that a block takes."""
    return [(block, block.maps[start : start + n_columns]) for start in range(0, len(block.maps), n_columns)]


def _row_in(block: BlockMap) -> float:
    return 0.15 if len(block.rows) <= _MANY_ROWS else 0.085


def _height(block: BlockMap) -> float:
    return len(block.rows) * _row_in(block) + 0.5


def _draw_band(block: BlockMap, maps: Sequence[LineMap], row: NDArray[np.object_], *, names_block: bool) -> None:
    for number, (one, axes) in enumerate(zip(maps, row, strict=False)):
        name = f"{block.block.name}: {one.line.label}" if names_block else one.line.label
        axes.set_title(plain(name), pad=4, y=1)
        _draw_map(axes, block, one)
        size = 7.5 if len(block.rows) <= _MANY_ROWS else 5
        labels = [plain(row_text(row)) for row in block.rows] if number == 0 else []
        axes.set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize=size)
        axes.set_xlabel("Bit")
    for axes in row[len(maps) :]:
        axes.set_visible(False)


def _draw_map(axes: Axes, block: BlockMap, one: LineMap) -> None:
    """The highest bit on the left; each row in two halves, 0→1 above 1→0."""
    n_rows, n_bits = len(block.rows), block.n_bits
    for place in np.flatnonzero(one.has_memory).tolist():
        axes.add_patch(Rectangle((0, place), n_bits, 1, facecolor="white", edgecolor="#BBBBBB", hatch="//////", lw=0))
    edges = np.arange(n_bits + 1), np.arange(2 * n_rows + 1) / 2
    halves = np.ma.masked_invalid(100 * one.told[:, :, ::-1].reshape(2 * n_rows, n_bits))
    for shown, colours in ((halves, _COLOURS), (np.ma.masked_not_equal(halves, 0), _EXCLUDED)):
        mesh = axes.pcolormesh(*edges, shown, cmap=colours, vmin=0, vmax=100, zorder=2)
        mesh.set_rasterized(halves.size * 6 > _MOST_VECTORS)
    for border in range(1, n_rows):
        axes.axhline(border, color="white", linewidth=1.2, zorder=3)
    axes.set_xlim(0, n_bits)
    axes.set_ylim(n_rows, 0)
    ticks = [bit for bit in range(n_bits - 1, -1, -1) if bit % 8 == 0 or bit == n_bits - 1]
    axes.set_xticks([n_bits - bit - 0.5 for bit in ticks], [str(bit) for bit in ticks])
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _caption(results: Results, found: Sequence[BlockMap]) -> str:
    n_counted = [n_trials for block in found for one in block.maps for n_trials in one.n_counted]
    n_left_out = sum(block.n_left_out for block in found)
    left_out = f" Left out: {n_left_out} rows in which no trial tells." if n_left_out else ""
    return (
        f"Harm: of the trials that hold such a flip and would otherwise pass, the share that fails, that is, loses "
        f"{100 * FAILING_DROP:g} points of the golden accuracy or more; all BERs together, {span(n_counted)} trials "
        f"counted a cell, {images_text(results.cells)} images a trial. The upper half of a row is for flips "
        f"0→1, the lower for 1→0; a layer's name stands for its weights. Coloured where the {100 * CERTAIN:g}% "
        f"interval lies above 0; grey where it holds 0 and ends by {100 * EXCLUDED:g}%; hatched where the trials do "
        f"not tell; white where there is no such memory.{left_out}"
    )
