"""Plot of resilience against memory overhead: what a scheme gains for the memory that it takes."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faultbench.output.captions import hollow_note, images_text, shared_count
from faultbench.output.plots.overhead_axis import overhead_axis
from faultbench.output.plots.panels import panels
from faultbench.output.scheme_styles import Look
from faultbench.results.analysis.data_frames import NETWORK
from faultbench.results.analysis.resilience import resiliences
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text


def draw(results: Results) -> Figure | None:
    """Draw a panel per block, a marker per scheme; return None if no scheme has both a resilience and an overhead."""
    points = _points(results)
    if points.empty:
        return None
    placed = replace(results, cells=results.cells.merge(points, on=[*LABELS], how="left"))
    figure, drawn = panels(placed, xlabel="Memory overhead (%)", ylabel="Resilience", caption=_caption(results, points))
    axis = overhead_axis(points.memory_overhead_pct.tolist())
    for panel in drawn:
        axis.draw(panel.axes)
        panel.axes.set_ylim(*_resilience_limits(points))
        shown = [(line.cells.iloc[0], look) for line, look in panel.lines if line.cells.resilience.notna().any()]
        places = axis.places([point.memory_overhead_pct for point, _ in shown])
        for place, (point, look) in zip(places, shown, strict=True):
            _draw_point(panel.axes, place, point, look, is_limited=point.lacks_trials)
    return figure


def _points(results: Results) -> pd.DataFrame:
    """Return a row with resilience, its interval and overhead for each fault model of a network that has both."""
    overheads = results.overhead[[*NETWORK, "memory_overhead_pct"]]
    points = resiliences(results).merge(overheads, on=[*NETWORK])
    if results.manifest.rule.until is None:
        return points.assign(lacks_trials=points.n_areas < results.manifest.rule.n_max)
    lacking = results.cells.groupby([*LABELS]).limited.any().rename("lacks_trials")
    return points.merge(lacking, on=[*LABELS])


def _resilience_limits(points: pd.DataFrame) -> tuple[float, float]:
    """Return limits with room for every interval, but not beyond what an area can be."""
    low, high = points.resilience_ci_low.min(), points.resilience_ci_high.max()
    margin = 0.05 * (high - low)
    return max(low - margin, -0.02), min(high + margin, 1.02)


def _draw_point(axes: Axes, place: float, point: pd.Series, look: Look, *, is_limited: bool) -> None:
    interval = [point.resilience_ci_low, point.resilience_ci_high]
    axes.vlines(place, *interval, color=look.colour, alpha=0.25, linewidth=5)
    # Projecting caps, matplotlib's default, would make the interval longer than it is.
    axes.plot([place, place], interval, **look.line, solid_capstyle="butt", dash_capstyle="butt")
    axes.plot(place, point.resilience, **(look.hollow_points if is_limited else look.points))


def _caption(results: Results, points: pd.DataFrame) -> str:
    bers, rule = sorted(set(results.cells.ber)), results.manifest.rule
    return (
        f"Resilience: area under accuracy against log BER from {ber_text(bers[0])} to {ber_text(bers[-1])}, divided by "
        f"its width; mean over the {shared_count(points.n_areas)} trials recorded at every BER, "
        f"{images_text(results.cells)} images per trial; bars: "
        f"{rule.interval_text}s over trials. Schemes whose markers would meet are set side by side."
        + (hollow_note(rule) if points.lacks_trials.any() else "")
    )
