"""Plot of layer × bit maps: how much accuracy a flip costs, by layer, bit and direction."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.markers import TICKDOWN
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from faultbench.output.captions import images_text, left_out_text, map_key, shared_count
from faultbench.output.plots.map_grid import MapGrid
from faultbench.output.plots.panels import CAPTION_ROW_IN, add_caption, wrapped
from faultbench.output.plots.style import COLUMN_IN, PAGE_IN, plain, width_in
from faultbench.output.scheme_styles import GREY
from faultbench.results.analysis.harm_map import BlockMap, LineMap, harm_maps, row_text
from faultbench.results.analysis.results import Results

_COLOURS = mpl.colormaps["magma_r"]
"""Colour map of even lightness steps, so that it reads in grey; its lowest colour differs from white paper."""
_SHADES, _ABOVE_0 = _COLOURS.with_extremes(under="#ECECEC"), Normalize(1e-9, 100)
"""Colours and scale of harms; 0, an excluded harm, is grey."""
_MOST_VECTORS = 20_000
"""Largest number of cells that a figure draws as vectors; more cells are pixels in its PDF and SVG."""
_PIXELS = 4
"""Pixels per side of a cell: a program that smooths pixels then blurs only the edges of cells."""
_MANY_ROWS = 30
_TICK_PT = 3.0
_PAD_PT = 3.5
"""Space between a row's name and the map, and between a tick and its label."""
_BITS_PT = 7.5
_LEAST_IN = 0.5
"""Least height of a panel, which the colour bar needs."""


def draw(results: Results) -> Figure | None:
    """Draw a panel per protected network, over a page if there are several; return None if there is no row to show."""
    shown = [block for block in harm_maps(results) if block.rows]
    if not any(block.maps for block in shown):
        return None
    return draw_maps(shown, _caption(results, shown), name="Lost\n(points)")


def draw_maps(shown: Sequence[BlockMap], caption: str, *, name: str) -> Figure:
    """Draw a panel per map; there must be at least one map. name is what the colours mean, over the colour bar."""
    panels = [line_map for block in shown for line_map in block.maps]
    n_columns = min(len(panels), 3 if max(len(block.rows) for block in shown) <= _MANY_ROWS else 6)
    width = COLUMN_IN if len(panels) == 1 else PAGE_IN
    text = wrapped(caption, width)
    bands = list(chain.from_iterable(_bands(block, n_columns) for block in shown))
    grid = MapGrid(
        width,
        [_height(block) for block, _ in bands],
        n_columns,
        names=max(_names_in(block) for block in shown),
        below=(text.count("\n") + 1) * CAPTION_ROW_IN + 0.1,
        names_blocks=len(shown) > 1,
    )
    figure = Figure(figsize=(width, grid.height))
    has_vectors = sum(line_map.shown_harm.size for line_map in panels) <= _MOST_VECTORS
    for (block, maps), row in zip(bands, grid.axes(figure), strict=True):
        _draw_band(block, maps, row, names_block=grid.names_blocks, has_vectors=has_vectors)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), _COLOURS), cax=grid.bar(figure))
    bar.ax.set_title(name, pad=5, y=1, fontsize=7.5)
    bar.outline.set_visible(False)
    add_caption(figure, text).set_y(0.04 / grid.height)
    return figure


def _bands(block: BlockMap, n_columns: int) -> list[tuple[BlockMap, Sequence[LineMap]]]:
    """Return the rows of panels that a block takes."""
    return [(block, block.maps[start : start + n_columns]) for start in range(0, len(block.maps), n_columns)]


def _row_in(block: BlockMap) -> float:
    return 0.15 if len(block.rows) <= _MANY_ROWS else 0.085


def _height(block: BlockMap) -> float:
    return max(_LEAST_IN, len(block.rows) * _row_in(block))


def _names_pt(block: BlockMap) -> float:
    return 7.5 if len(block.rows) <= _MANY_ROWS else 5


def _names_in(block: BlockMap) -> float:
    """Return the width of the names of rows, left of the maps."""
    return max(width_in(row_text(row), _names_pt(block)) for row in block.rows) + _PAD_PT / 72


def _draw_band(
    block: BlockMap, maps: Sequence[LineMap], row: Sequence[Axes], *, names_block: bool, has_vectors: bool
) -> None:
    for number, (line_map, axes) in enumerate(zip(maps, row, strict=False)):
        # A line is left free for the block's name, which is wider than a panel.
        label = "\n" * names_block + plain(line_map.line.label)
        axes.set_title(label, pad=4, y=1, fontsize=_title_pt(line_map, row))
        _draw_map(axes, block, line_map, has_vectors=has_vectors)
        _name_bits(axes, block)
        if number == 0:
            _name_rows(axes, block)
    for axes in row[len(maps) :]:
        axes.set_visible(False)
    if names_block:
        row[0].annotate(plain(block.block.name), (0, 1), (0, 16), "axes fraction", "offset points").set_in_layout(False)


