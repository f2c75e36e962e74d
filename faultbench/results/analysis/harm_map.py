"""Layer × bit maps of a block: the harm of a flip at each row, bit and direction of a protected network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results.analysis.blocks import BLOCK, LINE, Block, Line, blocks
from faultbench.results.analysis.attribution import SMALL_HARM
from faultbench.results.analysis.flip_rows import DIRECTIONS
from faultbench.results.analysis.results import Results
from faultbench.results.flip_counts import WHOLE_MEMORY
from faultbench.results.folder import LABELS

MapRow = tuple[str, str]
"""Row of a map: a layer or site, and the kind of its parameters."""


@dataclass(frozen=True, eq=False)
class LineMap:
    """Map of one protected network; arrays are [row, direction, bit], in the order of the block's rows and DIRECTIONS.

    harm, low and high are those of `attribution.harms`; NaN, 0 and 1 where no such flip occurred. n_with counts the
    trials with such a flip, n_failed those of them that failed, n_counted the counted trials at each BER.
    """

    line: Line
    harm: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    expected: NDArray[np.float64]
    n_with: NDArray[np.int64]
    n_failed: NDArray[np.int64]
    n_counted: tuple[int, ...]

    @property
    def shown_harm(self) -> NDArray[np.float64]:
        """Return the harms that differ from 0, 0 where a large one is excluded, NaN where the trials do not decide."""
        quiet = np.where(self.high <= SMALL_HARM, 0.0, np.nan)
        return np.where(self.low > 0, self.harm, quiet)

    @property
    def has_memory(self) -> NDArray[np.bool_]:
        """Return for each row whether any trial held a flip there; a network without bounds has no such memory."""
        return np.asarray(self.n_with.any(axis=(1, 2)))


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
    rows = results.counted
    if rows.empty:
        return []
    of_blocks = [(block, _shared_labels(block, BLOCK)) for block in blocks(results)]
    parts = [(block, rows_with(rows, labels), labels) for block, labels in of_blocks]
    return [_block_map(block, part, rows_with(results.harms, labels)) for block, part, labels in parts if len(part)]


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


def _block_map(block: Block, rows: pd.DataFrame, pooled: pd.DataFrame) -> BlockMap:
    order, n_bits = _order(rows), int(rows.bit.max()) + 1
    maps = [_line_map(line, rows, pooled, order, n_bits) for line in block.lines]
    is_shown = np.any([~np.isnan(line_map.shown_harm).all(axis=(1, 2)) for line_map in maps], axis=0)
    shown = tuple(row for row, flag in zip(order, is_shown, strict=True) if flag)
    cut = tuple(_with_rows(line_map, is_shown) for line_map in maps)
    return BlockMap(block, shown, n_bits, cut, len(order) - len(shown))


def _order(rows: pd.DataFrame) -> list[MapRow]:
    """Return every row, in the order of execution of the network with the most rows, and the whole memory last."""
    ordered = rows.drop_duplicates([*LABELS, "layer", "kind"]).sort_values("position", kind="stable")
    networks = ordered.groupby([*LABELS], sort=False, observed=True)
    lists = [list(zip(part.layer, part.kind, strict=True)) for _, part in networks]
    union = dict.fromkeys(row for listed in sorted(lists, key=len, reverse=True) for row in listed)
    return [*(row for row in union if row != WHOLE_MEMORY), WHOLE_MEMORY]


def _line_map(line: Line, rows: pd.DataFrame, pooled: pd.DataFrame, order: list[MapRow], n_bits: int) -> LineMap:
    labels = {name: getattr(line, name) for name in LINE}
    empty = {"harm": math.nan, "harm_ci_low": 0, "harm_ci_high": 1, "expected": 0, "trials_with": 0, "failed_with": 0}
    harm, low, high, expected, n_with, n_failed = map_arrays(rows_with(pooled, labels), order, n_bits, empty)
    counts = rows_with(rows, labels).groupby("ber").trials.first()
    n_counted = tuple(counts.tolist())
    return LineMap(line, harm, low, high, expected, n_with.astype(np.int64), n_failed.astype(np.int64), n_counted)


def _with_rows(line_map: LineMap, kept: NDArray[np.bool_]) -> LineMap:
    """Return the map with the rows that are kept."""
    names = ("harm", "low", "high", "expected", "n_with", "n_failed")
    return replace(line_map, **{name: getattr(line_map, name)[kept] for name in names})
