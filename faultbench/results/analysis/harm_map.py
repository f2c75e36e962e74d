"""Layer × bit maps of a block: the harm of a flip at each row, bit and direction of a protected network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results.analysis.blocks import BLOCK, LINE, Block, Line, blocks
from faultbench.results.analysis.flip_rows import DIRECTIONS, CountedCell
from faultbench.results.analysis.harm import is_small
from faultbench.results.analysis.results import Results
from faultbench.results.flip_counts import WHOLE_MEMORY

LEAST_SHOWN = 1e-3
"""Least harm that is drawn where a flip is told to do harm: if most trials hold it, the lower end may be below 0."""

MapRow = tuple[str, str]
"""Row of a map: a layer or site, and the kind of its parameters."""


@dataclass(frozen=True, eq=False)
class LineMap:
    """Map of one protected network; arrays are [row, direction, bit], in the order of the block's rows and DIRECTIONS.

    harm, with its ends low and high, is a fraction; NaN, −1 and 1 where no such flip occurred. shown_harm is what is
    drawn: above 0 where a flip is told to do harm, 0 where a large harm is excluded, NaN where the trials do not
    decide. n_with counts the trials, or tried flips, behind a harm, and before and after are accuracies without such a
    flip and with it. has_memory says of each row whether the network has such memory. n_counted is the number of
    counted trials at each BER.
    """

    line: Line
    harm: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    shown_harm: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    n_with: NDArray[np.int64]
    has_memory: NDArray[np.bool_]
    n_counted: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class BlockMap:
    """Maps of a block, all with the same rows and bits.

    Rows that show no harm of any network, not even 0, are left out; n_left_out counts them.
    """

    block: Block
    rows: tuple[MapRow, ...]
    n_bits: int
    maps: tuple[LineMap, ...]
    n_left_out: int

    @property
    def labelled_bits(self) -> list[int]:
        """Return the bits that an axis names: the highest, and the lowest of each byte."""
        return [bit for bit in range(self.n_bits - 1, -1, -1) if bit % 8 == 0 or bit == self.n_bits - 1]


def harm_maps(results: Results) -> list[BlockMap]:
    """Return a map for each block with counted trials."""
    counted = results.counted_cells
    maps = [
        _block_map(block, [cell for cell in counted if _is_of(cell, _shared_labels(block, BLOCK))], results.harm)
        for block in blocks(results)
    ]
    return [block_map for block_map in maps if block_map]


def rows_with(rows: pd.DataFrame, labels: Mapping[Any, Any]) -> pd.DataFrame:
    """Return the rows that have these labels."""
    return rows[np.logical_and.reduce([(rows[name] == value).to_numpy() for name, value in labels.items()])]


def row_text(row: MapRow) -> str:
    """Return a row as it is printed; the name of a layer alone stands for its weights."""
    layer, kind = row
    if row == WHOLE_MEMORY:
        return "whole memory"
    return layer if kind == "weights" else f"{layer} ({kind.replace('_', ' ')})"


def map_arrays(
    rows: pd.DataFrame, order: Sequence[MapRow], n_bits: int, empty: Mapping[str, float]
) -> list[NDArray[np.float64]]:
    """Return an array [row, direction, bit] for each column in empty, which maps it to the value of missing places."""
    number = {row: place for place, row in enumerate(order)}
    where = (
        [number[row] for row in zip(rows.layer, rows.kind, strict=True)],
        [DIRECTIONS.index(direction) for direction in rows.direction],
        rows.bit.to_numpy(dtype=np.int64),
    )
    arrays = []
    for column, value in empty.items():
        arrays.append(np.full((len(order), len(DIRECTIONS), n_bits), value, dtype=np.float64))
        arrays[-1][where] = rows[column]
    return arrays


def _shared_labels(block: Block, names: Sequence[str]) -> dict[str, str]:
    """Return those labels of a block's cells that all of them share."""
    first = block.lines[0].cells.iloc[0]
    return {name: str(first[name]) for name in names}


def _is_of(cell: CountedCell, labels: Mapping[str, str]) -> bool:
    return all(cell.labels[name] == value for name, value in labels.items())


def _block_map(block: Block, cells: Sequence[CountedCell], harms: pd.DataFrame) -> BlockMap | None:
    rows = rows_with(harms, _shared_labels(block, BLOCK))
    if rows.empty:
        return None
    order, n_bits = _order(cells), int(rows.bit.max()) + 1
    maps = [_line_map(line, cells, rows, order, n_bits) for line in block.lines]
    is_shown = np.any([~np.isnan(line_map.shown_harm).all(axis=(1, 2)) for line_map in maps], axis=0)
    shown = tuple(row for row, flag in zip(order, is_shown, strict=True) if flag)
    cut = tuple(_with_rows(line_map, is_shown) for line_map in maps)
    return BlockMap(block, shown, n_bits, cut, len(order) - len(shown))


def _order(cells: Sequence[CountedCell]) -> list[MapRow]:
    """Return every row, in the order of execution of the network with the most rows, and the whole memory last."""
    lists = sorted((cell.counts.owners for cell in cells), key=len, reverse=True)
    union = dict.fromkeys(row for owners in lists for row in owners)
    return [*(row for row in union if row != WHOLE_MEMORY), WHOLE_MEMORY]


def _line_map(
    line: Line, cells: Sequence[CountedCell], harms: pd.DataFrame, order: list[MapRow], n_bits: int
) -> LineMap:
    labels = {name: getattr(line, name) for name in LINE}
    own = [cell for cell in cells if _is_of(cell, labels)]
    owners = {owner for cell in own for owner in cell.counts.owners}
    rows = rows_with(harms, labels)
    empty = {"lost": math.nan, "lost_at_least": -1, "lost_at_most": 1, "accuracy_without": math.nan}
    empty |= {"accuracy_with": math.nan, "trials_with": 0, "harmful": 0}
    harm, low, high, before, after, n_with, harmful = map_arrays(rows, order, n_bits, empty)
    return LineMap(
        line,
        harm,
        low,
        high,
        shown_harm=np.where(harmful > 0, np.maximum(low, LEAST_SHOWN), np.where(is_small(high, before), 0.0, np.nan)),
        before=before,
        after=after,
        n_with=n_with.astype(np.int64),
        has_memory=np.array([row in owners for row in order]),
        n_counted=tuple(len(cell.counts.trials) for cell in own),
    )


def _with_rows(line_map: LineMap, kept: NDArray[np.bool_]) -> LineMap:
    """Return the map with the rows that are kept."""
    names = ("harm", "low", "high", "shown_harm", "before", "after", "n_with", "has_memory")
    return replace(line_map, **{name: getattr(line_map, name)[kept] for name in names})
