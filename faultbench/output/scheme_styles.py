"""One colour and marker a scheme, in every figure and in the report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

GREY = "#4D4D4D"

_RIM = {"markeredgecolor": "white", "markeredgewidth": 0.4}
_SIZES = {"P": 5.2, "X": 5.2, "^": 4.8, "v": 4.8, "<": 4.8, ">": 4.8, "D": 3.9, "*": 6.5}
"""Marker → points, where the usual size would look smaller or larger than a circle's."""


@dataclass(frozen=True)
class Look:
    """Colour and marker of a scheme in every plot, line style of a guard."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()

    def dashed(self, index: int) -> "Look":
        """The same with another line style; 0 is solid."""
        return replace(self, dashes=_DASHES[index % len(_DASHES)])

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` for a line of this look."""
        return {"color": self.colour, "linewidth": 1.1, "linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def points(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` for its markers, rimmed so that they stand apart where lines meet."""
        return {
            "marker": self.marker,
            "markerfacecolor": self.colour,
            **_RIM,
            "markersize": _SIZES.get(self.marker, 4.2),
        }

    @property
    def hollow_points(self) -> dict[str, Any]:
        """The same for points that rest on fewer trials than asked for."""
        points = self.points
        rim = {
            "markeredgecolor": self.colour,
            "markeredgewidth": 0.8,
            "markersize": points["markersize"] - 0.6,
        }
        return {**points, "markerfacecolor": "white", **rim}


_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.2, 1.2), (5, 1.2, 1.2, 1.2))
_LOOKS = {
    # Okabe and Ito's palette, which colour-blind readers can tell apart; the unprotected network stays grey.
    "relu": Look(GREY, "o"),
    "clip_act": Look("#E69F00", "s"),
    "ranger": Look("#56B4E9", "^"),
    "ft_clipact": Look("#D55E00", "D"),
    "fitact": Look("#009E73", "v"),
    "hyrelu_proact": Look("#0072B2", "P"),
}
_SPARE = (
    Look("#CC79A7", "X"),
    Look("#882255", "<"),
    Look("#999933", ">"),
    Look("#332288", "p"),
    Look("#AA4499", "h"),
    Look("#117733", "*"),
)


def looks(names: Mapping[str, str]) -> dict[str, Look]:
    """Label → look, given label → scheme: a known scheme has the same look in every plot.

    Of several labels for one scheme, the one that is its name or else the first has it. Others, and schemes
    that are not known, take spare looks in turn.
    """
    owners: dict[str, str] = {}
    for label, name in sorted(names.items(), key=lambda item: item[0] != item[1]):
        owners.setdefault(name, label)
    spare = cycle(_SPARE)
    return {
        label: _LOOKS[name] if name in _LOOKS and owners[name] == label else next(spare)
        for label, name in names.items()
    }
