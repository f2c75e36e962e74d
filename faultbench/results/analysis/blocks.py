"""Results grouped as people compare them: blocks of lines, in the order of the campaign file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from faultbench.results.analysis.data_frames import NETWORK
from faultbench.results.analysis.results import Results
from faultbench.results.folder import CellEntry, varying

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


def by_block(results: Results) -> dict[str, Results]:
    """The results of each block alone, by its name, in the order of the campaign file."""
    entries: dict[tuple[str, ...], list[CellEntry]] = {}
    for entry in results.manifest.cells:
        entries.setdefault(_values(entry, BLOCK), []).append(entry)
    return {
        block.name: _only(results, dict(zip(BLOCK, labels, strict=True)), found)
        for block, (labels, found) in zip(blocks(results), entries.items(), strict=True)
    }


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


def images_text(cells: pd.DataFrame) -> str:
    """How many images a trial looked at, for a caption: "10,000", or "16 to 64 of 10,000"."""
    looked, of = (shared_count(cells[name].round()) for name in ("images_per_trial", "images"))
    return looked if looked in (of, "no") else f"{looked} of {of}"


UNTRIED = "Measured without faults: no trial, one batch of images."
"""What stands behind overheads, for captions."""


def overhead_text(percent: float) -> str:
    """A memory overhead with three digits that count, and without an exponent: 0.0000883."""
    return np.format_float_positional(percent, precision=3, fractional=False, trim="-")


def ratio_texts(row: Mapping[Any, Any]) -> tuple[str, str, str] | None:
    """The latency ratio of a row of overheads and its interval, rounded outwards; None where it was not measured."""
    if math.isnan(row["latency_ratio"]):
        return None
    low = math.floor(100 * row["latency_ratio_ci_low"]) / 100
    high = math.ceil(100 * row["latency_ratio_ci_high"]) / 100
    return f"{row['latency_ratio']:.2f}", f"{low:.2f}", f"{high:.2f}"


def _only(results: Results, labels: dict[str, str], entries: Sequence[CellEntry]) -> Results:
    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        known = [name for name in labels if name in frame]
        return frame[(frame[known] == pd.Series(labels)[known]).all(axis=1)]

    manifest = results.manifest.model_copy(update={"cells": tuple(entries)})
    cells, trials, overhead = rows(results.cells), rows(results.trials), rows(results.overhead)
    return replace(results, manifest=manifest, cells=cells, trials=trials, overhead=overhead)


def _values(entry: CellEntry, labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(entry, label) for label in labels)
