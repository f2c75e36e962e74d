"""The layer × bit map of a block: for each protected network the harm of a flip at each row, bit and direction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results.analysis.blocks import BLOCK, LINE, Block, Line, blocks
from faultbench.results.analysis.flip_harm import DIRECTIONS, EXCLUDED
from faultbench.results.analysis.results import Results
from faultbench.results.flip_counts import WHOLE
from faultbench.results.folder import LABELS

Row = tuple[str, str]
"""A layer or site, and the kind of its parameters."""


@dataclass(frozen=True, eq=False)
class LineMap:
    """Of one protected network; arrays are [row, direction, bit] in the order of the block's rows and DIRECTIONS.

    harm, low and high are as in `attribution.harms`, NaN and 0 to 1 where there was no such flip; n_with and n_failed
    count the trials with such a flip, and those that failed.
    """

    line: Line
    harm: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    expected: NDArray[np.float64]
    n_with: NDArray[np.int64]
    n_failed: NDArray[np.int64]
    n_counted: tuple[int, ...]
    """Trials that are counted, of each BER."""

    @property
    def told(self) -> NDArray[np.float64]:
        """The harms that are told, 0 where it is excluded that they are large, NaN where the trials do not tell."""
        quiet = np.where(self.high <= EXCLUDED, 0.0, np.nan)
        return np.where(self.low > 0, self.harm, quiet)

    @property
    def has_memory(self) -> NDArray[np.bool_]:
        """Of each row: whether any trial held a flip there; a network without bounds has none to hold one."""
        return np.asarray(self.n_with.any(axis=(1, 2)))


@dataclass(frozen=True, eq=False)
class BlockMap:
    """The maps of a block, all with the same rows and bits; rows where no trial tells are only counted."""

    block: Block
    rows: tuple[Row, ...]
    n_bits: int
    maps: tuple[LineMap, ...]
    n_left_out: int


def harm_maps(results: Results) -> list[BlockMap]:
    """A map for each block that has a trial counted."""
    rows = results.counted
    if rows.empty:
        return []
    found = [(block, only(rows, _labels(block, BLOCK))) for block in blocks(results)]
    return [_block_map(block, part, only(results.harms, _labels(block, BLOCK))) for block, part in found if len(part)]


def only(rows: pd.DataFrame, labels: Mapping[Any, Any]) -> pd.DataFrame:
    """The rows that bear these labels."""
    return rows[np.logical_and.reduce([(rows[name] == value).to_numpy() for name, value in labels.items()])]


def row_text(row: Row) -> str:
    """A row as it is printed: the layer alone stands for its weights."""
    layer, kind = row
    if row == WHOLE:
        return "whole memory"
    return layer if kind == "weights" else f"{layer} ({kind.replace('_', ' ')})"


def _labels(block: Block, names: Sequence[str]) -> dict[str, str]:
    """Those that its cells share."""
    first = block.lines[0].cells.iloc[0]
    return {name: str(first[name]) for name in names}


def _block_map(block: Block, rows: pd.DataFrame, pooled: pd.DataFrame) -> BlockMap:
    order, n_bits = _order(rows), int(rows.bit.max()) + 1
    maps = [_line_map(line, rows, pooled, order, n_bits) for line in block.lines]
    told = np.any([~np.isnan(one.told).all(axis=(1, 2)) for one in maps], axis=0)
    kept = tuple(row for row, is_told in zip(order, told, strict=True) if is_told)
    chosen = [_chosen(one, told) for one in maps]
    return BlockMap(block, kept, n_bits, tuple(chosen), len(order) - len(kept))


def _order(rows: pd.DataFrame) -> list[Row]:
    """Every row in the order of execution of the network that has most of them, the whole memory at the end."""
    ordered = rows.drop_duplicates([*LABELS, "layer", "kind"]).sort_values("position", kind="stable")
    networks = ordered.groupby([*LABELS], sort=False, observed=True)
    lists = [list(zip(part.layer, part.kind, strict=True)) for _, part in networks]
    found = dict.fromkeys(row for listed in sorted(lists, key=len, reverse=True) for row in listed)
    return [*(row for row in found if row != WHOLE), WHOLE]


def _line_map(line: Line, rows: pd.DataFrame, pooled: pd.DataFrame, order: list[Row], n_bits: int) -> LineMap:
    labels = {name: getattr(line, name) for name in LINE}
    own = only(pooled, labels)
    place = {row: number for number, row in enumerate(order)}
    where = (
        [place[row] for row in zip(own.layer, own.kind, strict=True)],
        [DIRECTIONS.index(direction) for direction in own.direction],
        own.bit.to_numpy(dtype=np.int64),
    )
    shape = (len(order), len(DIRECTIONS), n_bits)

    def filled(name: str, empty: float) -> NDArray[np.float64]:
        values = np.full(shape, empty, dtype=np.float64)
        values[where] = own[name]
        return values

    n_with, n_failed = (filled(name, 0).astype(np.int64) for name in ("trials_with", "failed_with"))
    counts = only(rows, labels).groupby("ber").trials.first()
    harm, low, high = filled("harm", np.nan), filled("harm_ci_low", 0), filled("harm_ci_high", 1)
    return LineMap(line, harm, low, high, filled("expected", 0), n_with, n_failed, tuple(counts.tolist()))


def _chosen(one: LineMap, kept: NDArray[np.bool_]) -> LineMap:
    names = ("harm", "low", "high", "expected", "n_with", "n_failed")
    return replace(one, **{name: getattr(one, name)[kept] for name in names})


def span(counts: Iterable[int]) -> str:
    """How many: "100", or "60 to 100" where they differ."""
    low, high = min(found := list(counts)), max(found)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
