"""Layer × bit maps as inline SVG, with values for the script to show, and a table of the most harmful flips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from faultbench.output.captions import images_text, left_out_text, map_key, shared_count
from faultbench.results.analysis.flip_rows import DIRECTIONS
from faultbench.results.analysis.harm_map import BlockMap, LineMap, row_text, rows_with
from faultbench.results.analysis.results import Results
from faultbench.results.flip_counts import WHOLE_MEMORY
from faultbench.results.folder import LABELS, ber_text

N_SHADES = 10
"""Number of shades; each stands for ten points of accuracy."""

EXCLUDED, UNDECIDED = 10, 11
"""Numbers that stand for the two looks without a shade in `HarmPanel.values`."""

N_WORST = 5
"""Rows of the table per protected network."""

CELL, ROW = 8, 16
TOP, RIGHT, BOTTOM = 4, 4, 34


@dataclass(frozen=True)
class Shape:
    """Run of cells of one shade; shade is 0 to N_SHADES - 1, or q where a large harm is excluded."""

    x: int
    y: int
    width: int
    height: int
    shade: str


@dataclass(frozen=True)
class HarmPanel:
    """Map of one protected network.

    grounds are the tops of the rows that the network has memory for. values go by row, direction and bit: trials with
    such a flip; the mean accuracies without it and with it, the loss and the ends of its interval in per mille; and the
    number of the shade, `EXCLUDED` or `UNDECIDED`.
    """

    label: str
    shapes: tuple[Shape, ...]
    grounds: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class HarmChart:
    """Maps of a block, all of one size."""

    name: str
    rows: tuple[str, ...]
    n_bits: int
    left: int
    ticks: tuple[tuple[int, int], ...]
    panels: tuple[HarmPanel, ...]
    caption: str

    @property
    def width(self) -> int:
        """Return the width of the view box."""
        return self.left + CELL * self.n_bits + RIGHT

    @property
    def height(self) -> int:
        """Return the height of the view box."""
        return TOP + ROW * len(self.rows) + BOTTOM


@dataclass(frozen=True)
class HarmfulFlip:
    """Kind of flip that does harm: the labels of its network, layer, kind, bit and direction, and its row of harms."""

    label: str
    block: str
    flip: tuple[str, str, int, str]
    row: dict[str, Any]
    ber: str


def harm_charts(results: Results, maps: Sequence[BlockMap]) -> list[HarmChart]:
    """Return a chart per block, given the maps of the blocks."""
    return [_chart(block_map, results) for block_map in maps]


def worst_flips(results: Results, maps: Sequence[BlockMap]) -> list[HarmfulFlip]:
    """Return the harmful flips with the highest lower ends of their losses, of every protected network of the maps."""
    if not maps:
        return []
    harmful = results.harm[results.harm.harmful & (results.harm.layer != WHOLE_MEMORY[0])]
    ranked = harmful.sort_values("lost_at_least", ascending=False, kind="stable")
    shown = ranked.groupby([*LABELS], sort=False, observed=True).head(N_WORST)
    return [
        _harmful_flip(line.label, block_map.block.name, row)
        for block_map in maps
        for line in block_map.block.lines
        for row in rows_with(shown, line.cells[[*LABELS]].iloc[0].to_dict()).to_dict("records")
    ]


def shades() -> dict[str, tuple[str, str]]:
    """Return shade → its colour on light and on dark pages; more harm contrasts more with the page."""
    colours = mpl.colormaps["magma"]
    # Neither end of the map: black and the palest yellow look like the page.
    steps = np.linspace(0.08, 0.92, N_SHADES)
    light = [to_hex(colours(1 - step)) for step in steps]
    dark = [to_hex(colours(0.12 + 0.88 * step)) for step in steps]
    return {str(number): pair for number, pair in enumerate(zip(light, dark, strict=True))}


def _harmful_flip(label: str, block: str, row: dict[Any, Any]) -> HarmfulFlip:
    flip = (row["layer"], row["kind"].replace("_", " "), row["bit"], row["direction"])
    return HarmfulFlip(label, block, flip, {str(name): value for name, value in row.items()}, ber_text(row["ber"]))


def _chart(block_map: BlockMap, results: Results) -> HarmChart:
    rows = tuple(row_text(row) for row in block_map.rows)
    left = 12 + round(6.9 * max(map(len, rows), default=0))
    n_bits = block_map.n_bits
    ticks = tuple((round(left + CELL * (n_bits - bit - 0.5)), bit) for bit in block_map.labelled_bits)
    panels = tuple(_panel(line_map, left) for line_map in block_map.maps)
    return HarmChart(block_map.block.name, rows, n_bits, left, ticks, panels, _caption(block_map, results))


def _panel(line_map: LineMap, left: int) -> HarmPanel:
    shades = _shade_numbers(line_map.shown_harm)
    halves = shades[:, :, ::-1].reshape(-1, shades.shape[2])
    shapes = [shape for number, half in enumerate(halves) for shape in _runs(half, number, left)]
    grounds = tuple(TOP + ROW * int(row) for row in np.flatnonzero(line_map.has_memory))
    numbers = (line_map.before, line_map.after, line_map.harm, line_map.low, line_map.high)
    per_mille = [np.nan_to_num(1000 * part).round() for part in numbers]
    values = np.stack([line_map.n_with, *per_mille, shades], axis=-1).reshape(-1, 7).astype(np.int64)
    return HarmPanel(line_map.line.label, tuple(shapes), grounds, tuple(map(tuple, values.tolist())))


def _runs(half: NDArray[np.int64], number: int, left: int) -> Iterator[Shape]:
    """Yield a shape for each run of neighbours of one shade: a page has tens of thousands of cells."""
    y, height = TOP + number * ROW // 2, ROW // 2 - number % 2  # a line is left free below each row
    place = 0
    for shade, run in groupby(half.tolist()):
        length = len(list(run))
        if shade != UNDECIDED:
            yield Shape(left + CELL * place, y, CELL * length, height, "q" if shade == EXCLUDED else str(shade))
        place += length


def _shade_numbers(shown_harm: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each cell's shade, or `EXCLUDED` or `UNDECIDED`."""
    shades = np.minimum(np.nan_to_num(shown_harm) * N_SHADES, N_SHADES - 1).astype(np.int64)
    return np.where(np.isnan(shown_harm), UNDECIDED, np.where(shown_harm == 0, EXCLUDED, shades))


def _caption(block_map: BlockMap, results: Results) -> str:
    n_counted = shared_count(n_trials for line_map in block_map.maps for n_trials in line_map.n_counted)
    return (
        f"{n_counted.capitalize()} trials counted per cell, {images_text(results.cells)} images per trial. Upper half "
        f"of a row: flips {DIRECTIONS[0]}, lower: {DIRECTIONS[1]}. {map_key('coloured', 'plain')}; hatched where the "
        "trials do not tell; empty where there is no such memory. A layer's name alone stands for its weights."
        f"{left_out_text(block_map.n_left_out)}"
    )
