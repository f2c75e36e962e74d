"""The map of a pilot: for each protected network the harm of a flip at each row, bit and direction, as was probed."""

import numpy as np
import pandas as pd

from faultbench.results.analysis.blocks import Block, Line, blocks
from faultbench.results.analysis.flip_harm import DIRECTIONS
from faultbench.results.analysis.harm_map import BlockMap, LineMap, Row
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS


def hazard_maps(results: Results) -> list[BlockMap]:
    """A map for each block of which some network was probed; none of a campaign of plain trials.

    A harm is told where some of the flips probed turned an image, and low where they did not and are enough to say so.
    """
    if not results.hazards_of:
        return []
    found = [_block_map(results.hazard, block) for block in blocks(results)]
    return [one for one in found if one.maps]


def _block_map(hazard: pd.DataFrame, block: Block) -> BlockMap:
    own = [(line, hazard.merge(line.cells[[*LABELS]].head(1), on=[*LABELS])) for line in block.lines]
    probed = [(line, rows) for line, rows in own if len(rows)]
    # The network with the most owners first: others lack bounds, or have fewer.
    lists = sorted((_owners(rows) for _, rows in probed), key=len, reverse=True)
    order = tuple(dict.fromkeys(row for owners in lists for row in owners))
    n_bits = max((int(rows.bit.max()) + 1 for _, rows in probed), default=0)
    return BlockMap(block, order, n_bits, tuple(_line_map(line, rows, order, n_bits) for line, rows in probed), 0)


def _owners(rows: pd.DataFrame) -> list[Row]:
    return list(dict.fromkeys(zip(rows.layer, rows.kind, strict=True)))


def _line_map(line: Line, rows: pd.DataFrame, order: tuple[Row, ...], n_bits: int) -> LineMap:
    shape = (len(order), len(DIRECTIONS), n_bits)
    where = (
        [order.index(row) for row in zip(rows.layer, rows.kind, strict=True)],
        [DIRECTIONS.index(direction) for direction in rows.direction],
        rows.bit.to_numpy(dtype=np.int64),
    )
    filled = {
        "harm": np.full(shape, np.nan),
        "failing_rate_ci_low": np.zeros(shape),
        "failing_rate_ci_high": np.ones(shape),
        "flips": np.zeros(shape),
        "failing": np.zeros(shape),
    }
    for name, values in filled.items():
        values[where] = rows[name]
    harm, low, high, flips, failing = filled.values()
    n_with, n_failed = flips.astype(np.int64), failing.astype(np.int64)
    return LineMap(line, harm, low, high, flips, n_with, n_failed, (int(flips.sum()),))
