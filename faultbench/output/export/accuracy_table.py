"""Table of accuracy against BER, as papers have it: schemes down, BERs across, every number rounded as printed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.output.captions import trials_text
from faultbench.results.analysis.blocks import Block

Ci = Literal["brackets", "plusminus", "none"]

UNKNOWN = "-"
"""Text of a value that is not recorded."""


@dataclass(frozen=True)
class Style:
    """Style of printed numbers: decimals of per cents, form of intervals, whether the best of a column is marked."""

    digits: int = 1
    ci: Ci = "brackets"
    best: bool = False


@dataclass(frozen=True)
class TableEntry:
    """Cell as printed, in per cent; interval ends are rounded outwards, so that the printed interval holds too.

    below and above are the steps from the printed mean to the printed ends. Without trials all texts are `UNKNOWN`.
    """

    n_trials: int
    is_limited: bool
    mean: str = UNKNOWN
    low: str = UNKNOWN
    high: str = UNKNOWN
    below: str = UNKNOWN
    above: str = UNKNOWN
    is_best: bool = False


@dataclass(frozen=True)
class TableRow:
    """Row of a protected network: its golden accuracy, and an entry per BER, None where the grid has no cell."""

    label: str
    golden: str
    entries: tuple[TableEntry | None, ...]


def columns(block: Block) -> list[float]:
    """Return the BERs of the block, rising."""
    return sorted({ber for line in block.lines for ber in line.cells.ber})


def rows(block: Block, style: Style) -> list[TableRow]:
    """Return a row for each line of the block, in its order; the style says whether the best of a column is marked."""
    bers = columns(block)
    unmarked = [_row(line.label, line.cells, bers, style) for line in block.lines]
    return with_marks(unmarked, [True] * len(unmarked)) if style.best and len(unmarked) > 1 else unmarked


def with_marks(unmarked: Sequence[TableRow], competes: Sequence[bool]) -> list[TableRow]:
    """Return the rows with the highest printed mean of each column marked, ties included.

    Rows that do not compete and LIMITED cells are ignored.
    """
    competing = [row for row, may_win in zip(unmarked, competes, strict=True) if may_win]
    highest = [
        max((float(entry.mean) for entry in column if entry and not entry.is_limited), default=math.nan)
        for column in zip(*(row.entries for row in competing), strict=True)
    ]
    pairs = zip(unmarked, competes, strict=True)
    return [_with_best(row, highest) if may_win and highest else row for row, may_win in pairs]


def caption(block: Block, style: Style, rule: StoppingRule) -> str:
    """Return what the numbers are, and how many trials and images stand behind them."""
    interval = "" if style.ci == "none" else f" and its {rule.interval_text}"
    return f"Mean accuracy in %{interval}, over {trials_text(pd.concat([line.cells for line in block.lines]))}."


def percent(fraction: float, digits: int) -> str:
    """Return a fraction in per cent; `UNKNOWN` for NaN."""
    return UNKNOWN if math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def _row(label: str, cells: pd.DataFrame, bers: Sequence[float], style: Style) -> TableRow:
    entries = {cell["ber"]: _entry(cell, style.digits) for cell in cells.to_dict("records")}
    golden = percent(cells.golden_accuracy.iloc[0], style.digits)
    return TableRow(label, golden, tuple(entries.get(ber) for ber in bers))


def _entry(cell: Mapping[Any, Any], digits: int) -> TableEntry:
    counts: tuple[int, bool] = (cell["trials"], cell["limited"])
    if not cell["trials"]:
        return TableEntry(*counts)
    # Whole units of the last digit make differences of printed numbers exact.
    units = 10 ** (digits + 2)
    mean = round(float(percent(cell["accuracy_mean"], digits)) * 10**digits)
    low, high = math.floor(units * cell["accuracy_ci_low"]), math.ceil(units * cell["accuracy_ci_high"])

    def text(n_units: int) -> str:
        return f"{n_units / 10**digits:.{digits}f}"

    return TableEntry(*counts, text(mean), text(low), text(high), text(mean - low), text(high - mean))


def _with_best(row: TableRow, highest: Sequence[float]) -> TableRow:
    entries = (
        entry and replace(entry, is_best=not entry.is_limited and float(entry.mean) == best)
        for entry, best in zip(row.entries, highest, strict=True)
    )
    return replace(row, entries=tuple(entries))
