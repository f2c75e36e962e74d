"""Plot of overheads: bars of memory overhead, and of latency against the unprotected network."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from faultbench.output.captions import UNTRIED, overhead_text
from faultbench.output.plots.panels import CAPTION_ROW_IN, add_caption, page_grid, wrapped
from faultbench.output.plots.style import SMALL_PT, plain
from faultbench.output.scheme_styles import GREY, looks
from faultbench.results.analysis.blocks import COSTS, overheads
from faultbench.results.analysis.results import Results
from faultbench.results.folder import varying_labels
from faultbench.results.labels import protection

_BAR_IN = 0.18
_CAPTION = (
    "Memory: bounds in per cent of the parameters. Latency: time of one inference in relation to the unprotected "
    f"network, with its interval. {UNTRIED}"
)


def draw(results: Results) -> Figure | None:
    """Draw a bar per scheme for each network: memory in per cent on a log axis, latency as a ratio.
    Return None if no overhead is recorded.
    """
    if results.overhead.empty:
        return None
    networks = _networks(results)
    n_rows, n_columns, width = page_grid(len(networks))
    text = wrapped(_CAPTION, width)
    n_bars = max(map(len, networks.values()))
    height = n_rows * (n_bars * _BAR_IN + 0.5) + (text.count("\n") + 1) * CAPTION_ROW_IN
    figure = Figure(figsize=(width, height))
    pairs = figure.subplots(n_rows, 2 * n_columns, squeeze=False).reshape(-1, 2)
    for (memory, latency), (title, bars) in zip(pairs, networks.items(), strict=False):
        memory.set_title(plain(title), loc="left", pad=4, y=1)
        _draw_memory(memory, bars, results.overhead.memory_overhead_pct)
        _draw_latency(latency, bars, results.overhead.latency_ratio_ci_high)
    for memory, latency in pairs[max(0, len(networks) - n_columns) : len(networks)]:
        memory.set_xlabel("Memory overhead (%)")
        latency.set_xlabel("Latency ratio")
    for axes in pairs[len(networks) :].ravel():
        axes.set_visible(False)
    add_caption(figure, text)
    return figure


def _networks(results: Results) -> dict[str, pd.DataFrame]:
    """Return title → overheads of a network, with a `label` and a `colour`; titles name the format if it varies."""
    by_scheme = looks(results.manifest.scheme_names)
    n_named = len(COSTS) if varying_labels(results.manifest.cells, ["format"]) else COSTS.index("format")
    networks = {}
    for costs, rows in overheads(results).items():
        colours = [by_scheme[scheme].colour for scheme in rows.scheme]
        labels = [protection(*names) for names in zip(rows.scheme, rows.guard, strict=True)]
        networks[", ".join(costs[:n_named])] = rows.assign(colour=colours, label=labels)
    return networks


def _draw_memory(axes: Axes, bars: pd.DataFrame, all_values: pd.Series) -> None:
    values = bars.memory_overhead_pct
    axes.barh(range(len(bars)), values, color=bars.colour, height=0.7)
    axes.set_yticks(range(len(bars)), [plain(label) for label in bars.label])
    axes.set_xlim(_draw_percent_axis(axes, all_values[all_values > 0]))
    _finish(axes, values.clip(lower=axes.get_xlim()[0]), [overhead_text(value) for value in values])


def _draw_percent_axis(axes: Axes, positive: pd.Series) -> tuple[float, float]:
    """Draw a log axis if there are positive values; return limits with room for a number beside the longest bar."""
    if positive.empty:
        return 0.0, 1.0
    lowest, highest = math.floor(math.log10(positive.min())), math.log10(positive.max())
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_decades(lowest, math.floor(highest))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: overhead_text(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    left = lowest - 0.5
    return 10**left, 10 ** (highest + 0.5 * (highest - left))


def _decades(first: int, last: int) -> list[float]:
    """Return powers of ten from first to last, few enough that labels such as 0.001 do not meet."""
    step = 1 + (last - first) // 3
    return [10.0**power for power in range(last, first - 1, -step)]


def _draw_latency(axes: Axes, bars: pd.DataFrame, all_values: pd.Series) -> None:
    ratio, low, high = bars.latency_ratio, bars.latency_ratio_ci_low, bars.latency_ratio_ci_high
    axes.barh(range(len(bars)), ratio, color=bars.colour, height=0.7)
    axes.hlines(range(len(bars)), low, high, color="black", linewidth=0.8)
    axes.axvline(1, color=GREY, linewidth=0.6, linestyle=(0, (3, 2)))
    axes.set_yticks([])
    axes.set_xlim(0, 1.35 * max(1.0, all_values.fillna(1).max()))
    _finish(axes, high.fillna(0), ["not measured" if math.isnan(value) else f"{value:.2f}" for value in ratio])


def _finish(axes: Axes, ends: pd.Series, texts: list[str]) -> None:
    """Write the value beside each bar, and put the first bar on top."""
    for place, (end, text) in enumerate(zip(ends, texts, strict=True)):
        beside = axes.annotate(text, (end, place), (3, 0), textcoords="offset points", va="center_baseline")
        beside.set_fontsize(SMALL_PT)
        beside.set_in_layout(False)  # the axis has room for it
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(texts) - 0.4, -0.6)
