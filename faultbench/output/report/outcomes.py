"""Outcomes of the images of each cell: masked, SDC or DUE."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faultbench.results.analysis.blocks import blocks
from faultbench.results.analysis.results import Results
from faultbench.results.folder import ber_text


@dataclass(frozen=True)
class Shares:
    """Fractions of the images of one cell by outcome, NaN if the cell has no trial."""

    ber: str
    masked: float
    sdc: float
    sdc_critical: float
    due: float
    accuracy_not_due: float
    n_trials: int
    is_limited: bool


@dataclass(frozen=True)
class OutcomeRow:
    """Row of a protected network: its block, its label, and its shares at each BER."""

    block: str
    label: str
    shares: tuple[Shares, ...]


def outcome_rows(results: Results) -> dict[str, list[OutcomeRow]]:
    """Return block → a row per line."""
    return {
        block.name: [
            OutcomeRow(block.name, line.label, tuple(_shares(cell) for cell in line.cells.to_dict("records")))
            for line in block.lines
        ]
        for block in blocks(results)
    }


def _shares(cell: Mapping[Any, Any]) -> Shares:
    masked, sdc, critical, due = (cell[f"{name}_rate"] for name in ("masked", "sdc", "sdc_critical", "due"))
    return Shares(
        ber_text(cell["ber"]), masked, sdc, critical, due, cell["accuracy_not_due"], cell["trials"], cell["limited"]
    )
