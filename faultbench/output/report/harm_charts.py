"""The layer × bit map as inline SVG, its values for the script to show, and the flips that do most harm as a table."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from faultbench.results.analysis.blocks import images_text
from faultbench.results.analysis.flip_harm import CERTAIN, DIRECTIONS, EXCLUDED, FLIP, with_rates
from faultbench.results.analysis.harm_map import BlockMap, LineMap, only, row_text, span
from faultbench.results.analysis.results import Results
from faultbench.results.flip_counts import FAILING_DROP, WHOLE
from faultbench.results.folder import LABELS, ber_text

N_SHADES = 10
"""A tenth of harm each."""
N_WORST = 5
"""Rows of the table, of each protected network."""

_COUNTED = ["trials_with", "failed_with"]
"""Of all BERs together, where a row shows those of one."""

CELL, ROW = 8, 16
TOP, RIGHT, BOTTOM = 4, 4, 34


@dataclass(frozen=True)
class Shape:
    """A run of cells of one shade: x, y, width and height; shade is 0 to N_SHADES - 1, or q where harm is excluded."""

    x: int
    y: int
    width: int
    height: int
    shade: str


@dataclass(frozen=True)
class HarmPanel:
    """The map of one protected network."""

    label: str
    shapes: tuple[Shape, ...]
    grounds: tuple[int, ...]
    """Where rows begin that the network has memory for."""
    values: tuple[tuple[int, ...], ...]
    """[row, direction, bit] one after another: trials with it, failed, harm and its ends in per mille."""


@dataclass(frozen=True)
class HarmChart:
    """The maps of a block, all of one size."""

    name: str
    rows: tuple[str, ...]
    n_bits: int
    left: int
    ticks: tuple[tuple[int, int], ...]
    panels: tuple[HarmPanel, ...]
    caption: str

    @property
    def width(self) -> int:
        """Of the view box."""
        return self.left + CELL * self.n_bits + RIGHT

    @property
    def height(self) -> int:
        """Of the view box."""
        return TOP + ROW * len(self.rows) + BOTTOM


@dataclass(frozen=True)
class Worst:
    """A kind of flip that does harm, with its row of the table at the BER where most such trials would else pass."""

    label: str
    block: str
    flip: tuple[str, str, int, str]
    harm: tuple[float, float, float]
    row: dict[str, Any]
    ber: str


def harm_charts(results: Results, found: Sequence[BlockMap]) -> list[HarmChart]:
    """A chart a block, given their maps; none where no trial is counted."""
    return [_chart(one, results) for one in found]


def worst_flips(results: Results, found: Sequence[BlockMap]) -> list[Worst]:
    """Of every protected network the flips whose harm is told and whose lower end is highest."""
    if not found:
        return []
    pooled = results.harms
    told = pooled[(pooled.layer != WHOLE[0]) & (pooled.harm_ci_low > 0)]
    told = told.sort_values("harm_ci_low", ascending=False, kind="stable").drop(columns=_COUNTED)
    shown = told.groupby([*LABELS], sort=False, observed=True).head(N_WORST)
    rows = with_rates(_telling(results.counted, shown), results.manifest.rule.confidence_a_look)
    there = shown.merge(rows, on=[*LABELS, *FLIP])
    return [
        _worst(line.label, one.block.name, row)
        for one in found
        for line in one.block.lines
        for row in only(there, line.cells[[*LABELS]].iloc[0].to_dict()).to_dict("records")
    ]


def _telling(rows: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Of each kind of flip that is shown the row of the BER where most trials with it would else pass."""
    of_them = rows.merge(shown[[*LABELS, *FLIP]], on=[*LABELS, *FLIP])
    otherwise = of_them.trials_with * (of_them.trials_without - of_them.failed_without) / of_them.trials
    by_weight = of_them.assign(otherwise=otherwise).sort_values("otherwise", ascending=False, kind="stable")
    return by_weight.drop_duplicates([*LABELS, *FLIP])


