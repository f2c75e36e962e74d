"""Accuracy against BER as inline SVG: places worked out here, drawn by the template, values shown by the script."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from faultbench.campaign.stopping_rule import Rule
from faultbench.output.export.accuracy_table import UNKNOWN, Style, columns, rows
from faultbench.output.report.colours import Colour
from faultbench.results.analysis.blocks import Block, images_text, shared_count
from faultbench.results.analysis.cell_summary import interval_text
from faultbench.results.folder import ber_text

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 448, 12, 262
_GOLDEN_X = 66
_FIRST_X = 112
"""Of the lowest BER; the golden runs stand apart from it, left of a break."""
_PAD = 14


@dataclass(frozen=True)
class Point:
    """A cell that has trials; hollow when it is LIMITED."""

    x: float
    y: float
    y_low: float
    y_high: float
    is_limited: bool


@dataclass(frozen=True)
class Curve:
    """A scheme's golden run and its points; runs are point lists of what is drawn without a gap."""

    label: str
    colour: Colour
    golden: tuple[float, float] | None
    points: tuple[Point, ...]
    runs: tuple[str, ...]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A BER or the golden runs: where the pointer shows which values."""

    title: str
    x: float
    left: float
    width: float
    values: tuple[tuple[str, int, str, str], ...]
    """Label, colour, mean, small print; the highest mean first."""


@dataclass(frozen=True)
class Chart:
    """One chart, all places in the units of its view box."""

    name: str
    anchor: str
    caption: str
    curves: tuple[Curve, ...]
    columns: tuple[Column, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def chart(block: Block, looks: Mapping[str, Colour], number: int, rule: Rule) -> Chart:
    """The chart of a block; cells without trials have no point and their columns say so."""
    bers = columns(block)
    places = dict(zip(bers, _places(bers), strict=True))
    curves = [_curve(line.label, line.cells, looks[line.label], places, n) for n, line in enumerate(block.lines)]
    return Chart(
        name=block.name,
        anchor=f"chart-{number}",
        caption=_caption(block, rule),
        curves=tuple(curves),
        columns=tuple(_columns(block, looks, places)),
        x_ticks=tuple((places[ber], ber_text(ber)) for ber in _labelled(bers, places)),
        y_ticks=tuple((_y(percent / 100), str(percent)) for percent in range(0, 101, 20)),
    )


def _caption(block: Block, rule: Rule) -> str:
    cells = pd.concat([line.cells for line in block.lines])
    hollow = " Hollow: fewer trials than asked for." if (cells.limited & (cells.trials > 0)).any() else ""
    gaps = " Cells without trials have no point." if (cells.trials == 0).any() else ""
    return (
        f"Mean accuracy over {shared_count(cells.trials)} trials a cell, {images_text(cells)} images a trial; "
        f"bands: {interval_text(rule)} over trials.{hollow}{gaps}"
    )


def _places(bers: Sequence[float]) -> list[float]:
    """On the log axis; a single BER stands in the middle."""
    low, high = math.log10(bers[0]), math.log10(bers[-1])
    if low == high:
        return [round((_FIRST_X + _RIGHT) / 2, 1)]
    scale = (_RIGHT - _PAD - _FIRST_X) / (high - low)
    return [round(_FIRST_X + (math.log10(ber) - low) * scale, 1) for ber in bers]


def _labelled(bers: Sequence[float], places: Mapping[float, float]) -> list[float]:
    """As many of the BERs as have room for their labels, from the highest down."""
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
        # Side by side, as far as there is room: golden runs are often equal.
        golden=None if math.isnan(golden) else (_GOLDEN_X - 16 + 32 * _share(number), _y(golden)),
        points=tuple(point for run in runs for point in run),
        runs=tuple(" ".join(f"{point.x},{point.y}" for point in run) for run in runs if len(run) > 1),
        bands=tuple(_band(run) for run in runs if len(run) > 1),
    )


def _share(number: int) -> float:
    """Places 0, 1/6, …, 1 and from the start again."""
    return (number % 7) / 6


def _point(cell: Mapping[Any, Any], x: float) -> Point:
    mean, low, high = (_y(cell[f"accuracy_{name}"]) for name in ("mean", "ci_low", "ci_high"))
    return Point(x, mean, low, high, cell["limited"])


def _band(run: Sequence[Point]) -> str:
    there = [f"{point.x},{point.y_high}" for point in run]
    back = [f"{point.x},{point.y_low}" for point in reversed(run)]
    return " ".join([*there, *back])


def _columns(block: Block, looks: Mapping[str, Colour], places: Mapping[float, float]) -> list[Column]:
    printed = rows(block, Style())
    golden = [(row.label, looks[row.label].index, row.golden, "") for row in printed]
    found = [Column("golden (no faults)", _GOLDEN_X, _LEFT, 52, _ranked(golden))]
    edges = _edges(list(places.values()))
    for number, (ber, x) in enumerate(places.items()):
        values = [
            (row.label, looks[row.label].index, *_texts(entry)) for row in printed if (entry := row.entries[number])
        ]
        left, right = edges[number], edges[number + 1]
        found.append(Column(f"BER {ber_text(ber)}", x, left, round(right - left, 1), _ranked(values)))
    return found


def _texts(entry: Any) -> tuple[str, str]:
    if entry.mean == UNKNOWN:
        return UNKNOWN, "no trial"
    limited = f", LIMITED: {entry.n_trials:,} trials" if entry.is_limited else ""
    return entry.mean, f"[{entry.low}, {entry.high}]{limited}"


def _ranked(values: Sequence[tuple[str, int, str, str]]) -> tuple[tuple[str, int, str, str], ...]:
    return tuple(sorted(values, key=lambda value: -math.inf if value[2] == UNKNOWN else float(value[2]), reverse=True))


def _edges(places: Sequence[float]) -> list[float]:
    """Half way between neighbours; the outer ones reach to the ends of the axis."""
    inner = [round((left + right) / 2, 1) for left, right in pairwise(places)]
    return [92.0, *inner, float(_RIGHT)]
