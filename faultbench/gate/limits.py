"""Absolute limits, as `accuracy_mean < 0.9 @ ber=1e-6, scheme=relu`: what is wrong, and of which cells.

    limit     = column operator number [ "@" selector { "," selector } ]
    operator  = "<" | "<=" | ">" | ">="
    selector  = key "=" ( text without , and " | '"' text without " '"' )

Columns are the numbers of cells.csv, keys its labels and `ber`. A cell whose number is not known breaks its limit.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from faultbench.gate.baseline import Place
from faultbench.plugins.registry import suggest
from faultbench.results.analysis.data_frames import CELL_TYPES
from faultbench.results.folder import LABELS
from faultbench.system.errors import FaultbenchError

_HEAD = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([^\s@<>=]+)\s*(?:@(.*))?", re.DOTALL)
_SELECTOR = re.compile(r'\s*(\w+)\s*=\s*(?:"([^"]*)"|([^",]*))\s*(,|$)')

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS = tuple(name for name, kind in CELL_TYPES.items() if kind in ("float64", "int64", "Int64") and name != "ber")
_COUNTS = ("n_bits", "trials", "images", "flips_mean")
"""Columns that are no fractions."""


@dataclass(frozen=True)
class Limit:
    """One `--fail-if`: the value of column must not be on that side of the number, in the cells that labels select."""

    text: str
    column: str
    sign: str
    number: float
    labels: Mapping[str, str]
    ber: float | None = None

    def selects(self, place: Place) -> bool:
        """Whether the limit is for the cell of this name."""
        named = dict(zip((*LABELS, "ber"), place, strict=True))
        return all(named[key] == value for key, value in self.labels.items()) and self.ber in (None, named["ber"])

    def is_broken(self, value: float) -> bool:
        """Whether the value is what shall fail; one that is not known is."""
        return math.isnan(value) or _OPERATORS[self.sign](value, self.number)


@dataclass(frozen=True)
class LimitVerdict:
    """One limit in one cell."""

    limit: Limit
    place: Place
    value: float
    """NaN where it is not known."""

    @property
    def is_broken(self) -> bool:
        """Whether the check fails."""
        return self.limit.is_broken(self.value)

    @property
    def reason(self) -> str:
        """What the cell has, in words."""
        known = "is not known: too few trials" if math.isnan(self.value) else f"is {self.value:.6g}"
        return f"{self.limit.column} {known}"


def read_limit(text: str, places: Iterable[Place]) -> Limit:
    """The limit that a text spells, for a campaign of these cells; FaultbenchError where it could never apply."""
    parts = _HEAD.fullmatch(text)
    if not parts:
        raise _wrong(text, 'no limit; write it as "accuracy_mean < 0.9 @ ber=1e-6, scheme=relu"')
    column, sign, number, selectors = parts.groups()
    if column not in _NUMBERS:
        raise _wrong(text, f"unknown column {suggest(column, dict.fromkeys(_NUMBERS))}")
    given = {} if selectors is None else _selectors(text, selectors)
    ber = _number(text, given.pop("ber")) if "ber" in given else None
    limit = Limit(text, column, sign, _of_column(text, column, _number(text, number)), given, ber)
    _check_selects(limit, list(places))
    return limit


def limit_verdicts(limits: Iterable[Limit], rows: Iterable[Mapping[Any, Any]]) -> list[LimitVerdict]:
    """A verdict on each limit in each cell that it selects; rows are those of cells.csv."""
    values = {tuple(row[key] for key in (*LABELS, "ber")): row for row in rows}
    return [
        LimitVerdict(limit, place, _value(row[limit.column]))
        for limit in limits
        for place, row in values.items()
        if limit.selects(place)
    ]


def _selectors(text: str, selectors: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at, more = 0, True
    while more:
        part = _SELECTOR.match(selectors, at)
        if not part:
            raise _wrong(text, f"{selectors[at:].strip()!r} selects no cells; write key=value, key=value after the @")
        key, quoted, plain, comma = part.groups()
        if key not in (*LABELS, "ber"):
            raise _wrong(text, f"unknown key {suggest(key, dict.fromkeys((*LABELS, 'ber')))}")
        if key in found:
            raise _wrong(text, f"{key} is given twice; give one --fail-if for each")
        found[key] = plain.strip() if quoted is None else quoted
        at, more = part.end(), comma == ","
    return found


def _number(text: str, given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(text, f"{given!r} is no number; write 0.9 or 1e-6")
    return number


def _of_column(text: str, column: str, number: float) -> float:
    if column not in _COUNTS and not 0 <= number <= 1:
        raise _wrong(text, f"{column} is a fraction in 0..1, so a limit of {number:g} says nothing; 90 % is 0.9")
    return number


def _check_selects(limit: Limit, places: list[Place]) -> None:
    if any(map(limit.selects, places)):
        return
    for index, key in enumerate(LABELS):
        known = dict.fromkeys(str(place[index]) for place in places)
        if key in limit.labels and limit.labels[key] not in known:
            raise _wrong(limit.text, f"no cell of the campaign has {key} {suggest(limit.labels[key], known)}")
    bers = sorted({float(place[-1]) for place in places})
    raise _wrong(limit.text, f"no cell of the campaign is selected; its BERs are {', '.join(map(str, bers[:20]))}")


def _value(given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError):  # pandas' NA
        return math.nan


def _wrong(text: str, what: str) -> FaultbenchError:
    return FaultbenchError(f"--fail-if {text!r}: {what}")
