"""Limits that a user gives to the gate: `--fail-if` in selected cells, and the margin of `--max-drop`.

A limit such as `accuracy_mean < 0.9 @ ber=1e-6, scheme=relu` says which values fail, and in which cells:

    limit     = column operator number [ "@" selector { "," selector } ]
    operator  = "<" | "<=" | ">" | ">="
    selector  = key "=" ( text without , and " | '"' text without " '"' )

Columns are the numeric columns of cells.csv; keys are its labels and `ber`. A cell without the number breaks the limit.
A margin is 0.5pp (percentage points) or 0.005.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from faultbench.gate.baseline import CellName
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
"""Columns that are not fractions."""

_MARGIN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Limit:
    """Limit of one `--fail-if`: a cell that it selects fails if its value in column is on that side of the number."""

    text: str
    column: str
    sign: str
    number: float
    labels: Mapping[str, str]
    ber: float | None = None

    def selects(self, cell_name: CellName) -> bool:
        """Return whether the limit applies to the cell of this name."""
        parts = dict(zip((*LABELS, "ber"), cell_name, strict=True))
        return all(parts[key] == value for key, value in self.labels.items()) and self.ber in (None, parts["ber"])

    def is_broken(self, value: float) -> bool:
        """Return whether the value breaks the limit; NaN, an unknown value, does."""
        return math.isnan(value) or _OPERATORS[self.sign](value, self.number)


@dataclass(frozen=True)
class LimitVerdict:
    """Verdict on one limit in one cell."""

    limit: Limit
    cell_name: CellName
    value: float
    """NaN if the cell has no such value."""

    @property
    def is_broken(self) -> bool:
        """Return whether this verdict fails the check."""
        return self.limit.is_broken(self.value)

    @property
    def reason(self) -> str:
        """Return the value of the cell, in words."""
        known = "is not known: too few trials" if math.isnan(self.value) else f"is {self.value:.6g}"
        return f"{self.limit.column} {known}"


def read_limit(text: str, cell_names: Iterable[CellName]) -> Limit:
    """Return the limit that a text spells; FaultbenchError if it is malformed or selects no cell of the campaign."""
    parts = _HEAD.fullmatch(text)
    if not parts:
        raise _wrong(text, 'no limit; write it as "accuracy_mean < 0.9 @ ber=1e-6, scheme=relu"')
    column, sign, number, selectors = parts.groups()
    if column not in _NUMBERS:
        raise _wrong(text, f"unknown column {suggest(column, dict.fromkeys(_NUMBERS))}")
    labels = {} if selectors is None else _selectors(text, selectors)
    ber = _number(text, labels.pop("ber")) if "ber" in labels else None
    limit = Limit(text, column, sign, _checked_bound(text, column, _number(text, number)), labels, ber)
    _check_selects(limit, list(cell_names))
    return limit


def limit_verdicts(limits: Iterable[Limit], rows: Iterable[Mapping[Any, Any]]) -> list[LimitVerdict]:
    """Return a verdict on each limit in each cell that it selects; rows are the rows of cells.csv."""
    values = {tuple(row[key] for key in (*LABELS, "ber")): row for row in rows}
    return [
        LimitVerdict(limit, cell_name, _value(row[limit.column]))
        for limit in limits
        for cell_name, row in values.items()
        if limit.selects(cell_name)
    ]


def read_margin(text: str, option: str = "--max-drop") -> float:
    """Return the fraction, 0 to less than 1, that `0.5pp` or `0.005` spells; FaultbenchError for other texts."""
    number = text.strip().removesuffix("pp").rstrip()
    if not _MARGIN.fullmatch(number):
        raise FaultbenchError(f"{option} {text!r}: no margin; write 0.5pp for half a percentage point, or 0.005")
    margin = float(number) / 100 if "pp" in text else float(number)
    if not 0 <= margin < 1:
        raise FaultbenchError(
            f"{option} {text!r}: accuracies lie in 0..1; write 0.5pp for half a percentage point, or 0.005"
        )
    return margin


def read_max_gain(text: str | None) -> float:
    """Return the fraction that `--max-gain` spells, 1 without the option; FaultbenchError for other texts."""
    if text is None:
        return 1.0
    max_gain = read_margin(text, "--max-gain")
    if not max_gain:
        raise FaultbenchError(f"--max-gain {text!r}: must be more than 0, as accuracies go up by chance too")
    return max_gain


def _selectors(text: str, selectors: str) -> dict[str, str]:
    """Return key → value of the selectors; FaultbenchError for one that is malformed, unknown or repeated."""
    values: dict[str, str] = {}
    at, more = 0, True
    while more:
        part = _SELECTOR.match(selectors, at)
        if not part:
            raise _wrong(text, f"{selectors[at:].strip()!r} selects no cells; write key=value, key=value after the @")
        key, quoted, plain, comma = part.groups()
        if key not in (*LABELS, "ber"):
            raise _wrong(text, f"unknown key {suggest(key, dict.fromkeys((*LABELS, 'ber')))}")
        if key in values:
            raise _wrong(text, f"{key} is given twice; give one --fail-if for each")
        values[key] = plain.strip() if quoted is None else quoted
        at, more = part.end(), comma == ","
    return values


def _number(text: str, digits: str) -> float:
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(text, f"{digits!r} is no number; write 0.9 or 1e-6")
    return number


def _checked_bound(text: str, column: str, number: float) -> float:
    """Return the number; FaultbenchError if the column is a fraction and the number is not in 0..1."""
    if column not in _COUNTS and not 0 <= number <= 1:
        raise _wrong(text, f"{column} is a fraction in 0..1, so a limit of {number:g} says nothing; 90 % is 0.9")
    return number


def _check_selects(limit: Limit, cell_names: list[CellName]) -> None:
    """Raise FaultbenchError unless the limit selects one of these cells."""
    if any(map(limit.selects, cell_names)):
        return
    for index, key in enumerate(LABELS):
        known = dict.fromkeys(str(name[index]) for name in cell_names)
        if key in limit.labels and limit.labels[key] not in known:
            raise _wrong(limit.text, f"no cell of the campaign has {key} {suggest(limit.labels[key], known)}")
    bers = sorted({float(name[-1]) for name in cell_names})
    raise _wrong(limit.text, f"no cell of the campaign is selected; its BERs are {', '.join(map(str, bers[:20]))}")


def _value(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # pandas' NA
        return math.nan


def _wrong(text: str, what: str) -> FaultbenchError:
    return FaultbenchError(f"--fail-if {text!r}: {what}")