def shades() -> dict[str, tuple[str, str]]:
    """Shade → its colour on light and on dark pages; the more harm, the farther from the page."""
    colours = mpl.colormaps["magma"]
    # Neither end: black and the palest yellow would be taken for the page.
    steps = np.linspace(0.08, 0.92, N_SHADES)
    light = [to_hex(colours(1 - step)) for step in steps]
    dark = [to_hex(colours(0.12 + 0.88 * step)) for step in steps]
    return {str(number): pair for number, pair in enumerate(zip(light, dark, strict=True))}


def _worst(label: str, block: str, row: dict[Any, Any]) -> Worst:
    flip = (row["layer"], row["kind"].replace("_", " "), row["bit"], row["direction"])
    shown = {str(name): value for name, value in row.items()} | {
        "with": f"{row['failed_with']} of {row['trials_with']}",
        "without": f"{row['failed_without']} of {row['trials_without']}",
    }
    return Worst(
        label, block, flip, (row["harm"], row["harm_ci_low"], row["harm_ci_high"]), shown, ber_text(row["ber"])
    )


def _chart(found: BlockMap, results: Results) -> HarmChart:
    rows = tuple(row_text(row) for row in found.rows)
    left = 12 + round(6.9 * max(map(len, rows), default=0))
    bits = [bit for bit in range(found.n_bits - 1, -1, -1) if bit % 8 == 0 or bit == found.n_bits - 1]
    ticks = tuple((round(left + CELL * (found.n_bits - bit - 0.5)), bit) for bit in bits)
    panels = tuple(_panel(one, left) for one in found.maps)
    return HarmChart(found.block.name, rows, found.n_bits, left, ticks, panels, _caption(found, results))


def _panel(one: LineMap, left: int) -> HarmPanel:
    halves = one.told[:, :, ::-1].reshape(-1, one.told.shape[2])
    shapes = [shape for number, half in enumerate(halves) for shape in _runs(half, number, left)]
    grounds = tuple(TOP + ROW * int(row) for row in np.flatnonzero(one.has_memory))
    ends = (np.nan_to_num(1000 * part).round() for part in (one.harm, one.low, one.high))
    values = np.stack([one.n_with, one.n_failed, *ends], axis=-1).reshape(-1, 5).astype(np.int64)
    return HarmPanel(one.line.label, tuple(shapes), grounds, tuple(map(tuple, values.tolist())))


def _runs(half: NDArray[np.float64], number: int, left: int) -> Iterator[Shape]:
    """Neighbours of one shade are one shape: a page has tens of thousands of cells."""
    y, height = TOP + number * ROW // 2, ROW // 2 - number % 2  # a line is left free below each row
    place = 0
    for shade, run in groupby(map(_shade, half.tolist())):
        length = len(list(run))
        if shade:
            yield Shape(left + CELL * place, y, CELL * length, height, shade)
        place += length


def _shade(harm: float) -> str:
    if math.isnan(harm):
        return ""
    return str(min(N_SHADES - 1, int(harm * N_SHADES))) if harm else "q"


def _caption(found: BlockMap, results: Results) -> str:
    n_counted = [n_trials for one in found.maps for n_trials in one.n_counted]
    left_out = (
        f" Left out: {found.n_left_out} {'row' if found.n_left_out == 1 else 'rows'} in which no trial tells."
        if found.n_left_out
        else ""
    )
    return (
        f"All BERs together; {span(n_counted)} trials counted a cell, {images_text(results.cells)} images a "
        f"trial. Upper half of a row: flips {DIRECTIONS[0]}, lower: {DIRECTIONS[1]}. Coloured where the "
        f"{100 * CERTAIN:g}% interval of the harm lies above 0; plain where it holds 0 and ends by {100 * EXCLUDED:g}%"
        "; hatched where the trials do not tell; empty where there is no such memory. A layer's name alone stands for "
        f"its weights.{left_out}"
    )


def failing_text() -> str:
    """What a failure is, for sentences."""
    return f"{100 * FAILING_DROP:g} points of the golden accuracy or more"
