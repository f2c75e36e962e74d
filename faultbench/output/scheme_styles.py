"""Colours, markers and dashes of schemes and guards, the same in every figure and in the report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from faultbench.results.analysis.blocks import Line

GREY = "#4D4D4D"

_RIM = {"markeredgecolor": "white", "markeredgewidth": 0.4}
_SIZES = {"P": 5.2, "X": 5.2, "^": 4.8, "v": 4.8, "<": 4.8, ">": 4.8, "D": 3.9, "*": 6.5}
"""Marker → size in points, for markers that would look smaller or larger than a circle at the usual size."""


@dataclass(frozen=True)
class Look:
    """Colour and marker of a scheme, and dashes of a guard."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()

    def dashed(self, index: int) -> "Look":
        """Return this look with the dashes of an index; 0 is solid."""
        return replace(self, dashes=_DASHES[index % len(_DASHES)])

    @property
    def line(self) -> dict[str, Any]:
        """Return the arguments of `Axes.plot` for a line."""
        return {"color": self.colour, "linewidth": 1.1, "linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def points(self) -> dict[str, Any]:
        """Return the arguments of `Axes.plot` for markers, with a rim so that they stand apart where lines meet."""
        return {
            "marker": self.marker,
            "markerfacecolor": self.colour,
            **_RIM,
            "markersize": _SIZES.get(self.marker, 4.2),
        }

    @property
    def hollow_points(self) -> dict[str, Any]:
        """Return the arguments of `Axes.plot` for markers of cells with fewer trials than asked for."""
        points = self.points
        rim = {
            "markeredgecolor": self.colour,
            "markeredgewidth": 0.8,
            "markersize": points["markersize"] - 0.6,
        }
        return {**points, "markerfacecolor": "white", **rim}


_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.2, 1.2), (5, 1.2, 1.2, 1.2))
_LOOKS = {
    # Palette of Okabe and Ito, which colour-blind readers can tell apart; the unprotected network is grey.
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
    """Return label → look, given label → scheme: a known scheme has the same look in every plot.

    If a scheme has several labels, the label that is its name, or else the first one, has its look. Other labels and
    unknown schemes take spare looks in turn.
    """
    owners: dict[str, str] = {}
    for label, name in sorted(names.items(), key=lambda item: item[0] != item[1]):
        owners.setdefault(name, label)
    spare = cycle(_SPARE)
    return {
        label: _LOOKS[name] if name in _LOOKS and owners[name] == label else next(spare)
        for label, name in names.items()
    }


def line_looks(lines: Iterable[Line], scheme_names: Mapping[str, str]) -> dict[str, Look]:
    """Return label → look of lines, given label → scheme; guards of a scheme share its look and differ in dashes."""
    by_label = {line.label: line for line in lines}
    by_scheme = looks(scheme_names)
    guards = list(dict.fromkeys(line.guard for line in by_label.values()))
    return {label: by_scheme[line.scheme].dashed(guards.index(line.guard)) for label, line in by_label.items()}
