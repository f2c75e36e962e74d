"""Results grouped for comparison: blocks of lines, in the order of the campaign file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from faultbench.results.analysis.data_frames import NETWORK
from faultbench.results.analysis.results import Results
from faultbench.results.folder import CellEntry, varying_labels
from faultbench.results.labels import protection

BLOCK = ("dataset", "model", "format", "fault")
LINE = ("scheme", "guard")
COSTS = ("dataset", "model", "format")
"""Labels that name a group of overheads; fault models share overheads."""


@dataclass(frozen=True, eq=False)
class Line:
    """Protected network of a block; cells are its rows of `Results.cells`, in rising BER."""

    scheme: str
    guard: str
    cells: pd.DataFrame

    @property
    def label(self) -> str:
        """Return the scheme, and the guard if there is one."""
        return protection(self.scheme, self.guard)


@dataclass(frozen=True)
class Block:
    """Networks that can be compared: one data set, model, format and fault model, and a line per scheme and guard."""

    name: str
    lines: tuple[Line, ...]
    costs: tuple[str, ...]
    """Values of `COSTS`: the key of the block's lines in `overheads`."""


def blocks(results: Results) -> list[Block]:
    """Return all blocks of the campaign; their names leave out a fault model that all cells share."""
    entries = results.manifest.cells
    by_line = dict(list(results.cells.groupby([*BLOCK, *LINE], sort=False)))
    grouped: dict[tuple[str, ...], dict[tuple[str, ...], Line]] = {}
    for entry in entries:
        block, line = _values(entry, BLOCK), _values(entry, LINE)
        grouped.setdefault(block, {})[line] = Line(entry.scheme, entry.guard, by_line[block + line])
    named = ("dataset", "model", "format", *varying_labels(entries, ["fault"]))
    names = {_values(entry, BLOCK): ", ".join(_values(entry, named)) for entry in entries}
    costs = {_values(entry, BLOCK): _values(entry, COSTS) for entry in entries}
    return [Block(names[block], tuple(lines.values()), costs[block]) for block, lines in grouped.items()]


def by_block(results: Results) -> dict[str, Results]:
    """Return the results of each block alone, by its name, in the order of the campaign file."""
    entries: dict[tuple[str, ...], list[CellEntry]] = {}
    for entry in results.manifest.cells:
        entries.setdefault(_values(entry, BLOCK), []).append(entry)
    return {
        block.name: _restrict(results, dict(zip(BLOCK, labels, strict=True)), of_block)
        for block, (labels, of_block) in zip(blocks(results), entries.items(), strict=True)
    }


def overheads(results: Results) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return values of `COSTS` → their rows of `Results.overhead`, in the order of the campaign file."""
    recorded = results.overhead.set_index([*NETWORK])
    order = dict.fromkeys(_values(entry, NETWORK) for entry in results.manifest.cells)
    rows = recorded.loc[[network for network in order if network in recorded.index]].reset_index()
    return {tuple(map(str, costs)): group for costs, group in rows.groupby([*COSTS], sort=False)}


def _restrict(results: Results, labels: dict[str, str], entries: Sequence[CellEntry]) -> Results:
    """Return the results of the cells that entries list, which share these labels."""

    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        known = [name for name in labels if name in frame]
        return frame[(frame[known] == pd.Series(labels)[known]).all(axis=1)]

    manifest = results.manifest.model_copy(update={"cells": tuple(entries)})
    cells, trials, overhead = rows(results.cells), rows(results.trials), rows(results.overhead)
    return replace(results, manifest=manifest, cells=cells, trials=trials, overhead=overhead)


def _values(entry: CellEntry, labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(entry, label) for label in labels)
