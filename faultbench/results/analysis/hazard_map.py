"""Layer × bit maps of pilots: the harm of a flip at each row, bit and direction of a protected network, as probed."""

import math

import numpy as np
import pandas as pd

from faultbench.results.analysis.blocks import Block, Line, blocks
from faultbench.results.analysis.harm_map import BlockMap, LineMap, MapRow, map_arrays
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS

SMALL_SHARE = 0.5
"""Largest upper end of the interval of the share of failing flips that counts as small."""


def hazard_maps(results: Results) -> list[BlockMap]:
    """Return a map for each block with a probed network; none for a campaign of plain trials.

    A harm is shown where some of the probed flips turned an image, and as 0 where none did and enough were probed.
    """
    if not results.hazards_of:
        return []
    maps = [_block_map(results.hazard, block) for block in blocks(results)]
    return [block_map for block_map in maps if block_map.maps]


def _block_map(hazard: pd.DataFrame, block: Block) -> BlockMap:
    own = [(line, hazard.merge(line.cells[[*LABELS]].head(1), on=[*LABELS])) for line in block.lines]
    probed = [(line, rows) for line, rows in own if len(rows)]
    # The network with the most owners comes first: the others lack bounds, or have fewer.
    lists = sorted((_owners(rows) for _, rows in probed), key=len, reverse=True)
    order = tuple(dict.fromkeys(row for owners in lists for row in owners))
    n_bits = max((int(rows.bit.max()) + 1 for _, rows in probed), default=0)
    return BlockMap(block, order, n_bits, tuple(_line_map(line, rows, order, n_bits) for line, rows in probed), 0)


def _owners(rows: pd.DataFrame) -> list[MapRow]:
    return list(dict.fromkeys(zip(rows.layer, rows.kind, strict=True)))


def _line_map(line: Line, rows: pd.DataFrame, order: tuple[MapRow, ...], n_bits: int) -> LineMap:
    empty = {"harm": math.nan, "failing_rate_ci_low": 0, "failing_rate_ci_high": 1, "flips": 0}
    harm, low, high, flips = map_arrays(rows, order, n_bits, empty)
    owners = set(_owners(rows))
    return LineMap(
        line,
        harm,
        low,
        high,
        shown_harm=np.where(low > 0, harm, np.where(high <= SMALL_SHARE, 0.0, np.nan)),
        before=np.full_like(harm, np.nan),
        after=np.full_like(harm, np.nan),
        n_with=flips.astype(np.int64),
        has_memory=np.array([row in owners for row in order]),
        n_counted=(int(flips.sum()),),
    )