def _name_rows(axes: Axes, block: BlockMap) -> None:
    """Write the names of rows left of the map, as texts: labels of ticks would take longer than the maps."""
    labels = [plain(row_text(row)) for row in block.rows]
    beside = offset_copy(axes.get_yaxis_transform(), axes.get_figure(root=True), x=-_PAD_PT, units="points")
    look: dict[str, Any] = {"ha": "right", "va": "center_baseline", "transform": beside}
    for place, label in enumerate(labels):
        axes.text(0, place + 0.5, label, fontsize=_names_pt(block), **look)


def _name_bits(axes: Axes, block: BlockMap) -> None:
    """Write the highest bit and the lowest bit of each byte below the map, as texts, where an axis would have them."""
    bits, n_bits = block.labelled_bits, block.n_bits
    places = [n_bits - bit - 0.5 for bit in bits]
    edge, figure = axes.get_xaxis_transform(), axes.get_figure(root=True)
    mark: dict[str, Any] = {"marker": TICKDOWN, "markersize": _TICK_PT, "markeredgewidth": 0.6, "color": GREY}
    axes.plot(places, [0] * len(places), linestyle="", clip_on=False, transform=edge, **mark)
    below = offset_copy(edge, figure, y=-_TICK_PT - _PAD_PT, units="points")
    look: dict[str, Any] = {"ha": "center", "va": "top"}
    for place, bit in zip(places, bits, strict=True):
        axes.text(place, 0, str(bit), fontsize=_BITS_PT, transform=below, **look)
    lower = offset_copy(edge, figure, y=-_TICK_PT - 2 * _PAD_PT - _BITS_PT, units="points")
    axes.text(n_bits / 2, 0, "Bit", transform=lower, **look)


def _title_pt(line_map: LineMap, row: Sequence[Axes]) -> float:
    """Return the usual size of a title, or less if a long label would reach its neighbours."""
    return min(8.0, 8.0 * 0.9 * PAGE_IN / len(row) / width_in(line_map.line.label, 8))


def _draw_map(axes: Axes, block: BlockMap, line_map: LineMap, *, has_vectors: bool) -> None:
    """Draw a map with the highest bit on the left and each row in two halves, 0→1 above 1→0."""
    n_rows, n_bits = len(block.rows), block.n_bits
    # Artists, not patches: matplotlib would measure patches for limits that are set below.
    for start, stop in _runs(line_map.has_memory):
        size = n_bits, stop - start
        axes.add_artist(Rectangle((0, start), *size, facecolor="white", edgecolor="#BBBBBB", hatch="//////", lw=0))
    halves = np.ma.masked_invalid(100 * line_map.shown_harm[:, :, ::-1].reshape(2 * n_rows, n_bits))
    looks: dict[str, Any] = {"cmap": _SHADES, "norm": _ABOVE_0, "zorder": 2}
    if has_vectors:
        # Edges have the colour of the cell: the hatching would show through hairlines between cells.
        looks |= {"edgecolors": "face", "linewidth": 0.25}
        axes.pcolormesh(np.arange(n_bits + 1), np.arange(2 * n_rows + 1) / 2, halves, **looks)
    else:
        shades = _SHADES(_ABOVE_0(halves), bytes=True)
        pixels = np.asarray(shades).repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)
        axes.imshow(pixels, zorder=2, extent=(0, n_bits, n_rows, 0), aspect="auto", interpolation="none")
    ends = np.array([(x, border) for border in range(1, n_rows) for x in (0, n_bits)]).reshape(-1, 2)
    borders = Path(ends, [Path.MOVETO, Path.LINETO] * (n_rows - 1))  # one path is drawn faster than many
    axes.add_artist(PathPatch(borders, fill=False, edgecolor="white", linewidth=1.2, capstyle="butt", zorder=3))
    axes.set_xlim(0, n_bits)
    axes.set_ylim(n_rows, 0)
    axes.set_axis_off()


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Return the first and one past the last index of every unbroken run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def _caption(results: Results, shown: Sequence[BlockMap]) -> str:
    n_counted = shared_count(n_trials for block in shown for line_map in block.maps for n_trials in line_map.n_counted)
    left_out = left_out_text(sum(block.n_left_out for block in shown))
    return (
        f"Mean accuracy lost with such a flip against without, at the BER that tells most of it; {n_counted} trials "
        f"counted per cell, {images_text(results.cells)} images per trial. The upper half of a row is for flips "
        f"0→1, the lower for 1→0; a layer's name stands for its weights. {map_key('coloured', 'grey')}; hatched where "
        f"the trials do not tell; white where there is no such memory.{left_out}"
    )
