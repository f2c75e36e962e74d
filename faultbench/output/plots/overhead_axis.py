"""Axis of memory overheads: decades of per cent, and a separate place for exactly 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from faultbench.output.captions import overhead_text
from faultbench.output.plots.axis_break import draw_break

_GAP = 0.15
"""Distance from the place of 0 to the decades, as a fraction of their width."""
_MARGIN = 0.07
"""Distance from the edge of the axis to the place of 0, as a fraction of the decades' width."""
_STEP = 0.027
"""Least distance between markers, as a fraction of the decades' width."""


@dataclass(frozen=True)
class OverheadAxis:
    """Axis from one decade to another, with a place for 0 left of them if it is needed.

    Places on the axis are per cents, also the place of 0.
    """

    low: float
    high: float
    has_zero: bool

    def places(self, percents: Sequence[float]) -> list[float]:
        """Return the place of each overhead: its value, or the nearest place where no marker covers another."""
        wanted = [math.log10(percent) if percent > 0 else self._zero for percent in percents]
        return [10**place for place in apart(wanted, _STEP * self._width)]

    def draw(self, axes: Axes) -> None:
        """Draw scale, ticks and limits, and a break right of 0."""
        decades = range(math.ceil(self.low), math.floor(self.high) + 1)
        labelled = {10.0**power: overhead_text(10.0**power) for power in decades[:: -math.ceil(len(decades) / 6)]}
        left = self._zero - _MARGIN * self._width if self.has_zero else self.low
        axes.set_xscale("log")
        axes.set_xlim(10**left, 10**self.high)
        if self.has_zero:
            labelled[10**self._zero] = "0"
            draw_break(axes, (self.low - _GAP * self._width / 2 - left) / (self.high - left))
        axes.xaxis.set_major_locator(FixedLocator(list(labelled)))
        axes.xaxis.set_major_formatter(FixedFormatter(list(labelled.values())))
        axes.xaxis.set_minor_locator(FixedLocator([10.0**power for power in decades]))
        axes.xaxis.set_minor_formatter(NullFormatter())

    @property
    def _width(self) -> float:
        return self.high - self.low

    @property
    def _zero(self) -> float:
        return self.low - _GAP * self._width


def overhead_axis(percents: Sequence[float]) -> OverheadAxis:
    """Return the axis for these overheads; it has ticks for at least two decades."""
    powers = [math.log10(percent) for percent in percents if percent > 0] or [0.0]
    low, high = min(powers), max(powers)
    pad = max(0.35, 0.08 * (high - low))
    if math.floor(high + pad) <= math.ceil(low - pad):
        low, high = math.floor(low), math.floor(low) + 1
    return OverheadAxis(low - pad, high + pad, 0 in percents)


def apart(places: Sequence[float], step: float) -> list[float]:
    """Return the places moved as little as possible so that neighbours are a step apart; their order is kept."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[list[int]] = []

    def middle(group: list[int]) -> float:
        return sum(places[index] for index in group) / len(group)

    for index in order:
        groups.append([index])
        # A group that overlaps its left neighbour joins it; both are then placed around their common middle.
        while len(groups) > 1 and middle(groups[-1]) - middle(groups[-2]) < step * len(groups[-2] + groups[-1]) / 2:
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = {
        index: middle(group) + step * (number - (len(group) - 1) / 2)
        for group in groups
        for number, index in enumerate(group)
    }
    return [moved[index] for index in range(len(places))]
