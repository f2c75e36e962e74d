"""Grid of the panels of maps: placed here, since matplotlib's layout would measure the name of every row."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_TITLE_IN = 0.2
_ABOVE_TITLE_IN = 0.16
"""Height of the line for a block's name."""
_BELOW_IN = 0.42
"""Height of ticks, their labels and the label of the axis."""
_GAP_IN = 0.12
_EDGE_IN = 0.06
_BAR_IN = 0.1
_BAR_LABELS_IN = 0.3
_LONGEST_BAR_IN = 2.0
_MOST_NAMES = 0.45
"""Largest part of the width that the names of rows take."""


@dataclass(frozen=True)
class MapGrid:
    """Bands of panels, one above the other, with a colour bar right of the first band; all lengths are in inches.

    heights are the heights of the maps of each band, names is the width of the names of rows, below the height of what
    stands under all bands.
    """

    width: float
    heights: Sequence[float]
    n_columns: int
    names: float
    below: float
    names_blocks: bool

    @property
    def height(self) -> float:
        """Return the height of the whole figure."""
        return self._top(len(self.heights)) + self.below

    def axes(self, figure: Figure) -> list[list[Axes]]:
        """Add axes for every panel of every band and return them."""
        left, pitch = self._left, (self._right - self._left + _GAP_IN) / self.n_columns
        return [
            [
                self._added(figure, left + number * pitch, self._top(band) + self._head, pitch - _GAP_IN, height)
                for number in range(self.n_columns)
            ]
            for band, height in enumerate(self.heights)
        ]

    def bar(self, figure: Figure) -> Axes:
        """Add axes for the colour bar and return them."""
        height = min(self.heights[0], _LONGEST_BAR_IN)
        return self._added(figure, self._right + _GAP_IN, self._top(0) + self._head, _BAR_IN, height)

    @property
    def _left(self) -> float:
        return min(self.names, _MOST_NAMES * self.width) + _EDGE_IN

    @property
    def _right(self) -> float:
        """Return where the panels end."""
        return self.width - _EDGE_IN - _BAR_LABELS_IN - _BAR_IN - _GAP_IN

    @property
    def _head(self) -> float:
        """Return the height of what stands above the maps of a band."""
        return _TITLE_IN + (_ABOVE_TITLE_IN if self.names_blocks else 0.0)

    def _top(self, band: int) -> float:
        """Return how far below the upper edge a band begins, with room for the title of the colour bar."""
        return _ABOVE_TITLE_IN + sum(self._head + height + _BELOW_IN for height in self.heights[:band])

    def _added(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))
