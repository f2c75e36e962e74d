"""BER axis: decades, a small tick at every BER that was tried, and a separate place for the golden runs."""

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from faultbench.output.plots.axis_break import draw_break
from faultbench.results.folder import ber_text

_MARGIN = 0.2
"""Margin of the axis on either side, in decades."""
_GAP = 0.55
"""Distance from the golden runs to the lowest BER, in decades."""
_GOLDEN_MARGIN = 0.35
"""Distance from the edge of the axis to the golden runs, in decades."""


def golden_places(bers: Sequence[float], n_lines: int) -> list[float]:
    """Return the place of each line's golden run on the axis: side by side, left of the lowest BER."""
    low, high = _limits(bers, golden=True)
    return [10 ** _golden_place(bers) * shift for shift in _spread(n_lines, 0.016 * (high - low))]


def side_by_side(bers: Sequence[float], n_lines: int) -> list[float]:
    """Return a factor per line: a BER times it stands beside that of the other lines, clear of the next BER."""
    low, high = _limits(bers, golden=False)
    steps = [math.log10(above / below) for below, above in pairwise(bers)]
    widest = (0.009 if steps else 0.06) * (high - low)
    return _spread(n_lines, min(widest, 0.4 * min(steps, default=1.0) / n_lines))


def draw_ber_axis(axes: Axes, bers: Sequence[float], *, golden: bool = False) -> None:
    """Draw scale, ticks and limits for BERs in rising order; with golden, also a tick and a break left of them."""
    ticks = _ticks(bers[0], bers[-1]) or {ber: ber_text(ber) for ber in bers}
    low, high = _limits(bers, golden=golden)
    axes.set_xscale("log")
    axes.set_xlim(10**low, 10**high)
    if golden:
        place = _golden_place(bers)
        ticks[10**place] = "golden"
        draw_break(axes, (place + _GAP / 2 - low) / (high - low))
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(FixedFormatter(list(ticks.values())))
    axes.xaxis.set_minor_locator(FixedLocator(list(bers)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _golden_place(bers: Sequence[float]) -> float:
    """Return the place of the golden runs, in decades."""
    return math.log10(bers[0]) - _GAP


def _limits(bers: Sequence[float], *, golden: bool) -> tuple[float, float]:
    """Return the limits of the axis, in decades."""
    low = _golden_place(bers) - _GOLDEN_MARGIN if golden else math.log10(bers[0]) - _MARGIN
    return low, math.log10(bers[-1]) + _MARGIN


def _spread(n_lines: int, step: float) -> list[float]:
    """Return a factor per line, centred on 1, each a step (in decades) from the last."""
    return [10 ** (step * (index - (n_lines - 1) / 2)) for index in range(n_lines)]


def _ticks(lowest: float, highest: float) -> dict[float, str]:
    """Return the decades from lowest to highest with their labels; none if there are fewer than two."""
    first, last = math.ceil(math.log10(lowest) - 1e-9), math.floor(math.log10(highest) + 1e-9)
    decades = range(first, last + 1) if last > first else ()
    return {10.0**power: f"$10^{{{power}}}$" for power in decades}
