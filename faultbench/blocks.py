"""Results grouped as people compare them: blocks of lines, in the order of the campaign file."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultbench.results_folder import CellEntry, varying
from faultbench.tables import NETWORK, Results

BLOCK = ("dataset", "model", "format", "fault")
LINE = ("scheme", "guard")
COSTS = ("dataset", "model", "format")
"""Overheads are compared within one of each; fault models share them."""


@dataclass(frozen=True, eq=False)
class Line:
    """One protected network of a block; cells are its rows of `Results.cells`, in rising BER."""

    scheme: str
    guard: str
    cells: pd.DataFrame

    @property
    def label(self) -> str:
        """The scheme, and the guard if there is one."""
        return protection(self.scheme, self.guard)


@dataclass(frozen=True)
class Block:
    """What can be compared fairly: one data set, model, format and fault model, a line a scheme and guard."""

    name: str
    lines: tuple[Line, ...]
    costs: tuple[str, ...]
    """Which of `overheads` its lines have: the values of `COSTS`."""


def blocks(results: Results) -> list[Block]:
    """All blocks of the campaign; their names leave out a fault model that all cells share."""
    entries = results.manifest.cells
    by_line = dict(list(results.cells.groupby([*BLOCK, *LINE], sort=False)))
    grouped: dict[tuple[str, ...], dict[tuple[str, ...], Line]] = {}
    for entry in entries:
        block, line = _values(entry, BLOCK), _values(entry, LINE)
        grouped.setdefault(block, {})[line] = Line(entry.scheme, entry.guard, by_line[block + line])
    named = ("dataset", "model", "format", *varying(entries, ["fault"]))
    names = {_values(entry, BLOCK): ", ".join(_values(entry, named)) for entry in entries}
    costs = {_values(entry, BLOCK): _values(entry, COSTS) for entry in entries}
    return [Block(names[block], tuple(lines.values()), costs[block]) for block, lines in grouped.items()]


def overheads(results: Results) -> dict[tuple[str, ...], pd.DataFrame]:
    """Values of `COSTS` → the rows of `Results.overhead` in the order of the campaign file; none without rows."""
    recorded = results.overhead.set_index([*NETWORK])
    order = dict.fromkeys(_values(entry, NETWORK) for entry in results.manifest.cells)
    rows = recorded.loc[[network for network in order if network in recorded.index]].reset_index()
    return {tuple(map(str, costs)): found for costs, found in rows.groupby([*COSTS], sort=False)}


def protection(scheme: str, guard: str) -> str:
    """What protects a network, as legends and tables name it."""
    return scheme if guard == "none" else f"{scheme} + {guard}"


def shared_count(column: pd.Series) -> str:
    """How many, for a caption: "100", "60 to 100" where cells differ, "no" where there is none."""
    known = column.dropna()
    if known.empty or known.max() == 0:
        return "no"
    low, high = int(known.min()), int(known.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def overhead_text(percent: float) -> str:
    """A memory overhead with three digits that count, and without an exponent: 0.0000883."""
    return np.format_float_positional(percent, precision=3, fractional=False, trim="-")


def _values(entry: CellEntry, labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(entry, label) for label in labels)
