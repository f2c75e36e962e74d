"""Plot of accuracy against BER: the mean over trials with its interval, and the golden accuracy apart from it."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faultbench.output.captions import hollow_note, trials_text
from faultbench.output.plots.ber_axis import draw_ber_axis, golden_places, side_by_side
from faultbench.output.plots.panels import panels
from faultbench.output.scheme_styles import Look
from faultbench.results.analysis.critical_ber import SHOWN_DROP, SHOWN_PROBABILITY
from faultbench.results.analysis.harm_map import rows_with
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS


def draw(results: Results) -> Figure:
    """Draw a panel per block; a cell without trials has no point, a cell with fewer than asked for a hollow one."""
    figure, drawn = panels(results, xlabel="Bit error rate", ylabel="Accuracy (%)", caption=_caption(results))
    bers = sorted(set(results.cells.ber))
    for panel in drawn:
        panel.axes.set_ylim(-2, 102)
        panel.axes.set_yticks(range(0, 101, 20))
        draw_ber_axis(panel.axes, bers, golden=True)
        places, shifts = golden_places(bers, len(panel.lines)), side_by_side(bers, len(panel.lines))
        for (line, look), place, shift in zip(panel.lines, places, shifts, strict=True):
            panel.axes.plot(place, 100 * line.cells.golden_accuracy.iloc[0], **look.points)
            # Bands can lie over each other; the bars of a single BER cannot.
            _draw_line(panel.axes, line.cells, look, shift=shift if len(bers) == 1 else 1.0)
            _mark_critical_ber(panel.axes, line.cells, results.critical, look, shift=shift)
    return figure


def _mark_critical_ber(axes: Axes, cells: pd.DataFrame, critical: pd.DataFrame, look: Look, *, shift: float) -> None:
    """Draw a triangle at the bottom; it points to the right if the network holds at the highest BER tried."""
    own = {name: str(cells[name].iloc[0]) for name in LABELS}
    for ber in rows_with(critical, {"drop": SHOWN_DROP, "probability": SHOWN_PROBABILITY, **own}).critical_ber:
        marker = ">" if ber == cells.ber.max() else "^"
        if ber > 0:
            axes.scatter(
                ber * shift, 1.5, s=13, marker=marker, color=look.colour, edgecolors="white", linewidths=0.3, zorder=4
            )


def _draw_line(axes: Axes, cells: pd.DataFrame, look: Look, *, shift: float) -> None:
    ber, limited = cells.ber * shift, cells.limited
    low, mean, high = (100 * cells[f"accuracy_{name}"] for name in ("ci_low", "mean", "ci_high"))
    axes.fill_between(ber, low, high, color=look.colour, alpha=0.13, linewidth=0)
    # A point between two empty cells has no band, but its interval is drawn.
    axes.vlines(ber, low, high, color=look.colour, alpha=0.5, linewidth=0.6)
    axes.plot(ber, mean, **look.line, **look.points)
    if limited.any():
        axes.plot(ber[limited], mean[limited], linestyle="", **look.hollow_points)


def _caption(results: Results) -> str:
    rule = results.manifest.rule
    intervals = f"bands and bars: {rule.interval_text}s over trials"
    hollow = hollow_note(rule) if results.cells.limited.any() else ""
    return (
        f"Mean accuracy over {trials_text(results.cells)}; {intervals}. Golden: without faults."
        f"{_critical_text(results)}{hollow}"
    )


def _critical_text(results: Results) -> str:
    if results.critical.empty:
        return ""
    return (
        f" Triangles: critical BERs, up to which {100 * SHOWN_PROBABILITY:g}% of the trials stay less than "
        f"{100 * SHOWN_DROP:g} points below golden."
    )
