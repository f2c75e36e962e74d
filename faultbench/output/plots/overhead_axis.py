"""The axis of memory overheads: decades of per cent, and a place apart for exactly 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from faultbench.output.plots.axis_break import draw_break
from faultbench.results.analysis.blocks import overhead_text

_GAP = 0.15
"""From the place of 0 to the decades, in widths of these."""
_MARGIN = 0.07
"""From the edge of the axis to the place of 0, likewise."""
_STEP = 0.027
"""From one marker to the next, likewise."""


@dataclass(frozen=True)
class OverheadAxis:
    """An axis from one decade to another, and a place for 0 left of them where it is needed.

    Places on the axis are given as per cents, also that of 0.
    """

    low: float
    high: float
    has_zero: bool

    def places(self, percents: Sequence[float]) -> list[float]:
        """Where each overhead goes: to its value, or so near to it that no marker lies over another."""
        wanted = [math.log10(percent) if percent > 0 else self._zero for percent in percents]
        return [10**place for place in apart(wanted, _STEP * self._width)]

    def draw(self, axes: Axes) -> None:
        """Scale, ticks and limits; a break right of 0."""
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
    """The axis for these, with at least two decades to read it by."""
    powers = [math.log10(percent) for percent in percents if percent > 0] or [0.0]
    low, high = min(powers), max(powers)
    pad = max(0.35, 0.08 * (high - low))
    if math.floor(high + pad) <= math.ceil(low - pad):
        low, high = math.floor(low), math.floor(low) + 1
    return OverheadAxis(low - pad, high + pad, 0 in percents)


def apart(places: Sequence[float], step: float) -> list[float]:
    """The places, moved as little as lets each keep a step from the next, in their order; equal ones as given."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[list[int]] = []

    def middle(group: list[int]) -> float:
        return sum(places[index] for index in group) / len(group)

    for index in order:
        groups.append([index])
        # A group that has grown into its left neighbour joins it, and both settle around their common middle.
        while len(groups) > 1 and middle(groups[-1]) - middle(groups[-2]) < step * len(groups[-2] + groups[-1]) / 2:
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = {
        index: middle(group) + step * (number - (len(group) - 1) / 2)
        for group in groups
        for number, index in enumerate(group)
    }
    return [moved[index] for index in range(len(places))]
