"""Accuracy against BER as papers tabulate it: schemes down, BERs across, every number rounded as it is printed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from faultbench.campaign.stopping_rule import Rule
from faultbench.results.analysis.blocks import Block, images_text, shared_count
from faultbench.results.analysis.cell_summary import interval_text

Ci = Literal["brackets", "plusminus", "none"]

UNKNOWN = "-"
"""Printed where nothing is recorded."""


@dataclass(frozen=True)
class Style:
    """How numbers are printed: decimals of per cents, the form of intervals, whether a column's best is marked."""

    digits: int = 1
    ci: Ci = "brackets"
    best: bool = False


@dataclass(frozen=True)
class Entry:
    """A cell as printed, in per cent. Ends of the interval are rounded outwards, so that what is printed holds too.

    below and above lead from the printed mean to the printed ends. Without trials all texts are `UNKNOWN`.
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
class Row:
    """A protected network: its golden accuracy, and an entry a BER, None where the grid has no cell."""

    label: str
    golden: str
    entries: tuple[Entry | None, ...]


def columns(block: Block) -> list[float]:
    """The BERs of the block, rising."""
    return sorted({ber for line in block.lines for ber in line.cells.ber})


def rows(block: Block, style: Style) -> list[Row]:
    """A row a line of the block, in its order; the best of each column marked if the style says so."""
    bers = columns(block)
    found = [_row(line.label, line.cells, bers, style) for line in block.lines]
    return marked(found, [True] * len(found)) if style.best and len(found) > 1 else found


def marked(found: Sequence[Row], competes: Sequence[bool]) -> list[Row]:
    """The rows, with the highest printed mean of each column marked, ties included.

    Only rows that compete are looked at, and none of their LIMITED cells.
    """
    running = [row for row, may in zip(found, competes, strict=True) if may]
    highest = [
        max((float(entry.mean) for entry in column if entry and not entry.is_limited), default=math.nan)
        for column in zip(*(row.entries for row in running), strict=True)
    ]
    return [_with_best(row, highest) if may and highest else row for row, may in zip(found, competes, strict=True)]


def caption(block: Block, style: Style, rule: Rule) -> str:
    """What the numbers are and how many trials and images stand behind them."""
    cells = pd.concat([line.cells for line in block.lines])
    interval = "" if style.ci == "none" else f" and its {interval_text(rule)}"
    counts = f"over {shared_count(cells.trials)} trials a cell, {images_text(cells)} images a trial"
    return f"Mean accuracy in %{interval}, {counts}."


def percent(fraction: float, digits: int) -> str:
    """A fraction in per cent; `UNKNOWN` for NaN."""
    return UNKNOWN if math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def _row(label: str, cells: pd.DataFrame, bers: Sequence[float], style: Style) -> Row:
    entries = {cell["ber"]: _entry(cell, style.digits) for cell in cells.to_dict("records")}
    golden = percent(cells.golden_accuracy.iloc[0], style.digits)
    return Row(label, golden, tuple(entries.get(ber) for ber in bers))


def _entry(cell: Mapping[Any, Any], digits: int) -> Entry:
    counts: tuple[int, bool] = (cell["trials"], cell["limited"])
    if not cell["trials"]:
        return Entry(*counts)
    # In whole units of the last digit, differences of printed numbers are exact.
    units = 10 ** (digits + 2)
    mean = round(float(percent(cell["accuracy_mean"], digits)) * 10**digits)
    low, high = math.floor(units * cell["accuracy_ci_low"]), math.ceil(units * cell["accuracy_ci_high"])

    def text(n_units: int) -> str:
        return f"{n_units / 10**digits:.{digits}f}"

    return Entry(*counts, text(mean), text(low), text(high), text(mean - low), text(high - mean))


def _with_best(row: Row, highest: Sequence[float]) -> Row:
    entries = (
        entry and replace(entry, is_best=not entry.is_limited and float(entry.mean) == best)
        for entry, best in zip(row.entries, highest, strict=True)
    )
    return replace(row, entries=tuple(entries))
