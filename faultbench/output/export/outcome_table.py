"""Cells of tables of SDCs and DUEs, for Markdown and LaTeX."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from faultbench.output.captions import shared_count
from faultbench.output.export.accuracy_table import UNKNOWN, columns
from faultbench.results.analysis.blocks import Block


class OutcomeEntry(NamedTuple):
    """Rates of SDC and DUE, and the accuracy among images that are no DUE, in per cent, or `UNKNOWN`."""

    sdc: str
    due: str
    accuracy_not_due: str


def has_due(block: Block) -> bool:
    """Return whether any cell of a block has a DUE; without one the accuracy tells all."""
    return any(bool((line.cells.due_rate > 0).any()) for line in block.lines)


def outcome_rows(block: Block) -> Iterator[tuple[str, list[OutcomeEntry | None]]]:
    """Yield the label of each protected network and its cells at the block's BERs; None where there is no cell."""
    for line in block.lines:
        cells = {cell["ber"]: cell for cell in line.cells.to_dict("records")}
        yield line.label, [_entry(cells.get(ber)) for ber in columns(block)]


def counts_text(blocks: Sequence[Block]) -> str:
    """Return how many trials stand behind each cell of some blocks."""
    return f"{shared_count(pd.concat([line.cells for block in blocks for line in block.lines]).trials)} trials per cell"


def _entry(cell: Mapping[Any, Any] | None) -> OutcomeEntry | None:
    if cell is None:
        return None
    if not cell["trials"]:
        return OutcomeEntry(UNKNOWN, UNKNOWN, UNKNOWN)
    finite = UNKNOWN if math.isnan(cell["accuracy_not_due"]) else f"{100 * cell['accuracy_not_due']:.1f}"
    return OutcomeEntry(f"{100 * cell['sdc_rate']:.1f}", f"{100 * cell['due_rate']:.1f}", finite)
