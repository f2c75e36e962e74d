"""Charts of accuracy against BER as inline SVG: places are computed here, the template draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.output.captions import trials_text
from faultbench.output.export.accuracy_table import UNKNOWN, Style, columns, rows
from faultbench.output.report.colours import Colour
from faultbench.results.analysis.blocks import Block
from faultbench.results.folder import ber_text

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 448, 12, 262
_GOLDEN_X = 66
_FIRST_X = 112
"""Place of the lowest BER; the golden runs stand apart from it, left of a break."""
_PAD = 14


@dataclass(frozen=True)
class Point:
    """Point of a cell with trials; it is hollow if the cell is LIMITED."""

    x: float
    y: float
    y_low: float
    y_high: float
    is_limited: bool


@dataclass(frozen=True)
class Curve:
    """Curve of a scheme: its golden run and its points; each of runs is the points of a line without a gap."""

    label: str
    colour: Colour
    golden: tuple[float, float] | None
    points: tuple[Point, ...]
    runs: tuple[str, ...]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """Column of a chart, a BER or the golden runs, in which the pointer shows values.

    values holds label, colour, mean and small print, the highest mean first.
    """

    title: str
    x: float
    left: float
    width: float
    values: tuple[tuple[str, int, str, str], ...]


@dataclass(frozen=True)
class Chart:
    """Chart of a block, all places in the units of its view box."""

    name: str
    anchor: str
    caption: str
    curves: tuple[Curve, ...]
    columns: tuple[Column, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def chart(block: Block, colour_of: Mapping[str, Colour], number: int, rule: StoppingRule) -> Chart:
    """Return the chart of a block; a cell without trials has no point, and its column says so."""
    bers = columns(block)
    places = dict(zip(bers, _places(bers), strict=True))
    curves = [_curve(line.label, line.cells, colour_of[line.label], places, n) for n, line in enumerate(block.lines)]
    return Chart(
        name=block.name,
        anchor=f"chart-{number}",
        caption=_caption(block, rule),
        curves=tuple(curves),
        columns=tuple(_columns(block, colour_of, places)),
        x_ticks=tuple((places[ber], ber_text(ber)) for ber in _labelled(bers, places)),
        y_ticks=tuple((_y(percent / 100), str(percent)) for percent in range(0, 101, 20)),
    )


def _caption(block: Block, rule: StoppingRule) -> str:
    cells = pd.concat([line.cells for line in block.lines])
    hollow = " Hollow: fewer trials than asked for." if (cells.limited & (cells.trials > 0)).any() else ""
    gaps = " Cells without trials have no point." if (cells.trials == 0).any() else ""
    return f"Mean accuracy over {trials_text(cells)}; bands: {rule.interval_text} over trials.{hollow}{gaps}"


def _places(bers: Sequence[float]) -> list[float]:
    """Return the places of the BERs on the log axis; a single BER stands in the middle."""
    low, high = math.log10(bers[0]), math.log10(bers[-1])
    if low == high:
        return [round((_FIRST_X + _RIGHT) / 2, 1)]
    scale = (_RIGHT - _PAD - _FIRST_X) / (high - low)
    return [round(_FIRST_X + (math.log10(ber) - low) * scale, 1) for ber in bers]


def _labelled(bers: Sequence[float], places: Mapping[float, float]) -> list[float]:
    """Return as many of the BERs as have room for their labels, from the highest down."""
    chosen: list[float] = []
    for ber in reversed(bers):
        if not chosen or places[chosen[-1]] - places[ber] >= 34:
            chosen.append(ber)
    return chosen


def _y(share: float) -> float:
    return round(_BOTTOM - share * (_BOTTOM - _TOP), 1)


def _curve(label: str, cells: pd.DataFrame, colour: Colour, places: Mapping[float, float], number: int) -> Curve:
    runs: list[list[Point]] = [[]]
    for cell in cells.to_dict("records"):
        if cell["trials"]:
            runs[-1].append(_point(cell, places[cell["ber"]]))
        else:
            runs.append([])
    golden = cells.golden_accuracy.iloc[0]
    return Curve(
        label=label,
        colour=colour,
        # Golden runs are often equal, so they stand side by side as far as there is room.
        golden=None if math.isnan(golden) else (_GOLDEN_X - 16 + 32 * _share(number), _y(golden)),
        points=tuple(point for run in runs for point in run),
        runs=tuple(" ".join(f"{point.x},{point.y}" for point in run) for run in runs if len(run) > 1),
        bands=tuple(_band(run) for run in runs if len(run) > 1),
    )


def _share(number: int) -> float:
    """Return the place of a curve's golden run: 0, 1/6, …, 1 and from 0 again."""
    return (number % 7) / 6


def _point(cell: Mapping[Any, Any], x: float) -> Point:
    mean, low, high = (_y(cell[f"accuracy_{name}"]) for name in ("mean", "ci_low", "ci_high"))
    return Point(x, mean, low, high, cell["limited"])


def _band(run: Sequence[Point]) -> str:
    upper = [f"{point.x},{point.y_high}" for point in run]
    lower = [f"{point.x},{point.y_low}" for point in reversed(run)]
    return " ".join([*upper, *lower])


def _columns(block: Block, colour_of: Mapping[str, Colour], places: Mapping[float, float]) -> list[Column]:
    printed = rows(block, Style())
    golden = [(row.label, colour_of[row.label].index, row.golden, "") for row in printed]
    chart_columns = [Column("golden (no faults)", _GOLDEN_X, _LEFT, 52, _ranked(golden))]
    edges = _edges(list(places.values()))
    for number, (ber, x) in enumerate(places.items()):
        values = [
            (row.label, colour_of[row.label].index, *_texts(entry)) for row in printed if (entry := row.entries[number])
        ]
        left, right = edges[number], edges[number + 1]
        chart_columns.append(Column(f"BER {ber_text(ber)}", x, left, round(right - left, 1), _ranked(values)))
    return chart_columns


def _texts(entry: Any) -> tuple[str, str]:
    if entry.mean == UNKNOWN:
        return UNKNOWN, "no trial"
    limited = f", LIMITED: {entry.n_trials:,} trials" if entry.is_limited else ""
    return entry.mean, f"[{entry.low}, {entry.high}]{limited}"


def _ranked(values: Sequence[tuple[str, int, str, str]]) -> tuple[tuple[str, int, str, str], ...]:
    return tuple(sorted(values, key=lambda value: -math.inf if value[2] == UNKNOWN else float(value[2]), reverse=True))


def _edges(places: Sequence[float]) -> list[float]:
    """Return the edges of columns: half way between neighbours, and the ends of the axis."""
    inner = [round((left + right) / 2, 1) for left, right in pairwise(places)]
    return [92.0, *inner, float(_RIGHT)]
