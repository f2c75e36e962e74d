"""Headline table of the report: accuracy at each BER with its interval, and the overheads of each scheme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from faultbench.output.captions import overhead_text, ratio_texts
from faultbench.output.export.accuracy_table import UNKNOWN, Style, TableEntry, TableRow, percent, rows, with_marks
from faultbench.results.analysis.blocks import Block, Line, blocks
from faultbench.results.analysis.critical_ber import SHOWN_DROP, SHOWN_PROBABILITY, critical_text
from faultbench.results.analysis.data_frames import NETWORK
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text, varying_labels

_CRITICAL = (
    f"Critical BER: the largest tried up to which {100 * SHOWN_PROBABILITY:g} % of the trials stay less than "
    f"{100 * SHOWN_DROP:g} points below golden, with its interval."
)

Rows = dict[Any, Any]
"""Labels → row of a table."""


@dataclass(frozen=True)
class NetworkLabels:
    """Name of a network of the table: the value of every label that differs somewhere; line is scheme and guard."""

    names: tuple[str, ...]
    line: str


@dataclass(frozen=True)
class HeadlineNumber:
    """Number of the table: its text, the value that it sorts by, and an interval or another small print."""

    text: str
    value: float
    small: str = ""


@dataclass(frozen=True)
class HeadlineRow:
    """Row of a protected network.

    entries has per BER the entry and the mean to sort by, NaN if unknown; None where the grid has no cell.
    """

    place: NetworkLabels
    golden: HeadlineNumber
    entries: tuple[tuple[TableEntry, float] | None, ...]
    resilience: HeadlineNumber
    critical: HeadlineNumber | None
    memory: HeadlineNumber
    latency: HeadlineNumber


@dataclass(frozen=True)
class Headline:
    """Headline table: the labels that name its rows, the BERs as text, and the rows in the order of the campaign.

    asked follows "fewer trials than"; limited_of follows the number of trials of a LIMITED cell. critical explains the
    critical BERs, and is empty if the results have none.
    """

    names: tuple[str, ...]
    bers: tuple[str, ...]
    rows: tuple[HeadlineRow, ...]
    asked: str
    limited_of: str
    critical: str


def headline(results: Results) -> Headline:
    """Return the table of all blocks; the best protected network of a block is marked at each BER."""
    names = tuple(name for name in varying_labels(results.manifest.cells) if name not in ("scheme", "guard"))
    bers = sorted(set(results.cells.ber))
    costs = _by_labels(results.overhead, NETWORK)
    areas = _by_labels(results.resilience, LABELS)
    critical = _critical_bers(results)
    table_rows = [
        _row(row, line, names, costs, areas, critical)
        for block in blocks(results)
        for row, line in zip(_printed(block, results), block.lines, strict=True)
    ]
    rule = results.manifest.rule
    n_asked = f"{rule.n_max:,}"
    return Headline(
        names=names,
        bers=tuple(map(ber_text, bers)),
        rows=tuple(table_rows),
        asked=f"at most {n_asked}" if rule.until else f"the {n_asked} asked for",
        limited_of="" if rule.until else f"/{n_asked}",
        critical=_CRITICAL if critical else "",
    )


def is_protected(line: Line, results: Results) -> bool:
    """Return whether a scheme or a guard protects the network of a line; `relu` is no protection."""
    return results.manifest.scheme_names[line.scheme] != "relu" or line.guard != "none"


def _printed(block: Block, results: Results) -> Sequence[TableRow]:
    competes = [is_protected(line, results) for line in block.lines]
    unmarked = rows(block, Style())
    # A single protected network has no competitor, so it gets no mark.
    return with_marks(unmarked, competes) if sum(competes) > 1 else unmarked


def _row(row: TableRow, line: Line, names: tuple[str, ...], costs: Rows, areas: Rows, critical: Rows) -> HeadlineRow:
    first = line.cells.iloc[0]
    means = line.cells.sort_values("ber").accuracy_mean.tolist()
    labels = tuple(first[name] for name in LABELS)
    return HeadlineRow(
        place=NetworkLabels(tuple(first[name] for name in names), row.label),
        golden=HeadlineNumber(row.golden, first.golden_accuracy),
        entries=tuple((entry, mean) if entry else None for entry, mean in zip(row.entries, means, strict=True)),
        resilience=_resilience(areas.get(labels)),
        critical=_critical(critical.get(labels), min(line.cells.ber)) if critical else None,
        memory=_memory(costs.get(labels[: len(NETWORK)])),
        latency=_latency(costs.get(labels[: len(NETWORK)])),
    )


def _critical_bers(results: Results) -> Rows:
    """Return labels → the row of `results.critical` at the drop and probability shown."""
    table = results.critical
    return _by_labels(table[(table["drop"] == SHOWN_DROP) & (table.probability == SHOWN_PROBABILITY)], LABELS)


def _critical(row: Any, lowest: float) -> HeadlineNumber:
    if row is None:
        return _NOT_MEASURED
    text, ends = critical_text(row, lowest)
    return HeadlineNumber(text, row["critical_ber"], ends)


def _by_labels(frame: pd.DataFrame, labels: Sequence[str]) -> Rows:
    return {tuple(row[name] for name in labels): row for row in frame.to_dict("records")}


def _memory(cost: Any) -> HeadlineNumber:
    if cost is None:
        return HeadlineNumber(UNKNOWN, math.nan)
    return HeadlineNumber(
        overhead_text(cost["memory_overhead_pct"]), cost["memory_overhead_pct"], f"{cost['bounds']:,} bounds"
    )


def _latency(cost: Any) -> HeadlineNumber:
    ratio = ratio_texts(cost) if cost else None
    return (
        HeadlineNumber(f"{ratio[0]}×", cost["latency_ratio"], f"[{ratio[1]}, {ratio[2]}]") if ratio else _NOT_MEASURED
    )


def _resilience(area: Any) -> HeadlineNumber:
    if area is None:
        return _NOT_MEASURED
    ends = (math.floor(1000 * area["resilience_ci_low"]) / 10, math.ceil(1000 * area["resilience_ci_high"]) / 10)
    return HeadlineNumber(percent(area["resilience"], 1), area["resilience"], f"[{ends[0]:.1f}, {ends[1]:.1f}]")


_NOT_MEASURED = HeadlineNumber(UNKNOWN, math.nan)
