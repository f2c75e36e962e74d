"""Wrong outcomes against BER: the fraction of images that end as SDC or DUE, on a log axis that has a zero."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from faultbench import stats
from faultbench.blocks import images_text, shared_count
from faultbench.looks import Look
from faultbench.measures import interval_text, mean_interval
from faultbench.plots.ber_axis import draw_ber_axis, side_by_side
from faultbench.plots.panels import panels
from faultbench.results_folder import LABELS
from faultbench.tables import Results

_CELL = [*LABELS, "ber"]


def draw(results: Results) -> Figure | None:
    """One panel a block, DUEs alone as a dotted line where there are any; None without trials."""
    if results.trials.empty:
        return None
    rates = _rates(results)
    rated = replace(results, cells=results.cells.merge(rates, on=_CELL, how="left"))
    figure, found = panels(rated, xlabel="Bit error rate", ylabel="SDC + DUE (%)", caption=_caption(results))
    bers = sorted(set(results.cells.ber))
    for panel in found:
        draw_ber_axis(panel.axes, bers)
        _draw_rate_axis(panel.axes, rates)
        for shift, (line, look) in zip(side_by_side(bers, len(panel.lines)), panel.lines, strict=True):
            _draw_line(panel.axes, line.cells.assign(ber=line.cells.ber * shift), look)
    return figure


def _rates(results: Results) -> pd.DataFrame:
    """SDC + DUE in per cent of the images, a row a cell: its mean over trials and the interval."""
    trials, rule = results.trials[results.trials.stratum.isna()], results.manifest.rule
    rows = list(_of_strata(results.cells))
    for cell, rate in trials.wrong_rate.groupby([trials[name] for name in _CELL], sort=False):
        interval = mean_interval(rate.to_list(), rule)
        percents = (100 * value for value in (interval.low, stats.mean(rate.to_numpy()), interval.high))
        rows.append((*cell, *percents))
    return pd.DataFrame(rows, columns=[*_CELL, "low", "mean", "high"])


def _of_strata(cells: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The same of cells whose trials were drawn in strata: what is not masked."""
    columns = ("masked_rate_ci_high", "masked_rate", "masked_rate_ci_low")
    for row in cells[cells.interval.str.startswith("stratified") & cells.masked_rate.notna()].to_dict("records"):
        yield (*(row[name] for name in _CELL), *(100 * (1 - row[name]) for name in columns))


def _draw_line(axes: Axes, cells: pd.DataFrame, look: Look) -> None:
    # Bands down to zero would cover each other on a log axis; bars side by side do not.
    axes.vlines(cells.ber, cells.low, cells.high, color=look.colour, alpha=0.6, linewidth=0.8)
    # A marker at zero is drawn whole. A line without points that is not clipped would upset the layout.
    whole: dict[str, Any] = {"clip_on": False, "in_layout": False, "zorder": 3}
    axes.plot(cells.ber, cells["mean"], **look.line, **look.points, **whole)
    if cells.limited.any():
        limited = cells[cells.limited]
        axes.plot(limited.ber, limited["mean"], linestyle="", **look.hollow_points, **whole)
    if (cells.due_rate > 0).any():
        axes.plot(cells.ber, 100 * cells.due_rate, color=look.colour, linewidth=0.8, linestyle=(0, (1, 1.5)))


def _draw_rate_axis(axes: Axes, rates: pd.DataFrame) -> None:
    # Without a single wrong image the upper ends of the intervals set the scale.
    shown = rates["mean"] if (rates["mean"] > 0).any() else rates["high"]
    lowest_decade = 10.0 ** math.floor(math.log10(shown[shown > 0].min()))
    axes.set_yscale("symlog", linthresh=lowest_decade, linscale=0.5)
    axes.set_ylim(-0.1 * lowest_decade, 130)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _caption(results: Results) -> str:
    cells = results.cells
    counts = f"{shared_count(cells.trials)} trials a cell, {images_text(cells)} images a trial"
    dotted = " Dotted: DUE alone." if (cells.due_rate > 0).any() else ""
    hollow = f" Hollow: fewer trials than {results.manifest.rule.asked_text}." if cells.limited.any() else ""
    return (
        f"Images that end as SDC or DUE, mean over {counts}; "
        f"bars: {interval_text(results.manifest.rule)}s over trials. "
        f"Schemes are set side by side at each BER.{dotted}{hollow}"
    )
