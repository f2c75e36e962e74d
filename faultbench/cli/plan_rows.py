"""Rows of `faultbench plan`: what each cell has done and lacks, and what to expect of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faultbench.campaign import Campaign, Cell
from faultbench.results.folder import LABELS, MemoryEntry, ber_text
from faultbench.results.journal.contents import JournalContents
from faultbench.system.text_tables import Column

if TYPE_CHECKING:
    from faultbench.results.forecast import Forecast
    from faultbench.runner.cost_estimate import CostEstimate


@dataclass(frozen=True)
class PlanCosts:
    """Costs that are known once networks are built; n_bits is the size of the fault space by subject key."""

    n_bits: dict[str, int]
    price: "CostEstimate"
    disk_bytes: int
    memory: list[MemoryEntry]


@dataclass(frozen=True)
class PlanRow:
    """Row of the plan for one cell; bits and seconds are None if unknown."""

    cell: Cell
    n_bits: int | None
    n_done: int
    n_missing: int
    missing_s: float | None
    expected: "Forecast"

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the cell by axis."""
        return {name: getattr(self.cell.subject, name).label for name in LABELS}

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields of `COLUMNS`."""
        source = f"{self.expected.n_known} trials" if self.expected.n_known else "worst case"
        more = "more than ×100" if self.expected.n_more is None else f"+{self.expected.n_more:,}"
        return (
            *self._flips, f"{self.n_done:,}", f"{self.n_missing:,}", f"{self.expected.n_trials:,}",
            f"±{100 * self.expected.half_width:.1f}", source, more,
        )  # fmt: skip

    @property
    def no_flip(self) -> float | None:
        """Return the probability that a memory has no flip; None if its size is unknown."""
        return None if self.n_bits is None else math.exp(self.n_bits * math.log1p(-self.cell.ber))

    @property
    def _flips(self) -> tuple[str, str, str, str]:
        """Return bits, BER, expected flips per trial, and the probability of none."""
        ber = ber_text(self.cell.ber)
        if self.n_bits is None or self.no_flip is None:
            return "?", ber, "?", "?"
        return f"{self.n_bits:,}", ber, f"{self.n_bits * self.cell.ber:.3g}", f"{self.no_flip:.3g}"


COLUMNS = (
    Column("bits", rank=6),
    Column("BER"),
    Column("flips"),
    Column("P(no flip)", rank=3),
    Column("done", rank=2),
    Column("missing"),
    Column("trials", rank=4),
    Column("points"),
    Column("from", rank=5),
    Column("to halve", rank=1),
)


def plan_rows(campaign: Campaign, costs: PlanCosts | None, known: JournalContents) -> Iterator[PlanRow]:
    """Yield the row of each cell; without costs, bits are those of recorded golden runs."""
    from faultbench.results.estimates import accuracies
    from faultbench.results.forecast import forecast
    from faultbench.results.missing_trials import count_missing, n_below, numbers_by_cell, standing

    n_missing = costs.price.n_missing if costs else count_missing(campaign, known)
    recorded = {key: golden.n_bits for key, golden in known.goldens.items()}
    given_up = numbers_by_cell(known.quarantined)
    for cell in campaign.cells:
        trials, subject = known.trials.of_cell(cell.key), cell.subject.key
        golden = known.goldens.get(subject)
        strata = known.strata.get(cell.key)
        n_asked = standing(campaign.rule, trials, given_up.get(cell.key, ()), golden, strata).n_asked
        done = trials.where(slice(n_below(trials.column("trial"), n_asked)))
        expected = forecast(campaign.rule, accuracies(done, golden, strata))
        n_bits = costs.n_bits[subject] if costs else recorded.get(subject)
        missing_s = costs.price.trial_s[cell.key] if costs else None
        yield PlanRow(cell, n_bits, len(done), n_missing[cell.key], missing_s, expected)
