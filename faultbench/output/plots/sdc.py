"""Plot of wrong outcomes against BER: fractions of images that end as SDC and as DUE, on a log axis with a zero."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from faultbench.output.captions import hollow_note, trials_text
from faultbench.output.plots.ber_axis import draw_ber_axis, side_by_side
from faultbench.output.plots.panels import panels
from faultbench.output.scheme_styles import Look
from faultbench.results.analysis.results import Results


def draw(results: Results) -> Figure | None:
    """Draw a panel per block, with DUEs as dotted lines if there are any; return None without trials."""
    if not results.cells.trials.any():
        return None
    rated, ylabel = replace(results, cells=_rated(results.cells)), "SDC, DUE (%)" if _has_due(results) else "SDC (%)"
    figure, drawn = panels(rated, xlabel="Bit error rate", ylabel=ylabel, caption=_caption(results))
    bers = sorted(set(results.cells.ber))
    for panel in drawn:
        draw_ber_axis(panel.axes, bers)
        _draw_rate_axis(panel.axes, rated.cells)
        for shift, (line, look) in zip(side_by_side(bers, len(panel.lines)), panel.lines, strict=True):
            _draw_line(panel.axes, line.cells.assign(ber=line.cells.ber * shift), look)
    return figure


def _rated(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with SDCs in per cent of the images: the mean over trials and the interval."""
    low, high = (cells[f"sdc_rate_ci_{end}"] for end in ("low", "high"))
    return cells.assign(low=100 * low, mean=100 * cells.sdc_rate, high=100 * high)


def _has_due(results: Results) -> bool:
    return bool((results.cells.due_rate > 0).any())


def _draw_line(axes: Axes, cells: pd.DataFrame, look: Look) -> None:
    # Bands down to zero would cover each other on a log axis; bars do not.
    axes.vlines(cells.ber, cells.low, cells.high, color=look.colour, alpha=0.6, linewidth=0.8)
    # A marker at zero is not clipped. An unclipped line without points would upset the layout.
    whole: dict[str, Any] = {"clip_on": False, "in_layout": False, "zorder": 3}
    axes.plot(cells.ber, cells["mean"], **look.line, **look.points, **whole)
    if cells.limited.any():
        limited = cells[cells.limited]
        axes.plot(limited.ber, limited["mean"], linestyle="", **look.hollow_points, **whole)
    if (cells.due_rate > 0).any():
        low, high = (100 * cells[f"due_rate_ci_{end}"] for end in ("low", "high"))
        axes.vlines(cells.ber, low, high, color=look.colour, alpha=0.35, linewidth=0.5)
        dotted: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (1, 1.5)), "marker": ".", "markersize": 3}
        axes.plot(cells.ber, 100 * cells.due_rate, color=look.colour, **dotted)


def _draw_rate_axis(axes: Axes, cells: pd.DataFrame) -> None:
    # Without a single wrong image the upper ends of the intervals set the scale.
    shown = cells["mean"] if (cells["mean"] > 0).any() else cells.high
    lowest_decade = 10.0 ** math.floor(math.log10(shown[shown > 0].min()))
    axes.set_yscale("symlog", linthresh=lowest_decade, linscale=0.5)
    axes.set_ylim(-0.1 * lowest_decade, 130)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _caption(results: Results) -> str:
    cells, rule = results.cells, results.manifest.rule
    lines = "SDC (solid) and as DUE (dotted)" if _has_due(results) else "SDC"
    hollow = hollow_note(rule) if cells.limited.any() else ""
    return (
        f"Images that end as {lines}, mean over {trials_text(cells)}; bars: {rule.interval_text}s over trials. "
        f"Schemes are set side by side at each BER.{hollow}"
    )
